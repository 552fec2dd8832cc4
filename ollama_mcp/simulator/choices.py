"""Letters for those who ask for one: a model that is shown options answers with the letter of one of them."""

from __future__ import annotations

import math
import re
import zlib

from ollama_mcp.simulator.tokens import Token

_ASKED = re.compile(r"answer with the letter", re.IGNORECASE)
_OPTION = re.compile(r"^([A-Z])[.)] (.+)$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{3,}")
_SHARED_WORD = 1.5
_LEFT_OVER = 0.03


def choose_letter(prompt: str) -> Token | None:
    """The letter of the option that shares most words with the text before it, with the chances of all of them.

    Returns:
        The token, or None where no letter is asked for.
    """
    options = list(_OPTION.finditer(prompt))
    if len(options) < 2 or not _ASKED.search(prompt, options[-1].end()):
        return None
    before = prompt[: options[0].start()]
    known = set(_words(before))
    scores = {option[1]: _score(option[2], known, before) for option in options}
    whole = sum(math.exp(score) for score in scores.values())
    chances = {letter: (1 - _LEFT_OVER) * math.exp(score) / whole for letter, score in scores.items()}
    ranked = sorted(((letter, math.log(chance)) for letter, chance in chances.items()), key=lambda item: -item[1])
    return Token(*ranked[0], (*ranked, ("The", math.log(_LEFT_OVER))))


def _score(option: str, known: set[str], text: str) -> float:
    shared = len(known.intersection(_words(option)))
    # So that texts which share no word are not all alike; the same text gets the same.
    return _SHARED_WORD * shared + zlib.crc32(f"{option}{text}".encode("utf-8", "replace")) % 1_000 / 1_000


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]
