"""The same client without a loop of the caller's."""

import asyncio
import inspect
import threading

import pytest

from app.client import Client, NotFound, SyncClient


async def test_it_does_what_the_other_does(api):
    def script():
        with SyncClient(api.url, timeout=10) as client:
            receipt = client.submit("report", {"n": 1})
            with pytest.raises(NotFound):
                client.get("nothing")
            return client.get(receipt.task_id).payload, [each.queue for each in client.queues()]

    assert await asyncio.to_thread(script) == ({"n": 1}, ["default"])


def test_closing_it_twice_does_no_harm():
    client = SyncClient("http://127.0.0.1:9")
    client.close()
    client.close()


async def test_threads_share_one(api):
    with SyncClient(api.url, timeout=10) as client:
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(client.submit("report", {})))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    assert len({receipt.task_id for receipt in found}) == 8


def test_no_method_is_missing():
    def public(kind):
        return {
            name
            for name, each in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert public(SyncClient) == public(Client)
