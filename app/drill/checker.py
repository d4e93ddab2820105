"""Reading the stores with code of the drill's own: the ledger, the broker, the receiver's file."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.drill.ends import Arrival, Recorded
from app.drill.keys import JOURNALS
from app.stack.stack import DATABASE, Stack

READ_WITHIN_S = 10.0
RUN_ID_WITHIN_S = 0.5


def read_arrivals(path: Path) -> list[Arrival]:
    """Every arrival the receiver noted."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [
        Arrival(d["task"], d["status"], d["at"], d["began"], d["digest"])
        for d in map(orjson.loads, lines)
    ]


async def read_records(stack: Stack, sqlite: Path, queue: str) -> dict[str, Recorded]:
    """Task id -> what the ledger has of finished tasks of a queue."""
    return await asyncio.to_thread(
        _from_mongo if stack.mongo else _from_sqlite,
        stack.mongo.database_url(DATABASE) if stack.mongo else str(sqlite),
        queue,
    )


def _from_mongo(url: str, queue: str) -> dict[str, Recorded]:
    timeout_ms = round(READ_WITHIN_S * 1000)
    with MongoClient[dict[str, Any]](
        url, serverSelectionTimeoutMS=timeout_ms, socketTimeoutMS=timeout_ms
    ) as client:
        # What a majority has: nothing else stays for certain.
        database = client.get_default_database(read_concern=ReadConcern("majority"))
        found = database["records"].find(
            {"queue": queue, "finished.run": {"$gte": 1}},
            {
                **{f"finished.{each}": 1 for each in ("run", "state", "at")},
                **{f"attempts.{each}": 1 for each in ("run", "outcome")},
            },
        )
        return {
            d["_id"].split("/")[2]: _recorded(**d["finished"], attempts=d.get("attempts", []))
            for d in found
        }


def _from_sqlite(path: str, queue: str) -> dict[str, Recorded]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=READ_WITHIN_S) as db:
        found = db.execute(
            "SELECT id, finished_state, finished_run, finished_at, attempts FROM records"
            " WHERE queue = ? AND finished_run > 0",
            (queue,),
        )
        return {
            id_.split("/")[2]: _recorded(state, run, at, orjson.loads(attempts))
            for id_, state, run, at, attempts in found
        }


def _recorded(state: str, run: int, at: int, attempts: list[Mapping[str, Any]]) -> Recorded:
    ended = [each["outcome"] for each in attempts if each["run"] == run]
    won = ended.count("succeeded")
    failures = sum(1 for each in ended if each not in ("succeeded", "given_back"))
    return Recorded(state, won, at, run, failures)


async def copies_left(stack: Stack, queue: str) -> int | None:
    """Copies in a mirror queue and in the quarantine, ready and unacked.

    None while the broker cannot say. No drill makes a copy that belongs into the quarantine.
    """
    found: Any = await _of_rabbitmq(stack, f"/api/queues/{stack.vhost}")
    return copies_in(found or (), queue)


def copies_in(queues: Iterable[Mapping[str, Any]], queue: str) -> int | None:
    """The same, of the queues as the management API shows them; one it just made has no count."""
    mirror = f"lifeboat.mirror.{queue}"
    names = (mirror, "lifeboat.quarantine")
    counts = {each["name"]: each.get("messages") for each in queues if each["name"] in names}
    known = [int(count) for count in counts.values() if count is not None]
    return sum(known) if mirror in counts and len(known) == len(counts) else None


async def open_left(stack: Stack, prefix: str) -> int | None:
    """Tasks of a queue that are to run, and journal entries, in Redis; None if it cannot say."""
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            depth, journal = await redis_depth(stack, prefix)
            return sum(depth.values()) + journal
    except (RedisError, OSError, TimeoutError, TypeError):
        return None


async def redis_depth(stack: Stack, prefix: str) -> tuple[dict[str, int], int]:
    """Tasks of a queue by state, and the length of its journal.

    ``prefix`` is that of the queue's keys.
    """
    lanes = [f"{prefix}ready:{priority}" for priority in ("high", "normal", "low")]
    async with Redis.from_url(stack.redis.url) as client, client.pipeline(transaction=True) as ask:
        for lane in lanes:
            ask.xlen(lane)
        ask.zcard(f"{prefix}delayed")
        ask.scard(f"{prefix}retrying")
        ask.xlen(f"{prefix}journal")
        for lane in lanes:
            ask.xinfo_groups(lane)
        *counts, high, normal, low = await ask.execute(raise_on_error=False)
    ready, (delayed, retrying, journal) = sum(counts[:3]), counts[3:]
    # A stream that is not there is answered with an error: nothing of it is handed out.
    groups = [group for found in (high, normal, low) if isinstance(found, list) for group in found]
    running = sum(group["pending"] for group in groups)
    depth = {
        "queued": ready - running,
        "running": running,
        "scheduled": delayed - retrying,
        "retrying": retrying,
    }
    return depth, journal


async def unmirrored(url: str, journal: str | None = None) -> tuple[int, float]:
    """How many entries wait in the journals, or in one, and since how many seconds the oldest."""
    async with Redis.from_url(url, decode_responses=True) as client:
        seconds, microseconds = await client.time()
        now_ms = seconds * 1_000 + microseconds // 1_000
        count, oldest_ms = 0, now_ms
        every = [journal] if journal else [each async for each in client.scan_iter(match=JOURNALS)]
        for each in every:
            count += await client.xlen(each)
            for entry_id, _ in await client.xrange(each, count=1) or []:
                oldest_ms = min(oldest_ms, int(str(entry_id).split("-")[0]))
    return count, (now_ms - oldest_ms) / 1_000


async def run_id(stack: Stack) -> str | None:
    """Which run of a Redis server this is; None if it does not answer."""
    try:
        async with (
            asyncio.timeout(RUN_ID_WITHIN_S),
            Redis.from_url(stack.redis.url, decode_responses=True) as client,
        ):
            return str((await client.info("server"))["run_id"])
    except (RedisError, OSError, TimeoutError):
        return None


async def versions(stack: Stack) -> dict[str, str]:
    """What really ran."""
    found = {}
    async with Redis.from_url(stack.redis.url) as client:
        found["redis"] = str((await client.info("server"))["redis_version"])
    overview = await _of_rabbitmq(stack, "/api/overview") or {}
    found["rabbitmq"] = str(overview.get("rabbitmq_version", "unknown"))
    if stack.mongo:
        found["mongodb"] = await asyncio.to_thread(
            _mongo_version, stack.mongo.database_url("admin")
        )
    else:
        found["sqlite"] = sqlite3.sqlite_version
    return found


def _mongo_version(url: str) -> str:
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5_000) as client:
        return str(client.server_info()["version"])


async def queue_document(api: str, queue: str) -> dict[str, Any] | None:
    """``GET /v1/queues/{queue}``; None while it is not answered."""
    return await _get(f"{api}/v1/queues/{queue}")


async def newest_run(api: str) -> dict[str, Any] | None:
    """The newest of ``GET /v1/rehydrations``; None: there is none, or it is not answered."""
    found = await _get(f"{api}/v1/rehydrations")
    return next(iter(found["items"]), None) if found else None


async def restored_by_service(rehydrator: str) -> int:
    """How many tasks the rehydrator process says it brought back since it started."""
    return await _counted(rehydrator, "lifeboat_rehydrate_tasks_total", 'outcome="restored"')


async def losses_found(rehydrator: str, kind: str) -> int:
    """How often the rehydrator process says it found that Redis had lost something."""
    return await _counted(rehydrator, "lifeboat_redis_losses_total", f'kind="{kind}"')


async def _counted(process: str, name: str, label: str) -> int:
    text = await read_text(f"{process}/metrics")
    return sum(
        round(float(line.rsplit(" ", 1)[1]))
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and label in line
    )


async def _of_rabbitmq(stack: Stack, path: str) -> dict[str, Any] | None:
    """What the first node that answers says; None: none does."""
    for node in stack.brokers:
        ours_and_dead = node in stack.servers and not node.process.running
        if not ours_and_dead and (found := await _get(node.management_url + path)) is not None:
            return found
    return None


async def _get(url: str) -> dict[str, Any] | None:
    text = await read_text(url)
    return orjson.loads(text) if text else None


async def read_text(url: str) -> str:
    """The body of a good answer; empty for any other."""
    timeout = aiohttp.ClientTimeout(total=READ_WITHIN_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return await response.text() if response.ok else ""
    except (aiohttp.ClientError, OSError, TimeoutError):
        return ""
