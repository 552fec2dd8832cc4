"""What a call gives to judge, as rows: texts as they are, files read, images by their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, OllamaMCPError

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.decide.verdicts import Verdict
    from ollama_mcp.work.files import Reading


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a call gives to judge.

    Args:
        texts: Texts.
        files: Paths, globs and what else `ollama_mcp.work.files` takes.
        images: Sources of images.
    """

    texts: Sequence[str] = ()
    files: Sequence[str] = ()
    images: Sequence[str] = ()


@dataclass(slots=True)
class Judged:
    """One input and what was decided about it, or why nothing was.

    Args:
        input: What it is called: "text 1", a path, "image 1".
        verdicts: By question; empty where it failed.
        error: Why it failed.
        text, image, from_file: What is judged: a text, or the source of an image.
    """

    input: str
    text: str = ""
    image: str = ""
    from_file: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, "Verdict"])
    error: OllamaMCPError | None = None


async def gather(call: CallContext, inputs: Inputs) -> tuple[list[Judged], list[tuple[str, str]]]:
    """A row for each input, and what could not be read with the reason, in the order of texts, files, images.

    Raises:
        FolderNotAllowed: The user may allow a folder.
        OllamaMCPError: There is nothing to judge, or too much.
    """
    _check_count(call, inputs)
    reading = await _read(call, inputs)
    return _rows(inputs, reading), [(one.asked, one.why) for one in reading.unread]


def _check_count(call: CallContext, inputs: Inputs) -> None:
    count, most = len(inputs.texts) + len(inputs.files) + len(inputs.images), call.settings.limits.files
    if not count:
        raise InvalidArgument("There is nothing to judge.", next_step="Give texts, files or images.")
    if count > most:
        raise InvalidArgument(
            f"{count:,} inputs were given, at most {most:,} are taken (setting limits.files).",
            next_step="Use ollama_batch, which takes any number.",
        )


async def _read(call: CallContext, inputs: Inputs) -> Reading:
    from ollama_mcp.access import FolderNotAllowed
    from ollama_mcp.work.files import Reading, Unread, read_files

    if not inputs.files:
        return Reading()
    try:
        return await read_files(call.access, inputs.files, call.settings)
    except OllamaMCPError as error:
        # A folder is a question for the user, who is asked by the error itself.
        if isinstance(error, FolderNotAllowed) or not (inputs.texts or inputs.images):
            raise
        return Reading(unread=[Unread(", ".join(inputs.files), f"[{error.kind}] {error}")])


def _rows(inputs: Inputs, reading: Reading) -> list[Judged]:
    rows = [Judged(f"text {number}", text=text) for number, text in enumerate(inputs.texts, start=1)]
    times = Counter(document.path for document in reading.documents)
    for document in reading.documents:
        # A path alone names its row, but for several ranges of one file.
        lines = f":{document.first_line}-{document.last_line}" if times[document.path] > 1 else ""
        rows.append(Judged(f"{document.path}{lines}", text=document.text, from_file=True))
    rows += [Judged(path, image=path, from_file=True) for path in reading.images]
    for number, source in enumerate(inputs.images, start=1):
        rows.append(Judged(_name(source) or f"image {number}", image=source))
    return rows


def _name(source: str) -> str:
    """The path or address of an image; "" where the text is the picture itself, or nothing that can be one."""
    from ollama_mcp.media.sources import source_of

    try:
        return source if source_of(source).kind in ("path", "url") else ""
    except InvalidArgument:
        return ""
