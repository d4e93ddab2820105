"""The same client without a loop of the caller's."""

import asyncio
import inspect
import threading

import pytest

from app.client import Client, NotFound, SyncClient


async def test_it_does_what_the_other_does(api):
    def script():
        with SyncClient(api.url, timeout=30) as client:
            receipt = client.submit("report", {"n": 1})
            with pytest.raises(NotFound):
                client.get("nothing")
            return client.get(receipt.task_id).payload, [each.queue for each in client.queues()]

    assert await asyncio.to_thread(script) == ({"n": 1}, ["default"])


async def test_a_list_goes_on_where_its_limit_ended_it(api):
    def script():
        with SyncClient(api.url, timeout=30) as client:
            for n in range(3):
                client.submit("report", {}, task_id=f"t{n}")
            first = client.tasks("default", limit=2)
            found = [task.task_id for task in first]
            rest = client.tasks("default", cursor=first.cursor)
            return found, [task.task_id for task in rest], rest.cursor

    found, rest, cursor = await asyncio.to_thread(script)
    assert (len(found), sorted(found + rest), cursor) == (2, ["t0", "t1", "t2"], None)


def test_closing_it_twice_does_no_harm():
    client = SyncClient("http://127.0.0.1:9")
    client.close()
    client.close()


async def test_threads_share_one(api):
    with SyncClient(api.url, timeout=30) as client:
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
