import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.durations import FOREVER, format_seconds, keep_alive_seconds, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("300ms", 0.3), ("1.5h", 5400), ("0", 0), ("-1m", -60), ("+2s", 2), ("1us", 1e-6)],
)
def test_durations_are_read_in_gos_notation(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "reason"), [("5", "missing unit"), ("", "invalid"), ("1m5", "missing unit"), ("x", "invalid")]
)
def test_a_wrong_duration_is_named_in_gos_words(text: str, reason: str):
    with pytest.raises(ValueError, match=f'{reason}.* duration "{text}"'):
        parse_duration(text)


def test_a_negative_keep_alive_is_for_ever():
    assert keep_alive_seconds("-5m") == FOREVER
    assert keep_alive_seconds(-1) == FOREVER
    assert keep_alive_seconds(30) == 30


def test_a_keep_alive_without_a_unit_says_what_is_taken():
    with pytest.raises(InvalidArgument, match="its unit is missing") as caught:
        keep_alive_seconds("5")
    assert "10m" in caught.value.next_step


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300, "9" * 30 + "h"])
def test_a_keep_alive_beyond_what_ollama_can_count_is_refused(value: float | str):
    with pytest.raises(InvalidArgument, match="is out of range"):
        keep_alive_seconds(value)


def test_a_wrong_keep_alive_is_shown_cut_and_harmless():
    with pytest.raises(InvalidArgument) as caught:
        keep_alive_seconds("\u202e" + "x" * 5000)
    assert "\u202e" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.41, "0.4 s"), (12, "12 s"), (200, "3 min 20 s"), (180, "3 min"), (7_500, "2 h 5 min"), (7_200, "2 h")],
)
def test_durations_are_shown_for_people(seconds: float, text: str):
    assert format_seconds(seconds) == text
