"""How a request is written to its connection."""

from __future__ import annotations

import asyncio
import socket

from ollama_mcp.api import EmbedRequest, OllamaClient


def answer_each_piece(server: socket.socket, received: list[bytes]) -> None:
    """Take whatever one `recv` returns for a whole request, as it comes: in a thread, which no client holds up."""
    body = b'{"embeddings":[[1.0]]}'
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(65_536):
            received.append(piece)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)


async def test_a_request_goes_out_in_one_piece() -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = asyncio.create_task(asyncio.to_thread(answer_each_piece, server, received))
        async with asyncio.timeout(5), OllamaClient(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            for number in range(20):
                await client.embed(EmbedRequest(model="m", input=f"text {number}"))
        await answering
    assert [b"text" in piece for piece in received] == [True] * 20
