"""What the demo's simulator answers to the demo's own questions: right answers, written here."""

from __future__ import annotations

import json

from ollama_mcp.simulator.answers import Answer

SKY = Answer(
    text="Air scatters the short waves of sunlight more than the long ones. So blue light reaches the eye from every "
    "part of the sky."
)
PERSON = Answer(text='{"name": "Ada", "age": 36}')
PICTURE = Answer(text="A red disc on a blue field.")
COMPARED = (
    Answer(text="A hash table finds a key in constant time on average."),
    Answer(text="On average it takes O(1): the hash of the key tells the place."),
)
POEM = Answer(text="The engine hums, the lamp is lit, the letters wait for whom they fit.")
# Long enough that it is still being written when the demo cancels it.
NOVEL = Answer(text="It was a dark and stormy night, and the story went on and on. " * 40, delay=0.05)


def cited(path: str) -> Answer:
    """Who wants what in the letters, with quotes that stand there."""
    quotes = [
        {"quote": "I want my money back.", "path": path, "line": 2},
        {"quote": "How long is the warranty of the compiler?", "path": path, "line": 8},
    ]
    answer = "Ada wants her money back, Charles wants nothing, Grace asks how long the warranty is."
    return Answer(text=json.dumps({"answer": answer, "quotes": quotes}))


def verdicts() -> list[Answer]:
    """Whether each letter is a complaint: the first one is."""
    return [_yes_or_no(0.97), _yes_or_no(0.02), _yes_or_no(0.11)]


def _yes_or_no(yes: float) -> Answer:
    # The letters that the options "yes" and "no" are offered under.
    return Answer(text=["A" if yes > 0.5 else "B"], chances=[{"A": yes, "B": round(1 - yes, 2)}])
