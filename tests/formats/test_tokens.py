"""Estimates of token counts, held to counts that real tokenizers gave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.formats.tokens import estimate_tokens

# The fewest and the most tokens that the tokenizers of Qwen, Mistral (Tekken), Llama 2 and DeepSeek made of each; of
# the last two, those of Llama 3, o200k, Mistral 7B and SmolLM2.
COUNTED = {
    "prose": (
        "The committee met on Tuesday to discuss the new budget, and after a long debate it was adopted. " * 20,
        401,
        401,
    ),
    "code": ("def area(width: int, height: int) -> int:\n    return width * height\n\n" * 20, 380, 440),
    "table": ("12345,67.89,2024-05-01\n" * 40, 560, 921),
    "German": ("Über die Änderungen wurde gestern ausführlich beraten, jedoch ohne Ergebnis. " * 20, 321, 401),
    "Chinese": ("汉字测试文本今天天气很好" * 30, 180, 361),
    "Russian": ("Привет, как дела сегодня и завтра? " * 30, 301, 451),
    "base64": ("a8Kd93hfkQ0pLmZxB7vQw2" * 40, 760, 840),
    "bit masks": (
        "".join(
            f"FLAG_{name}{bit} = 0x{1 << bit:08X}\nMASK_{name}{bit} = ~(FLAG_{name}{bit} | 0b{bit:08b}) & 0xFF\n"
            for bit, name in enumerate("ABCDEFGHIJKLMNOP")
        ),
        512,
        818,
    ),
    "formulas": (
        "for i in range(n):\n    a[i][j] += (x[i] << 3) ^ (y[j] >> 2) & 0x7f | z[k-1] * w[i+1]\n"
        "    b[i*4+j] = (a[i]-b[j])*(c[k]+d[l])\n" * 20,
        1400,
        1720,
    ),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_an_estimate_is_near_what_tokenizers_count(kind: str):
    text, least, most = COUNTED[kind]
    assert 0.85 * least <= estimate_tokens(text) <= 1.3 * most
    # A prompt that was estimated too low is cut or refused: the margin for that is 1.3.
    assert most <= 1.35 * estimate_tokens(text)


@pytest.mark.parametrize(
    ("character", "tokens"),
    [("ω", 0.8), ("ж", 0.42), ("ש", 0.6), ("ع", 0.6), ("क", 0.85), ("ไ", 0.65), ("ა", 0.88), ("漢", 0.85), ("😀", 2.5)],
)
def test_each_script_has_a_rate_of_its_own(character: str, tokens: float):
    assert estimate_tokens(character * 100) == pytest.approx(100 * tokens, abs=1 + 100 * 0.02)


def test_nothing_has_no_tokens():
    assert estimate_tokens("") == 0


@given(st.text(max_size=2_000))
def test_any_text_has_at_most_a_few_tokens_a_byte(text: str):
    assert 0 <= estimate_tokens(text) <= 3 * len(text.encode(errors="replace")) + 1


def test_a_long_text_is_judged_by_samples_of_all_of_it():
    words, signs = "word " * 10_000, "汉字" * 25_000
    exact = 4 * (estimate_tokens(words) + estimate_tokens(signs))
    assert 0.9 * exact <= estimate_tokens(words * 4 + signs * 4) <= 1.1 * exact
