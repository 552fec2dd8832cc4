import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.settings import Settings, SettingsError, load_settings
from ollama_mcp.settings.load import iter_settings, variable_name


@pytest.fixture
def file(tmp_path: Path):
    def write(values: Any) -> str:
        path = tmp_path / "config.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
        return str(path)

    return write


def test_the_shipped_config_holds_every_setting_with_its_default():
    loaded = load_settings(environment={"OLLAMA_MCP_CONFIG": "${user_config.file}", "HOME": "/nonexistent"})
    assert loaded.settings == Settings()
    assert {path for path, _ in iter_settings()} <= set(loaded.origins)


def test_layers_override_one_another_key_by_key(file: Any):
    config = file({"$schema": "x", "limits": {"listed": 5, "messages": 7}, "host": "from-file"})
    environment = {"OLLAMA_HOST": "from-ollama", "OLLAMA_MCP_LIMITS__LISTED": "6"}
    loaded = load_settings({"limits": {"tools": 3}}, config=config, environment=environment)
    limits = loaded.settings.limits
    assert (limits.listed, limits.messages, limits.tools, loaded.settings.host) == (6, 7, 3, "from-ollama")
    assert loaded.origins["limits.listed"] == "environment OLLAMA_MCP_LIMITS__LISTED"
    assert loaded.origins["limits.messages"] == f"config file {config}"
    assert loaded.origins["limits.tools"] == "command line"
    assert loaded.origins["host"] == "environment OLLAMA_HOST"


def test_our_own_variable_wins_over_ollamas():
    loaded = load_settings(environment={"OLLAMA_HOST": "a", "OLLAMA_MCP_HOST": "b"})
    assert loaded.settings.host == "b"


@pytest.mark.parametrize(("given", "value"), [("8", 8), ("auto", "auto")])
def test_a_setting_takes_a_number_or_a_word(given: str, value: object):
    assert load_settings(environment={"OLLAMA_MCP_WORK__PARALLEL": given}).settings.work.parallel == value


@pytest.mark.parametrize("given", ["0", "65", "fast"])
def test_of_a_setting_that_takes_a_number_or_a_word_both_are_named(given: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(environment={"OLLAMA_MCP_WORK__PARALLEL": given})
    message = str(caught.value)
    assert "setting work.parallel (from" in message and "'auto'" in message
    assert ("integer" if given == "fast" else "equal to") in message


def test_lists_come_from_the_environment_as_words_or_json():
    words = load_settings(environment={"OLLAMA_MCP_TOOLS__TOOLSETS": "inference, system"})
    as_json = load_settings(environment={"OLLAMA_MCP_TOOLS__TOOLSETS": '["inference", "system"]'})
    assert words.settings.tools.toolsets == as_json.settings.tools.toolsets == ["inference", "system"]


def test_objects_come_from_the_environment_as_json():
    loaded = load_settings(environment={"OLLAMA_MCP_DEFAULTS__OPTIONS": '{"temperature": 0}'})
    assert loaded.settings.defaults.options == {"temperature": 0}


def test_fields_that_a_host_left_blank_count_as_unset():
    environment = {"OLLAMA_MCP_HOST": "", "OLLAMA_HOST": "${user_config.host}", "OLLAMA_MCP_LIMITS__LISTED": " "}
    assert load_settings(environment=environment).settings == Settings()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OLLAMA_MCP_LIMITS__LISTD": "5"}, ["OLLAMA_MCP_LIMITS__LISTD", "Did you mean OLLAMA_MCP_LIMITS__LISTED?"]),
        ({"OLLAMA_MCP_LIMITS__LISTED": "many"}, ["limits.listed", "OLLAMA_MCP_LIMITS__LISTED", "'many'", "integer"]),
        ({"OLLAMA_MCP_DEFAULTS__OPTIONS": "{broken"}, ["defaults.options", "{broken"]),
        ({"OLLAMA_MCP_CONFIG": "/no/such/file"}, ["OLLAMA_MCP_CONFIG", "/no/such/file"]),
    ],
)
def test_a_wrong_variable_stops_the_start_with_one_line(environment: dict[str, str], words: list[str]):
    with pytest.raises(SettingsError) as caught:
        load_settings(environment=environment)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"limits": {"listd": 1}}, ["unknown setting 'limits.listd'", "Did you mean limits.listed?"]),
        ({"zzzzzz": 1}, ["unknown setting 'zzzzzz'", "config show"]),
        ({"read_only": "perhaps"}, ["setting read_only", "'perhaps'"]),
        ({"limits": 3}, ["setting limits"]),
        ("[1]", ["one JSON object"]),
        ("{", ["cannot be read"]),
    ],
)
def test_a_wrong_config_file_is_named_with_what_is_wrong(file: Any, content: Any, words: list[str]):
    config = file(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(config=config, environment={})
    assert all(word in str(caught.value) for word in words)


def test_a_config_that_does_not_exist_is_an_error():
    with pytest.raises(SettingsError, match="--config names"):
        load_settings(config="/no/such/config.json", environment={})


def test_every_setting_has_a_meaning_and_a_variable():
    for path, info in iter_settings():
        assert info.description, path
        assert variable_name(path).startswith("OLLAMA_MCP_")


def test_settings_cannot_be_changed_while_the_server_runs():
    with pytest.raises(ValueError, match="frozen"):
        Settings().read_only = True


def test_a_secret_that_stands_in_the_settings_is_refused_and_not_repeated():
    with pytest.raises(SettingsError) as refused:
        load_settings({"state": {"secret": "correct horse battery staple"}}, environment={})
    assert "setting state.secret (from command line): " in str(refused.value)
    assert "as env:... or file:..., and not be the secret itself" in str(refused.value)
    assert "horse" not in str(refused.value)
