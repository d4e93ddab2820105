"""The canary and the coverage, with real processes: they must tell who does not do his part."""

import asyncio
import json

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.names import QueueName
from tests.support.eventually import eventually

LATE = {"delayMs": 600_000}
SOON = "8s"
"""All a canary of which a leg is missing is waited for; the others must be there by then."""


async def run(board, *arguments, within_s=150):
    """(exit code, document) of a command."""
    process = board.lifeboat(*arguments, "--json")
    out, errors = await asyncio.to_thread(process.communicate, timeout=within_s)
    assert out, errors
    return process.returncode, json.loads(out)


async def fly(board, timeout="60s"):
    board.environment["LIFEBOAT_API_URL"] = board.api
    code, flight = await run(board, "canary", "--queue", "mail", "--timeout", timeout)
    return code, flight, {each["leg"]: each["ms"] for each in flight["legs"]}


async def coverage(board):
    status, found = await board.get("/v1/queues/mail/coverage?minutes=10")
    assert status == 200, found
    return found


async def covered(board):
    found = await coverage(board)
    return found["accepted"] == found["mirrored"]


async def is_empty(board):
    _, found = await board.get("/v1/queues/mail")
    return not any(found["depth"].values())


async def test_a_canary_tells_who_does_not_do_his_part(board):
    code, flight, legs = await fly(board)
    assert (code, flight["verdict"], flight["missing"]) == (0, "ok", None), flight
    assert max(legs["mirrored"], legs["finished"]) <= legs["retired"]
    found = await coverage(board)
    assert [found[each] for each in ("accepted", "mirrored", "retired", "missing")] == [1, 1, 1, 0]

    board.service("mirror").process.kill9()
    code, flight, legs = await fly(board, SOON)
    assert (code, flight["missing"]) == (1, "mirrored")
    assert legs["finished"] is not None
    assert "start `lifeboat mirror`" in flight["next"]
    found = await coverage(board)
    assert (found["accepted"] - found["mirrored"], found["lost"]) == (1, 0)

    await board.service("mirror").start()
    await eventually(lambda: covered(board), within_s=60)
    board.service("rehydrator").process.kill9()
    code, flight, legs = await fly(board, SOON)
    assert (code, flight["missing"]) == (1, "retired")
    assert legs["mirrored"] is not None
    assert "lifeboat.mirror.mail" in flight["next"]

    board.service("worker").process.kill9()
    code, flight, legs = await fly(board, SOON)
    assert (code, flight["missing"]) == (1, "finished")
    assert legs["mirrored"] is not None
    # Nobody must find it in his queue afterwards.
    await eventually(lambda: is_empty(board), within_s=60)


async def test_a_journal_entry_that_is_lost_is_missing_until_it_is_repaired(board):
    """What no lag shows: the mirror is up to date, and one task has no copy."""
    await board.submit(board.delivery("first", **LATE, durability="mirrored"))
    board.service("mirror").process.kill9()
    await board.submit(*(board.delivery(i, **LATE, durability="fast") for i in ("a", "b", "c")))
    redis = RedisConnection(
        board.environment["LIFEBOAT_REDIS_URL"], connect_timeout_ms=1_000, timeout_ms=5_000
    )
    keys = QueueKeys(board.environment["LIFEBOAT_ENV"], QueueName("default", "mail"))
    for entry, fields in await redis.redis.xrange(keys.journal):
        if fields[b"id"] == b"b":
            await redis.redis.xdel(keys.journal, entry)
    await redis.close()
    await board.service("mirror").start()

    async def caught_up():
        _, queue = await board.get("/v1/queues/mail")
        return queue["unmirroredTasks"] == 0

    await eventually(caught_up, within_s=60)
    found = await coverage(board)
    sums = [found[each] for each in ("accepted", "mirrored", "waiting", "missing", "lost")]
    assert sums == [4, 3, 0, 1, 1]
    assert sorted(each["missing"] for each in found["minutes"])[-2:] == [0, 1]

    code, report = await run(board, "reconcile", "--queue", "mail", "--repair", within_s=150)
    assert code == 0, report
    assert [(e["name"], e["taskId"]) for e in report["findings"]] == [("LIVE_NOT_MIRRORED", "b")]

    async def mended():
        return (await coverage(board))["missing"] == 0

    await eventually(mended, within_s=60)
