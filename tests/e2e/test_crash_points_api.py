"""An API dies between any two of its writes: who asks another one again has it once."""

import pytest

from app.stack.process import free_port
from tests.e2e.ring import Ring
from tests.support.envelopes import QUEUE
from tests.support.eventually import eventually

AT_A_SUBMIT = (
    "api.before_enqueue",
    "api.after_enqueue",
    "api.before_confirm",
    "api.after_confirm",
)
WITHOUT_REDIS = ("api.before_publish", "api.after_publish")
AT_A_CANCEL = ("api.before_mark", "api.after_mark", "api.after_cancelled", "api.after_settle")
AT_A_RETRY = ("api.before_redrive", "api.after_redrive", "api.before_note", "api.after_note")
LATER = {"delayMs": 60_000}


@pytest.fixture(scope="module")
def ring(tmp_path_factory, redis_server, rabbitmq_server):
    ring = Ring(tmp_path_factory.mktemp("ring"), redis_server.url, rabbitmq_server)
    ring.keep("api", "worker", "mirror", "rehydrator")
    yield ring
    ring.close()


@pytest.fixture
async def rehearsal(ring):
    async with ring.rehearsal() as rehearsal:
        await rehearsal.answers(ring.here["api"])
        yield rehearsal


async def doomed(rehearsal, point, *stores, **changes):
    api = rehearsal.ring.start("api", crash_at=point, **changes)
    await rehearsal.answers(api, *stores)
    return api


@pytest.mark.parametrize(
    ("point", "shape"), [*((each, "one") for each in AT_A_SUBMIT), ("api.after_confirm", "batch")]
)
async def test_at_a_submit(rehearsal, point, shape):
    api = await doomed(rehearsal, point)
    if shape == "one":
        rehearsal.ids = rehearsal.ids[:1]
        await rehearsal.kills(api, "/tasks", rehearsal.body(rehearsal.ids[0]))
    else:
        await rehearsal.kills(api, "/tasks/batch", [rehearsal.body(i) for i in rehearsal.ids])
    receipts = await rehearsal.submit()
    known = "created" if point == "api.before_enqueue" else "duplicate"
    assert {each["disposition"] for each in receipts} == {known}
    assert {each["durability"]["reached"] for each in receipts} == {"mirrored"}
    await rehearsal.end()
    assert rehearsal.each_once()


@pytest.mark.parametrize("point", WITHOUT_REDIS)
async def test_at_a_submit_without_redis(rehearsal, point):
    away = f"redis://127.0.0.1:{free_port()}/0"
    api = await doomed(rehearsal, point, "rabbitmq", "ledger", redis_url=away)
    rehearsal.ids = rehearsal.ids[:1]
    await rehearsal.kills(api, "/tasks", rehearsal.body(rehearsal.ids[0]))
    if point == "api.before_publish":
        await rehearsal.submit()
    await rehearsal.end()
    (receipt,) = await rehearsal.submit()
    assert receipt["disposition"] == "duplicate"
    await rehearsal.end()
    assert rehearsal.each_once()


@pytest.mark.parametrize("point", AT_A_CANCEL)
async def test_at_a_cancel(rehearsal, point):
    rehearsal.ids = rehearsal.ids[:1]
    await rehearsal.submit(**LATER)
    path = f"/tasks/{rehearsal.ids[0]}/cancel"
    await rehearsal.kills(await doomed(rehearsal, point), path)
    status, task = await rehearsal.post(path)
    assert (status, task["state"]) == (200, "cancelled")
    await rehearsal.end("cancelled")
    assert rehearsal.calls() == []


async def test_at_a_clear(rehearsal):
    await rehearsal.submit(**LATER)
    path, body = f"/queues/{QUEUE}/clear", {"confirm": QUEUE}
    await rehearsal.kills(await doomed(rehearsal, "api.after_cancelled"), path, body)
    assert (await rehearsal.post(path, body))[0] == 200
    await rehearsal.end("cancelled")
    assert rehearsal.calls() == []


async def all_dead(rehearsal):
    await rehearsal.submit(payload={"fails_first": True}, retry={"maxAttempts": 1})
    await rehearsal.recorded()


@pytest.mark.parametrize("point", AT_A_RETRY)
async def test_at_a_retry(rehearsal, point):
    await all_dead(rehearsal)
    path = f"/queues/{QUEUE}/dead/retry"
    body = {"ids": rehearsal.ids, "payload": rehearsal.body("")["payload"]}
    await rehearsal.kills(await doomed(rehearsal, point), path, body)
    status, acted = await rehearsal.post(path, body)
    assert status == 200, acted
    await rehearsal.end("succeeded", run=2)
    assert rehearsal.each_once(run=1)
    assert rehearsal.each_once(run=2)


async def test_after_a_discard(rehearsal):
    await all_dead(rehearsal)
    path, body = f"/queues/{QUEUE}/dead/discard", {"ids": rehearsal.ids}
    await rehearsal.kills(await doomed(rehearsal, "api.after_discarded"), path, body)
    assert await rehearsal.post(path, body) == (200, {"matched": 0, "done": 0})
    await rehearsal.end("discarded", run=2)
    assert rehearsal.each_once(run=1)
    assert not rehearsal.each_once(run=2)


async def test_after_a_pause_is_noted(rehearsal):
    path = f"/queues/{QUEUE}/pause"
    await rehearsal.kills(await doomed(rehearsal, "api.after_paused"), path)
    await rehearsal.pause()
    await rehearsal.submit()
    assert rehearsal.calls() == []
    await rehearsal.unpause()
    await rehearsal.end()
    assert rehearsal.each_once()


@pytest.mark.parametrize("point", ["api.after_requeue", "api.after_resolve"])
async def test_when_a_copy_is_taken_out_of_the_quarantine(rehearsal, point):
    rehearsal.ids = rehearsal.ids[:1]
    (task_id,) = rehearsal.ids
    await rehearsal.spoil(task_id)
    (copy,) = await eventually(lambda: rehearsal.quarantined(task_id), within_s=60)
    path = f"/quarantine/{copy.id}/requeue"
    await rehearsal.kills(await doomed(rehearsal, point), path)
    status, receipt = await rehearsal.post(path)
    assert (status, receipt["disposition"]) == (200, "duplicate")
    await rehearsal.end()
    assert rehearsal.each_once()
    await eventually(lambda: rehearsal.set_aside_are(0), within_s=60, every_s=0.2)
