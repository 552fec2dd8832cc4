"""Where the HTTP transports may listen."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed
from ollama_mcp.server.transports.binding import check_open, listen_tcp, listen_unix
from ollama_mcp.settings.model import HttpSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST.", "::1", "[::1]"])
def test_loopback_addresses_can_be_bound(host: str) -> None:
    with listen_tcp(host, 0) as listener:
        address, port = listener.getsockname()[:2]
        assert address.startswith("127.") or address == "::1"
        with socket.create_connection((address, port)):
            pass


@pytest.mark.parametrize("host", ["", "example.com", "0", "127.1", "256.0.0.1"])
def test_a_name_is_not_resolved(host: str) -> None:
    with pytest.raises(InvalidArgument, match="no address") as caught:
        listen_tcp(host, 0)
    assert repr(host) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.2", "10.0.0.1", "example.com", "[::ffff:127.0.0.1]", "0"]
)
def test_no_address_but_loopback_is_served_without_tokens(host: str) -> None:
    with pytest.raises(NotAllowed, match=r"not a loopback address.*token add") as caught:
        check_open(host, HttpSettings())
    assert repr(host) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_one_clear_line() -> None:
    with listen_tcp("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InvalidArgument, match=rf"^Port {port} on 127.0.0.1 is in use. .*--port"):
            listen_tcp("127.0.0.1", port)


def test_a_port_that_cannot_be_is_one_clear_line() -> None:
    with pytest.raises(InvalidArgument, match=r"Port 70000 on 127\.0\.0\.1 cannot be used"):
        listen_tcp("127.0.0.1", 70_000)


def test_a_unix_socket_is_for_its_owner_alone_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with listen_unix(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_socket_in_use_is_not_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "mcp.sock")
    with listen_unix(path):
        with pytest.raises(DiskError, match="already exists"), listen_unix(path):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_socket_that_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with listen_unix(str(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_file_at_the_path_stays(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(DiskError, match="already exists"), listen_unix(str(path)):
        pass
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskError, match="cannot be created: No such file"),
        listen_unix(str(tmp_path / "no" / "mcp.sock")),
    ):
        pass


def test_a_path_that_is_too_long_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"cannot be created: .*long"), listen_unix(str(tmp_path / ("x" * 200))):
        pass
