import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.host_url import normalize_host_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://localhost:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        (":66000", "http://localhost:11434"),
        (":-1", "http://localhost:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("fe80::1%25eth0", "http://[fe80::1%25eth0]:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("HTTPS://example.com/ollama/", "https://example.com:443/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        (" '127.0.0.1' ", "http://127.0.0.1:11434"),
    ],
)
def test_addresses_are_read_by_the_rules_of_ollama_host(text: str, url: str):
    assert normalize_host_url(text) == url


@pytest.mark.parametrize(
    "text", ["ftp://x", "a b", "bad:bad:bad", "box:1:2", "http://[bad]:1", "http://ho st/", "x " * 1000]
)
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(InvalidArgument) as caught:
        normalize_host_url(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["http://user:hunter2@host", "user:hunter2@host:1", "ftp://u:hunter2@x", "u:hunter/2@x"]
)
def test_a_password_in_an_address_is_refused_and_not_told(text: str):
    with pytest.raises(InvalidArgument, match="user or a password") as caught:
        normalize_host_url(text)
    assert "hunter" not in str(caught.value)
