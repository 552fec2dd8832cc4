"""Thinking that a server left in the text, between `<think>` tags at its beginning, taken apart from the answer.

Servers before v0.9 do that for every model, newer ones for models whose template they do not know.
"""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkingSplitter:
    """Splits a text that comes in pieces; a tag may be cut anywhere.

    Only a tag at the very start counts: later ones are the model's words about tags.
    """

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""
        self._thought = False

    @property
    def settled(self) -> bool:
        """Whether everything from here on is answer, so that pieces need not be fed any more."""
        return self._state == "answer"

    def feed(self, piece: str) -> tuple[str, str]:
        """Return (thinking, answer) of the piece as far as it is certain; not for pieces after it `settled`."""
        text, self._held = self._held + piece, ""
        if self._state == "start":
            return self._start(text)
        if self._state == "thinking":
            return self._think(text)
        return "", self._gap(text)

    def finish(self) -> tuple[str, str]:
        """Return (thinking, answer) of what was held back, once the text has ended."""
        text, self._held = self._held, ""
        return (text, "") if self._state == "thinking" else ("", text)

    def _start(self, text: str) -> tuple[str, str]:
        begin = text.lstrip()
        if begin.startswith(_OPEN):
            self._state = "thinking"
            return self._think(begin[len(_OPEN) :])
        if _OPEN.startswith(begin):
            self._held = text
            return "", ""
        self._state = "answer"
        return "", text

    def _think(self, text: str) -> tuple[str, str]:
        if not self._thought:
            # The tag stands on a line of its own.
            text = text.lstrip("\n")
            self._thought = bool(text)
        thinking, tag, answer = text.partition(_CLOSE)
        if tag:
            self._state = "gap"
            return thinking, self._gap(answer)
        keep = next((size for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def _gap(self, text: str) -> str:
        """Drop the empty lines between the closing tag and the answer."""
        answer = text.lstrip()
        if answer:
            self._state = "answer"
        return answer
