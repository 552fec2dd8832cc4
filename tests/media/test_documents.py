"""PDF, DOCX, HTML and notebooks to text, in child processes with limits."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp._command import how_to_install
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media import ExtractedText, NotText, extract_text, file_kind
from ollama_mcp.media.documents.child import convert as convert_here
from ollama_mcp.media.documents.pdf import page_ranges
from ollama_mcp.media.documents.process import MissingExtra, convert_document
from tests.media.document_samples import assembled, crowded, encrypted, pdf, rewritten, word, zip_bomb
from tests.media.image_samples import CANARY, drawing, saved

PAGE = """<!doctype html><html><head><title>The  title</title><style>p{}</style><script>evil()</script></head><body>
<nav><a href=/>Home</a> <a href=/b>About</a></nav><h1>A &amp; B</h1><p>Hello <b>big</b>
 world<br>next line</p><ul><li>one<li><p>two</p><ul><li>deep</li></ul></li></ul><ol><li>first<li>second</ol>
<table><tr><th>name<th>value</tr><tr><td><p>1</p><p>x</p><td>2</table>
<pre>  def f():
      return<br>1
</pre><div>a</div><div>b</div><select><option>z</select>
<table><tr><td><table><tr><td>in<td>ner</table>after</td></tr></table>tail</body></html>"""
TEXT = """The title

Home About

# A & B

Hello big world
next line

- one
- two
  - deep

1. first
2. second

| name | value |
| 1 x | 2 |

  def f():
      return
1

a
b

| in | ner |

after

tail
"""


async def read(data: bytes, name: str, *, most: int = 1_000_000, fetched: bool = False) -> ExtractedText:
    return await extract_text(data, name=name, max_characters=most, fetched=fetched)


async def refusal(data: bytes, name: str) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        await read(data, name)
    assert CANARY not in str(caught.value)
    assert len(str(caught.value)) <= 400
    assert name in str(caught.value)
    return caught.value


def here(kind: str, data: bytes, *, seconds: float = 30, most: int = 1_000_000) -> tuple[dict[str, Any], str]:
    """The conversion in this process, as the child makes it."""
    return convert_here(kind, data, seconds, most)


async def test_a_pdf_is_read_page_by_page() -> None:
    found = await read(pdf(["Hello one", "", "Hello three"]), "a.pdf")
    assert found.kind == "pdf"
    assert found.text == "[page 1 of 3]\nHello one\n\n[page 2 of 3: no text]\n\n[page 3 of 3]\nHello three\n\n"
    assert found.notes == ("no text on page 2 (a picture?)",)


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"\0\x01\xff" * 300])
@pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a"])
async def test_a_pdf_may_have_bytes_before_it(before: bytes, name: str) -> None:
    found = await read(before + pdf(["Hello one"]), name)
    assert (found.kind, found.text) == ("pdf", "[page 1 of 1]\nHello one\n\n")
    # Some writers count the offsets from the start of the file, and most PDFs have bytes that no text has.
    shifted = assembled([b"<< /Unused (" + b"\xe2\xe3\xcf\xd3" * 9 + b") >>"]) + pdf(["Hello one"])
    assert "Hello one" in (await read(before + shifted, name)).text


@pytest.mark.parametrize(
    "text",
    [
        "A PDF begins with %PDF-1.7 and ends with %%EOF\n",
        "A small one:\n\n%PDF-1.4\n1 0 obj\n<< >>\nendobj\n%%EOF\n\nThat is all.\n",
        "x" * 1_100 + "\n%PDF-1.4\n1 0 obj\n%%EOF",
        "%" * 1_100,
    ],
)
async def test_a_text_about_pdfs_is_a_text(text: str) -> None:
    assert (await read(text.encode(), "a.md")).text == text


async def test_a_scan_is_told_to_be_given_as_images() -> None:
    error = await refusal(pdf(["", ""]), "scan.pdf")
    assert "has no text, only pictures" in error.message
    assert "pages as images" in error.next_step


async def test_a_pdf_with_a_password_is_refused_and_one_with_an_empty_one_is_read() -> None:
    assert "needs a password" in (await refusal(encrypted(pdf([CANARY]), "secret"), "a.pdf")).message
    assert "Hello" in (await read(encrypted(pdf(["Hello"]), ""), "a.pdf")).text


@pytest.mark.parametrize("data", [b"%PDF-1.7\n" + CANARY.encode(), pdf([CANARY])[:300]])
async def test_a_damaged_pdf_is_a_clear_error(data: bytes) -> None:
    assert "is not read: it is" in (await refusal(data, "a.pdf")).message


def test_a_page_that_is_broken_does_not_take_the_others_with_it() -> None:
    head, text = here("pdf", pdf(["Hello one", "Hello two", "Hello three"], broken={1}))
    assert text == "[page 1 of 3]\nHello one\n\n[page 2 of 3: no text]\n\n[page 3 of 3]\nHello three\n\n"
    assert head["notes"] == ["page 2 is damaged"]
    head, _ = here("pdf", pdf(["Hello one"], broken={0}))
    assert head["reason"] == "it is damaged"


async def test_a_book_is_cut_where_its_text_is_too_long_and_says_so() -> None:
    found = await read(pdf([f"Page number {number}" for number in range(1_000)]), "book.pdf", most=20_000)
    assert "Page number 10" in found.text
    assert "Page number 999" not in found.text
    assert "the rest of this document is left out" in found.text
    assert "limits.file_bytes" in found.notes[-1]


async def test_a_pdf_whose_stream_unpacks_to_gigabytes_is_stopped() -> None:
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(b"BT (a) Tj ET " * 80_000) for _ in range(300)), packer.flush()])
    bomb = assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
            b"<< /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (len(packed), packed),
        ]
    )
    with pytest.raises(InvalidArgument, match="is not read"):
        await convert_document(bomb, "pdf", name="bomb.pdf", max_characters=1_000_000, seconds=5)


async def test_a_word_document_keeps_headings_lists_and_tables() -> None:
    found = await read(word(), "a.docx")
    assert found.kind == "docx"
    assert (
        "# Whole\n\n## Results\n\nAll is\twell.\n\n- first\n| name | value |\n| speed |  |\n| inner |\n" in found.text
    )
    assert "without headers" in found.notes[0]
    # Known by its contents too.
    assert (await read(word(), "download")).kind == "docx"


def test_wrapped_paragraphs_are_found_and_alternate_content_is_read_once() -> None:
    body = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>inside</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr>'
        "<w:r><w:t>item</w:t><w:br/><w:t>two</w:t></w:r></w:p>"
        "<w:p><mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>"
        "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:p>"
    )
    assert here("docx", rewritten(word(), body))[1] == "inside\n  - item\ntwo\nbox\n"


async def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    assert "unpacks to more than 200 MB" in (await refusal(zip_bomb(), "bomb.docx")).message


async def test_a_zip_that_is_not_a_word_document_is_refused_by_what_it_is() -> None:
    assert "DOCX" in (await refusal(b"PK\3\4" + bytes(50), "a.docx")).message
    assert "a ZIP archive" in (await refusal(b"PK\3\4" + bytes(50), "a.xlsx")).message


async def test_a_page_becomes_readable_text_without_its_scripts() -> None:
    found = await read(PAGE.encode(), "a.html")
    assert (found.text, found.kind, found.encoding) == (TEXT, "html", "utf-8")


async def test_the_declared_encoding_of_a_page_is_used() -> None:
    page = "<html><head><meta charset='koi8-r'></head><body>Привет</body></html>"
    assert (await read(page.encode("koi8_r"), "a.html")).text == "Привет\n"
    odd = "<meta charset=nonsense><body>schöne Größe</body>"
    assert (await read(odd.encode("latin-1"), "a.html")).text == "schöne Größe\n"


async def test_a_fetched_page_is_known_by_its_start_and_a_file_by_its_name() -> None:
    assert file_kind(PAGE.encode(), "https://x.example/article", fetched=True) == "html"
    assert file_kind(PAGE.encode(), "notes.txt") == "text"
    assert (await read(b"", "empty.html")).text == ""
    assert file_kind(saved(drawing(), "PNG"), "a.html") == "image"


async def test_an_image_is_not_text() -> None:
    with pytest.raises(NotText):
        await read(saved(drawing(), "PNG"), "a.png")


@pytest.mark.slow
async def test_a_page_that_nests_without_end_is_stopped() -> None:
    with pytest.raises(InvalidArgument, match="took longer than 1 s"):
        await convert_document(b"<div>" * 200_000, "html", name="deep.html", max_characters=1_000, seconds=1)


async def test_a_notebook_gives_cells_and_the_text_of_their_outputs() -> None:
    cells: list[Any] = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": "plot()",
            "outputs": [
                {"text": ["1\n", 7, "2\n"]},
                {"data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
                {"traceback": ["\x1b[31mValueError\x1b[0m", 3]},
                {"text": "x" * 9_000},
                {"data": {"application/json": {}}},
            ],
        },
        "odd",
        {"cell_type": "code", "source": 3, "outputs": "none"},
    ]
    found = await read(json.dumps({"cells": cells}).encode(), "a.ipynb")
    assert found.kind == "notebook"
    assert found.text.startswith(
        "[cell 1: markdown]\n# Title\ntext\n\n[cell 2: code]\nplot()\n[output]\n1\n2\n[output]\n<Figure>\n"
        "[output]\nValueError\n[output]\nxxx"
    )
    assert "[5000 characters of this output are left out]" in found.text
    assert found.notes == ("pictures left out of outputs: 1", "outputs cut to 4000 characters: 1")


def test_an_old_notebook_is_read_too() -> None:
    book = {"worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]}
    assert here("notebook", json.dumps(book).encode())[1] == "[cell 1: code]\nx = 1\n\n"


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", "[" * 100_000])
async def test_what_is_not_a_notebook_is_a_clear_error(text: str) -> None:
    assert "notebook" in (await refusal(text.encode(), "a.ipynb")).message


@pytest.fixture
def without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules in front of the installed ones that are as if they were missing, for the processes started from here."""
    for name in ("pypdf", "docx", "selectolax"):
        (tmp_path / f"{name}.py").write_text("raise ImportError(__name__)", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("without_libraries")
async def test_without_the_extra_the_error_names_it() -> None:
    for data, name in ((pdf(["Hello"]), "a.pdf"), (word(), "a.docx")):
        with pytest.raises(MissingExtra) as caught:
            await read(data, name)
        assert caught.value.next_step == how_to_install("docs")


@pytest.mark.usefixtures("without_libraries")
async def test_without_the_extra_pages_are_read_as_source_and_notebooks_as_ever() -> None:
    found = await read(PAGE.encode(), "a.html")
    assert (found.text, found.kind) == (PAGE, "text")
    assert how_to_install("docs") in found.notes[0]
    assert (await read(b'{"cells": []}', "a.ipynb")).kind == "notebook"


def test_the_converter_says_which_limit_or_error_ended_it() -> None:
    assert "damaged DOCX file" in here("docx", b"PK nonsense")[0]["reason"]
    assert here("html", PAGE.encode(), most=3)[0]["reason"].startswith("it has more than")
    head, text = here("html", PAGE.encode(), seconds=0)
    assert text.startswith("The title\n")
    assert head["notes"] == ["the rest is left out: it took too long"]
    assert here("html", PAGE.encode())[1] == TEXT
    assert "Hello" in here("pdf", pdf(["Hello", ""]))[1]
    assert "pictures" in here("pdf", pdf([""]))[0]["reason"]
    assert "needs a password" in here("pdf", encrypted(pdf(["Hello"]), "secret"))[0]["reason"]
    assert "no notebook" not in here("notebook", b"{}")[0]["reason"]
    assert "more than 200 MB" in here("docx", zip_bomb())[0]["reason"]
    assert here("html", b"<p>" + b"a<br>" * 3)[1] == "a\na\na\n\n"


def children() -> set[str]:
    """The processes that this one started and that still run (proc(5))."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text("ascii").split()}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what other processes do; the test's own deadline ends it."""
    while not is_so():  # noqa: ASYNC110 - nothing in this process tells of it
        await asyncio.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux which processes there are")
async def test_a_cancelled_call_ends_its_process() -> None:
    before = children()
    task = asyncio.ensure_future(convert_document(b"<div>" * 400_000, "html", name="a", max_characters=10, seconds=40))
    async with asyncio.timeout(20):
        await until(lambda: bool(children() - before))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not children() - before)


async def test_a_call_that_is_cancelled_before_its_turn_starts_no_process() -> None:
    process = convert_document(b"<p>x", "html", name="a", max_characters=10)
    task = asyncio.ensure_future(process)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Both slots of the limiter are free.
    found = await asyncio.gather(*(convert_document(b"<p>x", "html", name="a", max_characters=10) for _ in range(2)))
    assert [one.text for one in found] == ["x\n\n"] * 2


@pytest.mark.slow
async def test_a_document_that_takes_too_much_memory_is_refused() -> None:
    assert "is not read: it is a" in (await refusal(crowded(), "a.docx")).message


def test_numbers_are_shown_as_ranges() -> None:
    assert page_ranges([1, 2, 3, 7]) == "1-3, 7"
    assert page_ranges(list(range(1, 60, 2))).endswith("19 and 20 more places")
