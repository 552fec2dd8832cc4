"""A model of known accuracy: how often it is right about questions with options, and how sure it is."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from ollama_mcp.simulator.answers import Answer
from ollama_mcp.simulator.responder import choose_letter, offered_letters


@dataclass(frozen=True)
class Skill:
    """Answers questions with options; the right option is the one that shares the most words with the text.

    Args:
        accuracy: How often it is right: by the text, so that the same text is answered alike each time.
        sure: The probability of its answers where they are right, from and to.
        unsure: The same where they are wrong; above the share of an even guess.
        name: Two models with other names err at other texts.
    """

    accuracy: float
    sure: tuple[float, float] = (0.9, 0.999)
    unsure: tuple[float, float] = (0.55, 0.93)
    name: str = ""

    def answer(self, prompt: str) -> Answer | None:
        """The answer to a prompt; None where it offers no options."""
        token, letters = choose_letter(prompt), offered_letters(prompt)
        if token is None:
            return None
        chance = random.Random(zlib.crc32(f"{self.name}{prompt}".encode("utf-8", "replace")))
        is_right = chance.random() < self.accuracy
        letter = token.text if is_right else chance.choice([one for one in letters if one != token.text])
        probability = chance.uniform(*(self.sure if is_right else self.unsure))
        rest = (1 - probability) / (len(letters) - 1)
        chances = {one: probability if one == letter else rest for one in letters}
        return Answer(text=[letter], chances=[chances])
