from typing import Any

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import OPTIONS, check_options


def test_right_options_pass_and_obvious_slips_are_put_right():
    given = {"temperature": "0.5", "seed": "42", "num_ctx": 4096.0, "stop": "END", "use_mmap": "true", "top_k": None}
    assert check_options(given) == {"temperature": 0.5, "seed": 42, "num_ctx": 4096, "stop": ["END"], "use_mmap": True}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "options.temperature is -1, but must be a number from 0 to 10"),
        ({"temperature": "warm"}, "options.temperature is 'warm'"),
        ({"temperature": float("nan")}, "options.temperature is nan"),
        ({"seed": 1.5}, "options.seed is 1.5, but must be a whole number"),
        ({"seed": True}, "options.seed is True"),
        ({"top_p": True}, "options.top_p is True"),
        ({"use_mmap": 1}, "options.use_mmap is 1, but must be true or false"),
        ({"stop": [1]}, "but must be a list of strings"),
        ({"num_predict": 0}, "num_predict 0 does not mean no tokens"),
        ({"num_ctx": 1}, "must be a whole number from 4"),
        ({"num_thread": -2}, "must be a whole number from 0 to 1024"),
        ({"seed": 2**70}, "must be a whole number from -1 to 2147483647"),
        ({"num_predict": 10**7}, "must be a whole number from -2 to 1000000"),
        ({"mirostat": 1}, "was removed from Ollama"),
        ({"typical_p": 0.5}, "is never sent"),
        ({"temprature": 1}, "Ollama has no option"),
    ],
)
def test_a_wrong_option_names_itself_its_value_and_what_is_allowed(options: dict[str, Any], words: str):
    with pytest.raises(InvalidArgument) as caught:
        check_options(options)
    assert words in str(caught.value)


def test_an_unknown_option_gets_the_closest_name():
    with pytest.raises(InvalidArgument, match="Did you mean 'temperature'"):
        check_options({"temprature": 1})
    with pytest.raises(InvalidArgument, match="Did you mean 'truncate'"):
        check_options({"truncat": True}, also=("truncate",))


def test_every_option_says_what_it_takes_and_means():
    assert all(option.allowed and option.meaning.endswith(".") for option in OPTIONS.values())
