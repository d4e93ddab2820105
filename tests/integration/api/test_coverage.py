"""``/v1/queues/{queue}/coverage`` and ``/canaries``: what Redis counted, and its marks alone."""

import pytest

from app.api import schemas
from app.broker.journal import Journal
from app.canary import CANARY, new_canary_id
from app.state import TaskState


async def mirror_all(stores, *, but=()):
    """A mirror that skips what it should not."""
    keys = stores.keys("mail")
    journal = Journal(stores.redis, keys)
    (token,) = await stores.redis.fields(keys.generation, "token")
    entries, _ = await journal.read(token, None, 100)
    kept = [each for each in entries if each.task_id not in but]
    await journal.trim(token, kept)


async def coverage(api, query=""):
    answer = await api.get(f"/v1/queues/mail/coverage{query}")
    assert answer.status == 200
    assert schemas.Coverage.model_validate(answer.document)
    return answer.document


async def test_what_a_mirror_skipped_is_missing_and_lost(mirrored_api, stores):
    for name in ("a", "b", "c"):
        await mirrored_api.submit(queue="mail", taskId=name, durability="fast")
    found = await coverage(mirrored_api)
    assert (found["accepted"], found["mirrored"], found["waiting"]) == (3, 0, 3)
    assert found["journalFrom"] >= found["since"] - 1
    await mirror_all(stores, but="b")
    found = await coverage(mirrored_api, "?minutes=2")
    sums = [found[each] for each in ("accepted", "mirrored", "waiting", "missing", "lost")]
    assert sums == [3, 2, 0, 1, 1]
    assert len(found["minutes"]) == 2
    assert sum(each["missing"] for each in found["minutes"]) == 1
    assert found["journalFrom"] is None


async def test_without_rabbitmq_nothing_can_be_missing(api):
    await api.submit(queue="mail")
    found = await coverage(api)
    assert (found["accepted"], found["mirrored"], found["missing"]) == (1, None, None)


@pytest.mark.parametrize("minutes", ["0", "1441", "x"])
async def test_minutes_are_bounded(api, minutes):
    await api.submit(queue="mail")
    answer = await api.get(f"/v1/queues/mail/coverage?minutes={minutes}")
    assert (answer.status, answer.code) == (422, "invalid_task")


async def test_a_whole_day_can_be_asked_for(api):
    await api.submit(queue="mail")
    found = await coverage(api, "?minutes=1440")
    assert len(found["minutes"]) == 1_440


async def test_a_queue_nobody_has_seen_is_not_found(api):
    answer = await api.get("/v1/queues/never/coverage")
    assert (answer.status, answer.code) == (404, "queue_not_found")


async def test_a_canary_that_has_finished_is_not_mirrored_for_that(mirrored_api, stores):
    canary = new_canary_id()
    body = {"type": CANARY, "payload": {}, "taskId": canary, "queue": "mail"}
    assert (await mirrored_api.submit(body, durability="fast")).status == 202
    await stores.run_one("mail", state=TaskState.SUCCEEDED)
    path = f"/v1/queues/mail/canaries/{canary}"
    found = (await mirrored_api.get(path)).document
    assert schemas.Canary.model_validate(found)
    assert (found["state"], found["mirrored"], found["retired"]) == ("succeeded", False, False)
    await mirror_all(stores)
    assert (await mirrored_api.get(path)).document["mirrored"] is True


async def test_other_tasks_are_no_canaries(mirrored_api):
    await mirrored_api.submit(queue="mail", taskId="a", durability="fast")
    for task_id in ("a", new_canary_id()):
        answer = await mirrored_api.get(f"/v1/queues/mail/canaries/{task_id}")
        assert (answer.status, answer.code) == (404, "task_not_found")


async def test_a_canary_carries_nothing(api):
    answer = await api.submit({"type": CANARY, "payload": {"n": 1}})
    assert (answer.status, answer.pointers) == (422, ["#/payload/n"])
