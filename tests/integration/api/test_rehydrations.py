"""Rehydrations over HTTP: asked for by one, shown to all, given up where nobody takes them."""

from dataclasses import replace

import aio_pika
import pytest

from app.amqp.declare import declare, declare_queue
from app.api import schemas
from app.clock import now_ms
from app.ledger.records import RehydrationRecord
from app.task_queue.rehydrations import RUN_LEASE, SILENT_FOR_MS, TAKEN_WITHIN_MS
from tests.integration.api.test_outage import locked

PATH = "/v1/rehydrations"
ALL = {
    "dryRun": True,
    "queue": "mail",
    "tenant": "acme",
    "since": 5,
    "taskIds": ["a", "b"],
    "rate": 20,
}


async def test_a_run_is_asked_for_and_shown(api, stores):
    # Another tenant's queue: who may begin a run may begin it for all.
    await stores.ledger.ensure_queue("acme", "mail", 200)
    asked = await api.act(PATH, ALL)
    assert asked.status == 202
    run = asked.document
    schemas.Rehydration.model_validate(run)
    assert (run["state"], run["seen"], run["finishedAt"]) == ("requested", 0, None)
    found = await api.get(asked.headers["Location"])
    assert (found.status, found.document) == (200, run)
    listed = await api.get(PATH)
    schemas.Rehydrations.model_validate(listed.document)
    assert listed.document == {"items": [run], "cursor": None}
    (record,) = await stores.ledger.rehydrations(5)
    kept = (record.dry_run, record.queue, record.tenant, record.since_ms, record.rate)
    assert kept == (True, "mail", "acme", 5, 20)
    assert record.task_ids == ["a", "b"]


async def test_a_queue_that_nobody_has_is_refused(api, stores):
    answer = await api.act(PATH, {"queue": "nobodys"})
    assert (answer.status, answer.code) == (404, "queue_not_found")
    assert await stores.ledger.rehydrations(5) == []
    assert (await api.act(PATH)).status == 202


async def test_a_queue_of_which_only_copies_are_left_can_be_rehydrated(
    start, rabbitmq_url, env_name
):
    api = await start(rabbitmq_url=rabbitmq_url)
    assert (await api.act(PATH, {"queue": "mail"})).status == 404
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        await declare(connection, env_name)
        await declare_queue(connection, "mail")
    assert (await api.act(PATH, {"queue": "mail"})).status == 202


async def test_whether_a_queue_exists_is_not_guessed(start, sqlite_path):
    api = await start(store_timeout_ms=1_000)
    await api.submit(queue="mail")
    with locked(sqlite_path):
        for queue in ("mail", "nobodys"):
            answer = await api.act(PATH, {"queue": queue})
            assert (answer.status, answer.code) == (503, "unavailable")


async def test_without_a_body_everything_is_meant(api, stores):
    assert (await api.act(PATH)).status == 202
    (record,) = await stores.ledger.rehydrations(5)
    assert (record.dry_run, record.queue, record.task_ids, record.rate) == (False, None, [], None)


async def test_one_at_a_time_also_while_it_waits_to_be_taken(api):
    assert (await api.act(PATH)).status == 202
    again = await api.act(PATH, {"dryRun": True})
    assert (again.status, again.code) == (409, "rehydration_running")


async def test_a_run_of_the_command_counts_too(api, stores):
    await stores.ledger.acquire_lease(RUN_LEASE, "the command", 60_000)
    refused = await api.act(PATH)
    assert (refused.status, refused.code) == (409, "rehydration_running")
    await stores.ledger.release_lease(RUN_LEASE, "the command")
    assert (await api.act(PATH)).status == 202
    # Asking holds nothing that the run needs.
    assert await stores.ledger.acquire_lease(RUN_LEASE, "the run", 60_000)


@pytest.mark.parametrize(
    ("state", "quiet_ms", "word"),
    [
        ("requested", TAKEN_WITHIN_MS, "No rehydrator took it"),
        ("running", SILENT_FOR_MS, "has been silent"),
    ],
)
async def test_what_nobody_goes_on_with_is_failed_when_asked(api, stores, state, quiet_ms, word):
    at = now_ms() - quiet_ms - 1_000
    record = RehydrationRecord("r1", state, at, counts={"seen": 3}, updated_at_ms=at)
    await stores.ledger.put_rehydration(record)
    run = (await api.get(f"{PATH}/r1")).document
    assert (run["state"], run["seen"]) == ("failed", 3)
    assert word in run["problems"][0]
    assert run["finishedAt"] >= at
    assert (await stores.ledger.get_rehydration("r1")).state == "failed"
    assert (await api.act(PATH)).status == 202


async def test_a_run_that_writes_its_record_goes_on(api, stores):
    record = RehydrationRecord("r1", "running", 5, counts={"seen": 3}, updated_at_ms=now_ms())
    await stores.ledger.put_rehydration(record)
    assert (await api.get(f"{PATH}/r1")).document["state"] == "running"
    done = replace(record, state="complete", updated_at_ms=6, finished_at_ms=6)
    await stores.ledger.put_rehydration(done)
    assert (await api.get(f"{PATH}/r1")).document["state"] == "complete"


async def test_an_unknown_run(api):
    answer = await api.get(f"{PATH}/nobodys")
    assert (answer.status, answer.code) == (404, "rehydration_not_found")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("dryRun", "yes"),
        ("queue", "No Queue"),
        ("tenant", ""),
        ("since", "2h"),
        ("since", -1),
        ("taskIds", []),
        ("taskIds", ["a b"]),
        ("rate", 0),
        ("rate", "fast"),
        ("all", True),
    ],
)
async def test_bad_wishes_are_refused_by_their_fields(api, stores, member, value):
    answer = await api.act(PATH, {member: value})
    assert (answer.status, answer.code) == (422, "invalid_task")
    assert answer.pointers[0].startswith(f"#/{member}")
    assert await stores.ledger.rehydrations(5) == []
