"""The same questions about many texts, files and images: some at once, and one that fails does not sink the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import (
    Forbidden,
    InvalidArgument,
    ModelNotFound,
    NotAllowed,
    OllamaMCPError,
    Unauthorized,
    Unreachable,
    UnsupportedByVersion,
)
from ollama_mcp.formats.names import parse_name
from ollama_mcp.work.decide.decider import Decider, prepare_decider
from ollama_mcp.work.decide.questions import Question, check_questions

if TYPE_CHECKING:
    from ollama_mcp.work.decide.verdicts import Verdict
    from ollama_mcp.work.files import Reading
    from ollama_mcp.work.kit import Kit

# What says nothing about the one input, so that the next would fail alike.
_FOR_ALL = (Unreachable, ModelNotFound, Unauthorized, Forbidden, UnsupportedByVersion)


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


@dataclass(frozen=True, slots=True)
class Judgement:
    """All inputs, in their order, and what should be known of them."""

    model: str
    way: str
    rows: list[Judged]
    unread: list[tuple[str, str]]
    notes: list[str]


async def judge(
    kit: Kit,
    questions: Sequence[Question],
    inputs: Inputs,
    model: str,
    *,
    shuffle: bool = False,
    options: dict[str, Any] | None = None,
) -> Judgement:
    """Ask the questions about each input by itself.

    Raises:
        OllamaMCPError: A question is wrong, the model cannot do it, or every input failed: then the first failure.
    """
    check_questions(questions, kit.settings.limits.questions)
    _check_count(kit, inputs)
    reading = await _read(kit, inputs)
    rows = _rows(inputs, reading)
    # A picture among files of text fails by itself; where there is nothing else, the model has to see.
    must_see = bool(inputs.images) or all(row.image for row in rows)
    decider = await prepare_decider(kit, questions, model, images=must_see, shuffle=shuffle, options=options)
    if any(row.from_file for row in rows):
        await _keep_home(kit, decider.model)
    await _judge_all(kit, decider, rows)
    failed = [row.error for row in rows if row.error is not None]
    if len(failed) == len(rows):
        raise failed[0]
    unread = [(one.asked, one.why) for one in reading.unread]
    return Judgement(decider.model, decider.way, rows, unread, decider.notes)


async def _judge_all(kit: Kit, decider: Decider, rows: Sequence[Judged]) -> None:
    waiting, done, total = iter(rows), 0, len(rows)
    fatal: OllamaMCPError | None = None

    async def lane() -> None:
        nonlocal done, fatal
        for row in waiting:
            if fatal is None:
                await _judge_one(kit, decider, row)
                fatal = row.error if isinstance(row.error, _FOR_ALL) else None
            else:
                row.error = fatal
            done += 1
            said = f"{done} of {total} inputs"
            await kit.progress.update(done, said.__str__, total=total)

    async with kit.progress.phase(f"judging {total} inputs with {decider.model}"), asyncio.TaskGroup() as group:
        for _ in range(min(kit.settings.work.parallel, total)):
            group.create_task(lane())


async def _judge_one(kit: Kit, decider: Decider, row: Judged) -> None:
    try:
        images: list[str] = []
        if row.image:
            from ollama_mcp.work.senses import see

            images = await see(kit, [row.image], decider.model, [])
        row.verdicts = await decider.decide(row.text, images, from_file=row.from_file)
    except OllamaMCPError as error:
        row.error = error
    # A thousand texts need not stay in memory until the last is judged.
    row.text = row.image = ""


def _check_count(kit: Kit, inputs: Inputs) -> None:
    count, most = len(inputs.texts) + len(inputs.files) + len(inputs.images), kit.settings.limits.files
    if not count:
        raise InvalidArgument("There is nothing to judge.", next_step="Give texts, files or images.")
    if count > most:
        raise InvalidArgument(
            f"{count:,} inputs were given, at most {most:,} are taken (setting limits.files).",
            next_step="Use ollama_batch, which takes any number.",
        )


async def _read(kit: Kit, inputs: Inputs) -> Reading:
    from ollama_mcp.access import FolderNotAllowed
    from ollama_mcp.work.files import Reading, Unread, read_files

    if not inputs.files:
        return Reading()
    try:
        return await read_files(kit.access, inputs.files, kit.settings)
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


async def _keep_home(kit: Kit, model: str) -> None:
    """Keep files from a model in the cloud, under whatever name it is known here."""
    if kit.settings.policy.cloud_files == "allow":
        return
    if parse_name(model).is_cloud or (await kit.hosts.card(model)).remote_host:
        raise NotAllowed(
            f"{model} runs on ollama.com, and files are not sent there.",
            next_step="Name a local model, or the user sets policy.cloud_files to 'allow'.",
        )
