"""Stands for a command that `serve.py` runs: `python -I -S start.py SOCKET MODULE WORDS`. It is sent our signals."""

import marshal
import os
import signal
import socket
import sys

# EX_SOFTWARE: no command of ours ends with it.
GONE = 70


def pass_on(command: int, number: int) -> None:
    """Send a signal to the command, which may just have ended."""
    try:  # noqa: SIM105 - contextlib would take as long as the rest of this start
        os.kill(command, number)
    except ProcessLookupError:
        pass


def told(connection: socket.socket) -> int:
    """A number from who runs the command. Where that has died this ends too, not with a 0 as if all were well."""
    number = connection.recv(8)
    if not number:
        os._exit(GONE)
    return int.from_bytes(number, "big", signed=True)


def main() -> int:
    """Have the command run with the streams, folder and environment of this process; gives its exit code."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    data = marshal.dumps((sys.argv[2:], os.getcwd(), {**os.environb}))
    socket.send_fds(connection, [len(data).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(data)
    # The streams are the command's alone: their other ends learn when it closes them.
    for number in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    command = told(connection)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: pass_on(command, number))
    code = told(connection)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


os._exit(main())
