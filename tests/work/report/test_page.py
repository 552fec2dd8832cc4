"""The page of a report: safe whatever it is made from, complete in itself, and right in its numbers."""

from __future__ import annotations

import re

import pytest

from ollama_mcp.work.batch.pace import Pace
from ollama_mcp.work.report import charts
from ollama_mcp.work.report.markup import element, joined
from tests.work.report.pages import HOSTILE, LONG, elements, evaluation, is_safe, page_of_everything, words


def test_what_attacks_is_text_at_every_place():
    page = page_of_everything(HOSTILE).render()
    assert is_safe(page)
    said = words(page)
    assert said.count("<script>alert(1)</script>") >= 10
    assert "\x00" not in said
    assert b"<script" not in page


def test_a_page_that_would_run_something_is_seen_by_the_test():
    page = page_of_everything("x").render().replace(b"</main>", b"<script>1</script></main>")
    assert not is_safe(page)


def test_only_what_is_markup_stays_so():
    assert joined("<b>", element("i", "<", title='"')) == '&lt;b&gt;<i title="&quot;">&lt;</i>'


def test_a_page_needs_nothing_but_itself():
    page = page_of_everything("x").render().decode()
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_light_dark_and_paper_have_colours_of_their_own():
    style = next(one.text or "" for one in elements(page_of_everything("x").render()) if one.tag == "style")
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style
    # Every colour that a plot takes is defined for both.
    for place in range(charts.COLOURS):
        assert style.count(f"--c{place}:") == 3
        assert f".s{place}{{" in style
        assert f".l{place}{{" in style


def test_an_evaluation_shows_accuracy_against_speed_with_intervals():
    page = evaluation().render()
    assert is_safe(page)
    # A model that was asked nothing has no point, but a row.
    assert len([one for one in elements(page) if "whisker" in one.attrib.get("class", "")]) == 2
    said = words(page)
    assert "goal 90%" in said
    assert "92.0%" in said
    assert "99.3 %" in said
    assert "none" in said


def test_a_long_name_is_cut_in_a_plot_and_whole_in_the_table():
    page = evaluation(LONG).render()
    assert LONG in [one.text for one in elements(page) if one.tag == "td"]
    assert not [one for one in elements(page) if one.tag == "text" and len(one.text or "") > 60]


def test_nothing_to_show_is_no_error():
    plots = [
        charts.bars({}),
        charts.bars({"nothing": 0}),
        charts.histogram([], x="x"),
        charts.histogram([0, 0], x="x"),
        charts.scatter([], x="x", y="y"),
        charts.scatter([charts.Point("a", 0.0, 0.0, 0.0, 1.0)], x="x", y="y"),
        charts.curve([], x="x", y="y"),
        charts.reliability([(0.5, 0, 0)], x="x"),
        charts.confusion([], {}),
    ]
    assert all(plot.startswith("<svg ") and "nan" not in plot and "inf" not in plot for plot in plots)


@pytest.mark.parametrize("most", [1, 3, 7, 99, 12_345, 9_999_999])
def test_the_highest_bar_ends_below_the_top_and_above_the_last_line_but_one(most: int):
    drawn = charts.histogram([most], x="x")
    top = min(float(found) for found in re.findall(r'class="grid"|y1="([0-9.]+)"', drawn) if found)
    (bar,) = (float(found) for found in re.findall(r'<rect [^>]*y="([0-9.]+)"', drawn))
    height = charts.HEIGHT - 40 - top
    assert top - 0.01 <= bar <= top + height * 0.55


def test_the_pace_of_a_long_run_stays_small_and_complete():
    now = [0.0]
    pace = Pace(lambda: now[0])
    for row in range(10_000):
        now[0] = row * 0.37
        pace.add()
    rates = pace.rates()
    assert 50 <= len(rates) < 120
    # Ten thousand rows, evenly: each interval has the same rate but for rounding.
    assert all(rate == pytest.approx(1 / 0.37, rel=0.05) for _, rate in rates)
    assert rates[0][0] < rates[1][0]
