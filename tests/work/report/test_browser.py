"""Reports in a real browser, at three widths: nothing is wider than the window, and the console says nothing."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.installed import from_npm, node
from tests.work.report.browser import Browser, browsing
from tests.work.report.pages import HOSTILE, LONG, evaluation, page_of_everything

ON_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ON_LINUX, reason="Chromium comes for Linux on x86-64 only")]

PINNED = Path(__file__).parent / "chromium"
WIDTHS = (360, 768, 1280)
# Elements that reach beyond the right edge of the window, unless something around them scrolls by itself.
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(
  one => !one.closest('.wide') && !one.closest('details:not([open]) > pre')
    && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map(one => one.outerHTML.slice(0, 120))"""
SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll('svg text')].map(
  one => 12 * one.closest('svg').getBoundingClientRect().width / one.closest('svg').viewBox.baseVal.width))"""


@pytest.fixture(scope="module")
def unpacked() -> Path:
    """The folder with Chromium, its libraries and fonts."""
    folder = from_npm(PINNED)
    target = folder / "unpacked"
    with FileLock(folder / "unpacking"):
        if not (target / "complete").exists():
            target.mkdir(exist_ok=True)
            shutil.copy(PINNED / "unpack.mjs", folder)
            # In the place that it is made for, the package brings the system's libraries too.
            environment = {**os.environ, "TMPDIR": str(target), "AWS_LAMBDA_JS_RUNTIME": "nodejs22.x"}
            subprocess.run([node(), "unpack.mjs"], cwd=folder, env=environment, check=True, timeout=300)
            fonts = f"<fontconfig><dir>{target / 'fonts'}</dir><cachedir>{target / 'cache'}</cachedir></fontconfig>"
            (target / "fonts.conf").write_text(fonts, encoding="utf-8")
            (target / "complete").touch()
    return target


@pytest.fixture
def browser(unpacked: Path, tmp_path: Path) -> Generator[Browser]:
    libraries = {"LD_LIBRARY_PATH": str(unpacked / "al2023" / "lib"), "FONTCONFIG_FILE": str(unpacked / "fonts.conf")}
    with browsing([str(unpacked / "chromium")], libraries, tmp_path / "profile") as browser:
        yield browser


def test_a_report_fits_every_window_and_runs_nothing(browser: Browser, tmp_path: Path):
    pages = {
        "everything": page_of_everything("An ordinary label"),
        "hostile": page_of_everything(HOSTILE),
        "long": page_of_everything(LONG),
        "evaluation": evaluation(LONG),
    }
    for name, page in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_bytes(page.render())
        for width in WIDTHS:
            browser.open(file, width, 900)
            assert browser.value("document.fonts.size >= 0 && document.querySelector('h1').offsetWidth > 40"), name
            assert browser.value(TOO_WIDE) == [], (name, width)
            # Words in plots stay readable on a telephone.
            assert browser.value(SMALLEST_TEXT) >= 10, (name, width)
            pictured = browser.picture()
            assert pictured.startswith(b"\x89PNG")
            assert struct.unpack(">I", pictured[16:20])[0] == width
    assert browser.complaints == []
    # What is too wide is seen.
    browser.value("document.querySelector('h1').style.width = '3000px'")
    assert browser.value(TOO_WIDE)


def test_colours_follow_the_reader_and_paper_is_white(browser: Browser, tmp_path: Path):
    file = tmp_path / "page.html"
    file.write_bytes(evaluation().render())
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.open(file, 768, 900)
    assert browser.value(ground) == "rgb(255, 255, 255)"
    browser.open(file, 768, 900, dark=True)
    assert browser.value(ground) == "rgb(16, 20, 26)"
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    browser.command("Emulation.setEmulatedMedia", media="print", features=[scheme])
    assert browser.value(ground) == "rgb(255, 255, 255)"


def test_a_script_that_got_into_a_page_would_not_run(browser: Browser, tmp_path: Path):
    file = tmp_path / "page.html"
    attack = (
        b"<script>document.title = 'run'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='run'\"></main>"
    )
    file.write_bytes(evaluation().render().replace(b"</main>", attack + b"</main>"))
    browser.open(file, 768, 900)
    assert browser.value("document.title") == "Evaluation of models"
    # That the page's policy refused it is what the browser complains of.
    assert any("Content Security Policy" in one for one in browser.complaints)
