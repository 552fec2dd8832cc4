"""How many tokens a text is, roughly: no tokenizer is at hand, but letters, digits, marks and scripts tell much.

The weights are fitted to the byte-pair tokenizers of the Llama 3, Qwen and Gemma families on prose, code and data;
what they miss for one model is learnt from its real counts (`ollama_mcp.work.fitting`).
"""

from __future__ import annotations

from collections import Counter

# A longer text is judged by as much of it, taken evenly: an estimate must not take longer than sending does.
_SAMPLED = 60_000
_PIECES = 30

_ASCII_CLASS = {
    code: "a" if chr(code).isalpha() else "0" if chr(code).isdigit() else "_" if chr(code).isspace() else "."
    for code in range(128)
}
_LETTERS_PER_TOKEN = 5.2
_PER_WORD = 0.3
_PER_DIGIT = 0.6
_PER_MARK = 0.7
_PER_BREAK = 0.5
# Longer than words are: base64, hex, minified code, which hardly share pieces with a vocabulary.
_ODD_WORD = 24
_ODD_PER_TOKEN = 1.7

# First code point after the script, tokens per character; what is not named is a byte or two per token.
_SCRIPTS = (
    (0x0250, 0.6),  # Latin with marks
    (0x0590, 0.45),  # Greek, Cyrillic, Armenian
    (0x0780, 0.5),  # Hebrew, Arabic
    (0x0E00, 0.8),  # scripts of India
    (0x1100, 0.9),  # Thai, Lao, Tibetan, Georgian
    (0x2000, 0.8),
    (0x2E80, 1.0),  # punctuation, arrows, mathematics
    (0xD7B0, 0.85),  # Chinese, Japanese, Korean
    (0x10000, 1.0),
)
_BEYOND = 2.5


def estimate_tokens(text: str) -> int:
    """About how many tokens a model's tokenizer makes of a text; usually within a quarter of the truth."""
    if len(text) <= _SAMPLED:
        return round(_estimate(text))
    size = _SAMPLED // _PIECES
    step = (len(text) - size) / (_PIECES - 1)
    starts = [round(step * piece) for piece in range(_PIECES)]
    sample = sum(_estimate(text[start : start + size]) for start in starts)
    return round(sample * len(text) / (size * _PIECES))


def _estimate(text: str) -> float:
    plain = text.encode("ascii", "ignore").decode("ascii")
    tokens = _of_ascii(plain)
    return tokens if len(plain) == len(text) else tokens + _of_others(text)


def _of_ascii(text: str) -> float:
    words = text.split()
    odd = sum(len(word) for word in words if len(word) > _ODD_WORD)
    classes = text.translate(_ASCII_CLASS)
    if odd:
        usual = " ".join(word for word in words if len(word) <= _ODD_WORD)
        classes = usual.translate(_ASCII_CLASS)
    breaks = max(0, len(text) - len(text.replace("\n", "")))
    return (
        classes.count("a") / _LETTERS_PER_TOKEN
        + len(words) * _PER_WORD
        + classes.count("0") * _PER_DIGIT
        + classes.count(".") * _PER_MARK
        + breaks * _PER_BREAK
        + odd / _ODD_PER_TOKEN
    )


def _of_others(text: str) -> float:
    return sum(count * _weight(ord(char)) for char, count in Counter(text).items() if ord(char) > 127)


def _weight(code: int) -> float:
    return next((weight for end, weight in _SCRIPTS if code < end), _BEYOND)
