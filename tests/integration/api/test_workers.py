"""``/v1/workers`` and the worker count of a queue, as the workers say themselves."""

from app.broker.presence import Presence, WorkerItem
from app.names import QueueName
from tests.support.eventually import eventually

TTL_MS = 60_000


def worker(name, *queues, tenant="default"):
    names = tuple(QueueName(tenant, queue) for queue in queues)
    return WorkerItem(name, names, ("report",), 50, 3, 1_000, 2_000)


async def test_workers_are_listed_and_counted_by_queue(api, stores):
    await api.submit()
    await api.submit(queue="mail")
    presence = Presence(stores.redis, stores.settings.env)
    await presence.announce(worker("w1", "default", "mail"), TTL_MS)
    await presence.announce(worker("w2", "default"), TTL_MS)
    await presence.announce(worker("w3", "default", tenant="other"), TTL_MS)
    items = (await api.get("/v1/workers")).document["items"]
    assert [each["worker"] for each in items] == ["w1", "w2"]
    assert items[0] == {
        "worker": "w1",
        "queues": ["default", "mail"],
        "types": ["report"],
        "concurrency": 50,
        "running": 3,
        "startedAt": 1_000,
        "lastPollAt": 2_000,
    }
    queues = (await api.get("/v1/queues")).document["items"]
    assert {each["queue"]: each["workers"] for each in queues} == {"default": 2, "mail": 1}


async def test_a_worker_that_falls_silent_is_not_listed(api, stores):
    presence = Presence(stores.redis, stores.settings.env)
    await presence.announce(worker("w1", "default"), 50)

    async def nobody():
        return (await api.get("/v1/workers")).document["items"] == []

    await eventually(nobody)
