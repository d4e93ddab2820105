"""What ``http.deliver`` makes of an answer."""

import aiohttp
import orjson
import pytest
from aiohttp import web

from app.handlers.http_deliver import builtin_tasks
from app.handlers.payload import DELIVER, HttpDeliverPayload
from app.names import TaskKey
from app.registry import TaskContext


@pytest.fixture
async def listener():
    async def answer(request):
        headers = [("X-Twice", "a"), ("X-Twice", "b")]
        return web.Response(text="hello", headers=aiohttp.typedefs.CIMultiDict(headers))

    application = web.Application()
    application.router.add_route("*", "/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_result_is_plain_json_and_repeated_headers_are_joined(listener):
    context = TaskContext(TaskKey("t", "q", "1"), 1, 1, 0, {})
    async with builtin_tasks(["127.0.0.1"]) as registry:
        deliver = registry.get(DELIVER).function
        result = await deliver(HttpDeliverPayload(url=listener), context)
    read = orjson.loads(orjson.dumps(result))
    assert (read["status"], read["body"], read["truncated"]) == (200, "hello", False)
    assert read["headers"]["X-Twice"] == "a, b"
