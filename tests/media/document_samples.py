"""Generated documents for tests: PDFs assembled from objects, Word documents made by python-docx."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Sequence

from docx import Document
from pypdf import PdfReader, PdfWriter


def pdf(pages: Sequence[str], *, broken: Collection[int] = ()) -> bytes:
    """A PDF with a line of text on each page; an empty one is a page without, a broken one cannot be unpacked."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects.append(b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % len(pages))
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        drawn = b"BT /F1 12 Tf 72 700 Td (" + text.encode("latin-1") + b") Tj ET" if text else b"0 0 10 10 re f"
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R" % (5 + 2 * number)
        objects.append(page + b" /Resources << /Font << /F1 3 0 R >> >> >>")
        packing = b"/Filter /Unheard" if number in broken else b""
        objects.append(b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(drawn), packing, drawn))
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """A PDF file of objects numbered from 1, the first of them the catalogue."""
    out = bytearray(b"%PDF-1.4\n")
    places: list[int] = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)


def encrypted(data: bytes, password: str) -> bytes:
    """The PDF under a password for reading; an empty one only forbids other things."""
    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(data)))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word() -> bytes:
    """A Word document with a heading, a list, and a table that holds another."""
    document = Document()
    document.add_heading("Whole", 0)
    document.add_heading("Results", 2)
    document.add_paragraph("All is\twell.")
    document.add_paragraph("")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).text = "name"
    table.cell(0, 1).text = "value"
    table.cell(1, 0).text = "speed"
    table.cell(1, 1).add_table(1, 1).cell(0, 0).text = "inner"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def zip_bomb() -> bytes:
    """A Word document of which one part unpacks to 300 MB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(300):
            part.write(bytes(1_000_000))
    return out.getvalue()


def crowded() -> bytes:
    """A Word document of 180 MB, of which each six bytes become an element of more than a hundred."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(word())) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            with new.open(name, "w") as part:
                if name != "word/document.xml":
                    part.write(old.read(name))
                    continue
                part.write(
                    b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
                )
                for _ in range(180):
                    part.write(b"<w:p/>" * 166_000)
                part.write(b"</w:body></w:document>")
    return out.getvalue()


def rewritten(data: bytes, body: str) -> bytes:
    """The Word document with another body, in WordprocessingML."""
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    other = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "word/document.xml":
                content = (
                    f'<w:document xmlns:w="{space}" xmlns:mc="{other}"><w:body>{body}</w:body></w:document>'.encode()
                )
            new.writestr(name, content)
    return out.getvalue()
