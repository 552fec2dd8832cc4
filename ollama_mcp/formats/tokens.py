"""Estimates how many tokens a text has without a tokenizer, by its letters, digits, punctuation and scripts.

The weights are fitted to the mean of four public tokenizers (Qwen, Mistral's Tekken, Llama 2's SentencePiece, DeepSeek)
over prose in seventeen languages, code, JSON, CSV, logs and base64, and to four more (Llama 3, o200k, Mistral 7B,
SmolLM2) over thirty files, most of them code: bit masks and formulas have up to 1.5 times as many tokens as prose of
their length would. The deviation of a single model is learnt from its actual counts
(`ollama_mcp.work.chat.context_window`).
"""

from __future__ import annotations

import re
from collections import Counter

# A longer text is estimated from a sample of this size, since an estimate must not take longer than sending.
_SAMPLE_SIZE = 60_000
_SAMPLE_PIECES = 30

_ASCII_CLASS = {
    code: "a" if chr(code).isalpha() else "0" if chr(code).isdigit() else "_" if chr(code).isspace() else "."
    for code in range(128)
}
_LETTERS_PER_TOKEN = 6.2
_PER_WORD = 0.4
_PER_DIGIT = 1.0
_PER_PUNCTUATION = 0.9
_PER_NEWLINE = 0.5
# Vocabularies are mostly English: Latin text with many accented letters is split into smaller tokens.
_ACCENTED_SHARE = 0.008
_ACCENTED_LETTERS_PER_TOKEN = 3.8
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Longer than words: base64 and hex, which share few tokens with a vocabulary.
_ENCODED_DATA = re.compile(r"[A-Za-z0-9+/]{25,}")
_ENCODED_CHARACTERS_PER_TOKEN = 1.3

# First code point after the script, tokens per character; of other scripts a token is a byte or two.
_SCRIPTS = (
    (0x0250, 1.0),  # Latin with accents
    (0x0370, 0.8),
    (0x0400, 0.8),  # Greek
    (0x0590, 0.42),  # Cyrillic, Armenian
    (0x0780, 0.6),  # Hebrew, Arabic
    (0x0E00, 0.85),  # scripts of India
    (0x10A0, 0.65),  # Thai, Lao, Tibetan
    (0x1100, 0.88),  # Georgian
    (0x2000, 1.0),
    (0x2E80, 1.0),  # punctuation, arrows, mathematics
    (0xD7B0, 0.85),  # Chinese, Japanese, Korean
    (0x10000, 1.0),
)
_TOKENS_PER_OTHER_CHARACTER = 2.5


def estimate_tokens(text: str) -> int:
    """About how many tokens a model's tokenizer makes of a text; usually within 25 % of the actual count."""
    if len(text) <= _SAMPLE_SIZE:
        return round(_estimate_ascii(text, _LETTERS_PER_TOKEN) if text.isascii() else _estimate(text))
    size = _SAMPLE_SIZE // _SAMPLE_PIECES
    step = (len(text) - size) / (_SAMPLE_PIECES - 1)
    starts = [round(step * piece) for piece in range(_SAMPLE_PIECES)]
    sample = sum(_estimate(text[start : start + size]) for start in starts)
    return round(sample * len(text) / (size * _SAMPLE_PIECES))


def _estimate(text: str) -> float:
    plain = text.encode("ascii", "ignore").decode("ascii")
    others = Counter(_NOT_ASCII.findall(text))
    accented = sum(count for char, count in others.items() if ord(char) < 0x250)
    is_accented = accented > _ACCENTED_SHARE * len(plain)
    tokens = sum(count * _tokens_per_character(ord(char)) for char, count in others.items())
    return tokens + _estimate_ascii(plain, _ACCENTED_LETTERS_PER_TOKEN if is_accented else _LETTERS_PER_TOKEN)


def _estimate_ascii(text: str, letters_per_token: float) -> float:
    words = _ENCODED_DATA.sub("", text)
    classes = words.translate(_ASCII_CLASS)
    return (
        classes.count("a") / letters_per_token
        + len(text.split()) * _PER_WORD
        + classes.count("0") * _PER_DIGIT
        + classes.count(".") * _PER_PUNCTUATION
        + text.count("\n") * _PER_NEWLINE
        + (len(text) - len(words)) / _ENCODED_CHARACTERS_PER_TOKEN
    )


def _tokens_per_character(code: int) -> float:
    return next((tokens for end, tokens in _SCRIPTS if code < end), _TOKENS_PER_OTHER_CHARACTER)
