"""Submitting: receipts, repeats, levels of durability."""

import asyncio
from uuid import UUID

import orjson
import pytest

from app.api import schemas
from app.broker.recovery import Restore
from app.clock import now_ms
from app.envelope import decode
from app.names import QueueName, derived_task_id
from tests.integration.api.api import ENVELOPE, TASK
from tests.integration.api.test_batch import batch
from tests.support.eventually import eventually


async def test_a_new_task_gets_an_id_a_receipt_and_a_location(api, stores):
    before = now_ms()
    answer = await api.submit(queue="mail")
    receipt = answer.document
    assert answer.status == 202
    assert schemas.Receipt.model_validate(receipt)
    assert UUID(receipt["taskId"]).version == 7
    assert before <= receipt.pop("acceptedAt") <= now_ms()
    assert receipt == {
        "taskId": receipt["taskId"],
        "queue": "mail",
        "state": "queued",
        "disposition": "created",
        "durability": {"requested": "fast", "reached": "fast"},
        "acceptedBy": "redis",
        "degraded": True,
    }
    assert answer.headers["Location"] == f"/v1/tasks/{receipt['taskId']}?queue=mail"
    shown = await api.get(answer.headers["Location"])
    assert shown.document["payload"] == TASK["payload"]
    assert [queue.queue for queue in await stores.ledger.queues()] == ["mail"]


async def test_a_repeat_is_a_duplicate_and_another_request_a_conflict(api):
    first = (await api.submit(taskId="order-17")).document
    repeat = await api.submit(taskId="order-17", durability="fast", context={"user": "u"})
    assert repeat.status == 200
    assert repeat.document == first | {"disposition": "duplicate"}
    other = await api.submit(taskId="order-17", payload={"n": 2})
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert "order-17" in other.document["detail"]


@pytest.mark.parametrize(
    ("headers", "context"),
    [
        ({"Idempotency-Key": "k 1".replace(" ", "-")}, None),
        ({"Idempotency-Key": '"k-1"'}, None),
        ({}, {"idempotencyKey": "k-1"}),
        ({"Idempotency-Key": '"k-1"'}, {"idempotencyKey": "k-1"}),
    ],
)
async def test_a_key_names_the_task_however_it_is_given(api, stores, headers, context):
    body = TASK | ({"context": context} if context else {})
    answer = await api.submit(body, headers=headers)
    name = QueueName(stores.settings.tenant, "default")
    assert answer.document["taskId"] == derived_task_id(name, "k-1")
    again = await api.submit(headers={"Idempotency-Key": "k-1"})
    assert again.document["disposition"] == "duplicate"


async def test_surroundings_end_up_in_the_context(api):
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await api.submit(
        context={"user": "u1", "chatId": 7}, headers={"traceparent": traceparent}
    )
    shown = await api.get(answer.headers["Location"])
    assert shown.document["context"] == {
        "channel": "http",
        "traceparent": traceparent,
        "user": "u1",
        "chatId": 7,
    }


async def test_a_delayed_task_is_scheduled(api):
    before = now_ms()
    answer = await api.submit(delayMs=60_000)
    assert answer.document["state"] == "scheduled"
    shown = (await api.get(answer.headers["Location"])).document
    assert before + 60_000 <= shown["nextAttemptAt"] <= now_ms() + 60_000


async def test_concurrent_equal_submits_make_one_task(api, stores):
    answers = await asyncio.gather(*(api.submit(taskId="one") for _ in range(40)))
    dispositions = [answer.document["disposition"] for answer in answers]
    assert sorted(set(dispositions)) == ["created", "duplicate"]
    assert dispositions.count("created") == 1
    assert await stores.redis.redis.xlen(stores.keys().lanes[1]) == 1
    assert await stores.redis.redis.xlen(stores.keys().lanes[1]) == 1


async def test_a_mirrored_submit_returns_once_its_copy_is_confirmed(start, stores):
    api = await start(rabbitmq_url="amqp://guest@127.0.0.1:9/x", confirm_timeout_ms=20_000)
    submitting = asyncio.create_task(api.submit())
    await eventually(stores.mirror)
    receipt = (await submitting).document
    assert receipt["durability"] == {"requested": "mirrored", "reached": "mirrored"}
    assert receipt["degraded"] is False


async def test_without_a_mirror_the_receipt_is_degraded(mirrored_api):
    answer = await mirrored_api.submit()
    assert answer.status == 202
    assert answer.document["durability"] == {"requested": "mirrored", "reached": "fast"}
    assert answer.document["degraded"] is True


async def test_a_mirror_known_to_be_away_is_not_waited_for(start, stores):
    api = await start(rabbitmq_url="amqp://guest@127.0.0.1:9/x", confirm_timeout_ms=60_000)
    await stores.lose_mirror()
    # The confirm timeout is beyond the client's own: an answer shows that nobody waited for it.
    assert (await api.submit()).document["durability"]["reached"] == "fast"


async def test_who_refuses_a_degraded_answer_learns_the_id_and_can_ask_again(mirrored_api, stores):
    answer = await mirrored_api.submit(taskId="t1", onDegraded="refuse")
    assert (answer.status, answer.code) == (503, "durability_not_reached")
    assert answer.headers["Retry-After"]
    assert (answer.document["taskId"], answer.document["reached"]) == ("t1", "fast")
    assert "nobody there" in answer.document["detail"]
    assert await stores.mirror() == 1
    again = await mirrored_api.submit(taskId="t1", onDegraded="refuse")
    assert again.status == 200
    assert again.document["durability"]["reached"] == "mirrored"


async def test_without_rabbitmq_a_mirrored_submit_is_degraded_at_once(start):
    api = await start(confirm_timeout_ms=60_000)
    accepted = await api.submit(durability="mirrored")
    assert (accepted.status, accepted.document["degraded"]) == (202, True)
    refused = await api.submit(durability="mirrored", onDegraded="refuse")
    assert (refused.status, refused.code) == (503, "durability_not_reached")


async def test_a_full_queue_answers_429(start):
    api = await start(queue_max=2)
    assert [(await api.submit()).status for _ in range(2)] == [202, 202]
    full = await api.submit()
    assert (full.status, full.code) == (429, "queue_full")
    assert full.headers["Retry-After"]
    assert (await api.submit(queue="other")).status == 202


async def test_a_closed_list_of_queues_and_a_limit_of_queues_hold(start, stores):
    closed = await start(queues=("mail",))
    refused = await closed.submit(queue="other")
    assert (refused.status, refused.code, refused.pointers) == (422, "unknown_queue", ["#/queue"])
    assert await stores.nothing_is_kept()
    few = await start(limit_queues=1)
    assert (await few.submit(queue="one")).status == 202
    refused = await few.submit(queue="two")
    assert (refused.status, refused.code) == (422, "queue_limit_reached")


async def test_a_repeat_of_a_finished_task_shows_the_recorded_outcome(api, stores):
    first = (await api.submit(taskId="t1")).document
    await stores.run_one()
    await stores.redis.redis.delete(stores.keys().task("t1"))
    repeat = (await api.submit(taskId="t1")).document
    assert repeat["disposition"] == "duplicate"
    assert repeat["state"] == "succeeded"
    assert repeat["durability"]["reached"] == "mirrored"
    assert repeat["acceptedAt"] == first["acceptedAt"]
    assert await stores.redis.redis.xlen(stores.keys().lanes[1]) == 0


@pytest.mark.parametrize("is_finished", [False, True])
@pytest.mark.parametrize("delay_ms", [0, 3_600_000])
async def test_a_repeat_of_a_restored_task_says_when_it_was_accepted(
    api, stores, delay_ms, is_finished
):
    request = TASK | {"taskId": "t1", "delayMs": delay_ms}
    first = (await api.submit(request)).document
    (seen,) = await stores.intake().look(await stores.token(), ["t1"])
    await stores.redis.redis.delete(stores.keys().task("t1"), stores.keys().lanes[1])
    restore = Restore(decode(seen.envelope), 0, 0)
    assert await stores.recovery().restore(await stores.token(), [restore]) == ["restored"]
    if is_finished:
        if delay_ms:
            await api.act("/v1/tasks/t1/cancel")
        else:
            await stores.run_one()
    await eventually(lambda: now_ms() > first["acceptedAt"])
    repeat = (await api.submit(request)).document
    (in_batch,) = (await batch(api, [request])).document["items"]
    for again in (repeat, in_batch):
        assert again["disposition"] == "duplicate"
        assert again["acceptedAt"] == first["acceptedAt"]


async def test_prefer_wait_answers_with_the_finished_task(api, stores):
    submitting = asyncio.create_task(api.submit(headers={"Prefer": "respond-async, wait=20"}))
    await eventually(lambda: stores.redis.redis.xlen(stores.keys().lanes[1]))
    await stores.run_one()
    answer = await submitting
    assert answer.status == 200
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert answer.document["state"] == "succeeded"
    assert answer.document["result"] == {"ok": True}
    assert answer.document["disposition"] == "created"
    assert schemas.Task.model_validate(answer.document)


async def test_prefer_wait_over_answers_with_the_receipt(api):
    answer = await api.submit(headers={"Prefer": "wait=0"})
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "wait=0"
    assert answer.headers["Location"]
    assert schemas.Receipt.model_validate(answer.document)


async def test_an_envelope_is_taken_unchanged(api, stores):
    await api.submit(taskId="t1", retry={"maxAttempts": 3}, priority="low")
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys().lanes[2])
    raw = fields[b"envelope"]
    again = orjson.loads(raw) | {"run": 3, "queue": "copied"}
    await stores.redis.redis.delete(*await stores.redis_keys())
    answer = await api.post(orjson.dumps(again), content_type=ENVELOPE)
    assert (answer.status, answer.document["disposition"]) == (202, "created")
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys("copied").lanes[2])
    assert fields[b"envelope"] == orjson.dumps(again)
    assert fields[b"run"] == b"3"
    assert (await api.post(orjson.dumps(again), content_type=ENVELOPE)).status == 200


async def test_accepted_tasks_are_counted(api):
    await api.submit(taskId="t1")
    await api.submit(taskId="t1")
    exposition = (await api.get("/metrics")).body.decode()
    line = 'lifeboat_tasks_accepted_total{accepted_by="redis",level="fast",queue="default",tenant="default"} 1.0'
    assert line in exposition.splitlines()
