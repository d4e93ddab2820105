import asyncio

import pytest

from app.bench.http_client import CONNECTIONS, post, requests_per_second
from app.stack.process import StackError, free_port

BODY = b'{"number": 1}'
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


async def serve(answer):
    """A server that reads one request at a time and writes the parts of ``answer`` to each."""
    seen = []

    async def client(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head + await reader.readexactly(len(BODY)))
                for part in answer:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    port = free_port()
    return await asyncio.start_server(client, "127.0.0.1", port), port, seen


async def test_answers_are_counted_also_where_they_come_in_parts():
    server, port, seen = await serve([ACCEPTED[:20], ACCEPTED[20:-1], ACCEPTED[-1:]])
    async with server:
        rate = await requests_per_second(port, [post("/x", BODY)], status=202, seconds=1)

    assert rate > 0
    assert len(seen) > CONNECTIONS
    assert all(each.startswith(b"POST /x HTTP/1.1\r\n") and each.endswith(BODY) for each in seen)


async def test_another_answer_ends_the_measurement_with_its_words():
    refused = b"HTTP/1.1 503 Unavailable\r\ncontent-length: 4\r\n\r\nwhy?"
    server, port, _ = await serve([refused])
    async with server:
        with pytest.raises(StackError, match=r"503 Unavailable(.|\r|\n)*why"):
            await requests_per_second(port, [post("/x", BODY)], status=202, seconds=5)


async def test_a_server_that_hangs_up_ends_the_measurement():
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        with pytest.raises(StackError, match="closed the connection"):
            await requests_per_second(port, [post("/x", BODY)], status=202, seconds=5)
