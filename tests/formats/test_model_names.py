import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name, same_model


@pytest.mark.parametrize(
    ("text", "short", "full"),
    [
        ("llama3.2", "llama3.2:latest", "registry.ollama.ai/library/llama3.2:latest"),
        (" llama3.2:3b ", "llama3.2:3b", "registry.ollama.ai/library/llama3.2:3b"),
        ("me/mine", "me/mine:latest", "registry.ollama.ai/me/mine:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("host:5000/ns/m:t", "host:5000/ns/m:t", "host:5000/ns/m:t"),
        ("https://host/ns/m", "host/ns/m:latest", "host/ns/m:latest"),
        ("q", "q:latest", "registry.ollama.ai/library/q:latest"),
    ],
)
def test_a_name_is_taken_apart_by_ollamas_rules(text: str, short: str, full: str):
    name = parse_name(text)
    assert (name.short, name.full, str(name)) == (short, full, short)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a b", "its model 'a b'"),
        ("mm:", "its tag ''"),
        ("a/b/c/d", "more than three parts"),
        ("/nn/mm", "its host ''"),
        ("../x", "its namespace '..'"),
        ("a.b/m", "its namespace 'a.b'"),
        ("x@sha256", "its model 'x@sha256'"),
        ("m" * 81, "its model"),
        ("modèle", "its model"),
        ("x\nERROR forged", "its model"),
        ("x" * 10_000, "its model"),
    ],
)
def test_a_wrong_name_says_which_part_breaks_which_rule(text: str, reason: str):
    with pytest.raises(InvalidArgument, match=reason.replace(".", r"\.")) as caught:
        parse_name(text)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["gpt-oss:20b-cloud", "gpt-oss:20b:cloud", "qwen3:cloud", "QWEN3:Cloud"])
def test_cloud_names_are_recognised(text: str):
    assert parse_name(text).is_cloud


def test_a_model_called_cloud_runs_on_the_host():
    assert not parse_name("my-cloud-model").is_cloud


def test_names_are_compared_without_case_and_with_the_default_tag():
    assert same_model("LLAMA3:Latest", "llama3")
    assert not same_model("llama3:8b", "llama3")
    assert same_model("not a name", "not a name")
