"""The client against a real API: submit, look, wait, and what goes wrong on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import BaseModel

from app.api import schemas
from app.client import (
    Conflict,
    Invalid,
    NewTask,
    NoAnswer,
    NotFinished,
    NotFound,
    NotReached,
    QueueFull,
    Unknown,
    results,
)
from app.clock import now_ms
from app.names import QueueName, derived_task_id
from app.retry import RetryPolicy
from app.stack.process import free_port
from app.state import TaskState
from tests.support.eventually import eventually


class Report(BaseModel):
    n: int


async def test_a_submit_has_a_typed_receipt_and_can_be_looked_at(client):
    receipt = await client.submit("report", Report(n=1), context={"user": "ada", "chat_id": 7})
    assert UUID(receipt.task_id).version == 7
    assert receipt.disposition == "created"
    assert receipt.state is TaskState.QUEUED
    task = await client.get(receipt.task_id)
    assert task.payload == {"n": 1}
    assert task.context == {"channel": "python", "user": "ada", "chatId": 7}
    assert not task.is_finished


async def test_every_option_reaches_the_task(client):
    due = datetime.now(UTC) + timedelta(hours=1)
    receipt = await client.submit(
        "report",
        {},
        task_id="t1",
        queue="mail",
        priority="high",
        not_before=due,
        expires_at=due + timedelta(hours=1),
        timeout=2.5,
        retry=RetryPolicy(delays_ms=(1_000, 2_000), jitter=0),
        durability="fast",
        on_degraded="refuse",
    )
    assert receipt.state is TaskState.SCHEDULED
    assert receipt.durability.requested == "fast"
    task = await client.get("t1", queue="mail")
    assert task.max_attempts == 3
    assert task.next_attempt_at == round(due.timestamp() * 1_000)


async def test_a_delay_is_in_seconds(client):
    before = now_ms()
    receipt = await client.submit("report", {}, delay=timedelta(minutes=1))
    task = await client.get(receipt.task_id)
    assert before + 60_000 <= task.next_attempt_at <= now_ms() + 60_000


async def test_a_key_names_the_task(client):
    first = await client.submit("report", {"n": 1}, idempotency_key="k-1")
    again = await client.submit("report", {"n": 1}, idempotency_key="k-1")
    assert first.task_id == derived_task_id(QueueName("default", "default"), "k-1")
    assert (again.task_id, again.disposition) == (first.task_id, "duplicate")


async def test_a_repeat_with_another_content_is_a_conflict(client):
    await client.submit("report", {"n": 1}, task_id="t1")
    with pytest.raises(Conflict) as refused:
        await client.submit("report", {"n": 2}, task_id="t1")
    assert (refused.value.status, refused.value.code) == (409, "idempotency_conflict")
    assert refused.value.task_id == "t1"


async def test_what_breaks_a_rule_names_the_fields(client):
    with pytest.raises(Invalid) as refused:
        await client.submit("report", {}, timeout=0.001)
    assert (refused.value.status, refused.value.code) == (422, "invalid_task")
    assert [each.pointer for each in refused.value.errors] == ["#/timeoutMs"]
    assert refused.value.errors[0].limit == 100


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"", datetime(2030, 1, 1, tzinfo=UTC)])
async def test_what_json_cannot_say_is_refused_before_it_is_sent(clients, value):
    with pytest.raises(Invalid) as refused:
        await clients("http://127.0.0.1:9").submit("report", {"value": value})
    assert [each.pointer for each in refused.value.errors] == ["#/payload"]


async def test_a_task_that_is_not_there_is_not_found(client):
    with pytest.raises(NotFound) as missing:
        await client.get("nothing")
    assert missing.value.code == "task_not_found"


async def test_a_full_queue_is_told_with_when_to_come_back(start, clients):
    client = clients((await start(queue_max=1)).url)
    await client.submit("report", {})
    with pytest.raises(QueueFull) as full:
        await client.submit("report", {})
    assert full.value.retry_after_s >= 1


async def test_a_wait_ends_with_the_task(client, stores):
    await client.submit("report", {}, task_id="t1")
    waiting = asyncio.create_task(client.wait("t1", timeout=30))
    await eventually(lambda: stores.redis.redis.exists(stores.keys().task("t1")))
    await stores.run_one()
    task = await waiting
    assert task.succeeded
    assert task.result == {"ok": True}
    assert task.attempts[0].outcome == "succeeded"


async def test_a_wait_that_is_over_says_what_the_task_does(client):
    await client.submit("report", {}, task_id="t1")
    with pytest.raises(NotFinished, match="still queued") as over:
        await client.wait("t1", timeout=0.05)
    assert over.value.document["state"] == "queued"
    assert isinstance(over.value, TimeoutError)


async def test_a_lost_answer_is_asked_for_again_and_makes_one_task(gate, clients, stores):
    client = clients(gate.url, timeout=20)
    gate.swallow = 1
    receipt = await client.submit("report", {"n": 1})
    assert receipt.disposition == "duplicate"
    assert gate.seen == 2
    assert await stores.redis.redis.xlen(stores.keys().lanes[1]) == 1


async def test_who_does_not_name_tasks_is_not_repeated(gate, clients, stores):
    client = clients(gate.url, timeout=20, server_ids=True)
    gate.swallow = 1
    with pytest.raises(NoAnswer) as unknown:
        await client.submit("report", {"n": 1})
    assert unknown.value.task_id is None
    assert gate.seen == 1


async def test_an_unknown_outcome_names_the_task_to_repeat(gate, clients):
    client = clients(gate.url, repeat=False)
    gate.swallow = 1
    with pytest.raises(Unknown) as unknown:
        await client.submit("report", {"n": 1})
    repeated = await client.submit("report", {"n": 1}, task_id=unknown.value.task_id)
    assert repeated.disposition == "duplicate"


async def test_nobody_there_is_said_with_the_address(clients):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer, match=url):
        await clients(url, timeout=0.3).queues()


async def test_an_unavailable_store_is_waited_for(start, clients, private_redis):
    private_redis.kill9()
    api = await start(redis_url=private_redis.url, wait_for_ledger=False)
    submitting = asyncio.create_task(clients(api.url, timeout=60).submit("report", {}))
    with pytest.raises(Unknown) as away:
        await clients(api.url, repeat=False).submit("report", {})
    assert (away.value.status, away.value.code) == (503, "unavailable")
    assert not submitting.done()
    await private_redis.start()
    assert (await submitting).state is TaskState.QUEUED


async def test_a_level_that_is_refused_says_what_was_reached(mirrored_api, clients):
    client = clients(mirrored_api.url, repeat=False)
    with pytest.raises(NotReached) as refused:
        await client.submit("report", {}, durability="mirrored", on_degraded="refuse")
    assert refused.value.reached == "fast"
    assert (await client.get(refused.value.task_id)).state is TaskState.QUEUED


async def test_figures_are_typed(client):
    await client.submit("report", {}, queue="mail")
    (queue,) = await client.queues()
    assert queue.queue == (await client.queue("mail")).queue == "mail"
    assert queue.depth.queued == 1
    (mirror,) = await client.mirror()
    assert (mirror.queue, mirror.leader) == ("mail", None)


SHOWN_AS = {
    **{
        name: name for name in ("Receipt", "Durability", "Task", "Attempt", "TaskError", "Progress")
    },
    **{name: name for name in ("Queue", "Depth", "Mirror", "Worker", "Acted")},
    "QuarantinedCopy": "Quarantined",
}


@pytest.mark.parametrize("shown", SHOWN_AS)
def test_results_have_the_members_that_the_api_shows(shown):
    read = getattr(results, SHOWN_AS[shown])
    assert set(read.model_fields) == set(getattr(schemas, shown).model_fields)


async def test_a_result_gives_back_what_came(api, client):
    await client.submit("report", {"n": 1}, task_id="t1")
    task = await client.get("t1")
    assert task.document() == (await api.get("/v1/tasks/t1")).document


async def test_new_tasks_take_what_a_submit_takes():
    task = NewTask("report", Report(n=1), queue="mail", delay=1.5, retry={"max_attempts": 3})
    assert task.body() == {
        "type": "report",
        "payload": {"n": 1},
        "queue": "mail",
        "delayMs": 1_500,
        "retry": {"maxAttempts": 3},
        "context": {"channel": "python"},
    }


def test_a_moment_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        NewTask("report", {}, not_before=datetime(2030, 1, 1)).body()  # noqa: DTZ001


async def test_a_batch_has_an_outcome_for_each_in_order(client):
    outcomes = await client.submit_many(
        [
            NewTask("report", {"n": 1}, task_id="t1"),
            NewTask("report", {"n": 2}, timeout=0.001, task_id="t2"),
            NewTask("report", Report(n=3), queue="mail"),
        ]
    )
    first, refused, third = outcomes
    assert (first.task_id, first.disposition, third.queue) == ("t1", "created", "mail")
    assert isinstance(refused, Invalid)
    assert (refused.task_id, refused.errors[0].pointer) == ("t2", "#/timeoutMs")


async def test_more_than_a_batch_may_hold_goes_in_several(client):
    receipts = await client.submit_many(NewTask("report", {"n": n}) for n in range(1_001))
    assert len({receipt.task_id for receipt in receipts}) == 1_001
    assert (await client.queue("default")).depth.queued == 1_001


async def test_a_batch_whose_answer_is_lost_is_repeated(gate, clients):
    gate.swallow = 1
    receipts = await clients(gate.url).submit_many([NewTask("report", {})] * 3)
    assert [receipt.disposition for receipt in receipts] == ["duplicate"] * 3


async def test_a_batch_nobody_answers_names_every_task(clients):
    client = clients("http://127.0.0.1:9", timeout=0.2)
    outcomes = await client.submit_many([NewTask("report", {}, task_id=f"t{n}") for n in range(2)])
    assert [(type(each), each.task_id) for each in outcomes] == [(NoAnswer, "t0"), (NoAnswer, "t1")]


async def test_what_was_never_asked_is_asked_again_even_if_it_may_not_be_repeated(clients, start):
    port = free_port()
    client = clients(f"http://127.0.0.1:{port}", timeout=20)
    clearing = asyncio.create_task(client.clear("default"))
    await asyncio.wait([clearing], timeout=0.3)
    assert not clearing.done()
    await start(http_port=port)
    with pytest.raises(NotFound):
        await clearing


async def test_what_may_not_be_repeated_is_not(gate, clients):
    client = clients(gate.url)
    await client.submit("report", {})
    asked = gate.seen
    gate.swallow = 1
    with pytest.raises(NoAnswer):
        await client.clear("default")
    assert gate.seen == asked + 1


async def test_silence_is_told_with_its_time(clients):
    async def silent(reader, writer):
        await reader.read()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = clients(url, timeout=0.5)
        with pytest.raises(NoAnswer, match=r"nothing came within 0\.5 s"):
            await client.queues()
        await client.close()


async def test_what_is_no_lifeboat_is_told(clients):
    async def web(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        client = clients(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(Unknown, match="no JSON"):
            await client.queues()
        await client.close()
