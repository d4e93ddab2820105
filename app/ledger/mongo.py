"""The ledger in MongoDB, through motor.

Majority and journaled writes, majority reads: a w:1 record may roll back, and a copy in RabbitMQ
must never be let go on the word of one (reliability: ``docs/explanation/guarantees.md``).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.errors import LedgerMismatch, QueueLimitReached, Unavailable
from app.ledger import documents
from app.ledger.records import (
    HISTORY_MAX,
    Finish,
    FinishResult,
    LeaseView,
    LedgerRecord,
    OpenWrite,
    QuarantineRecord,
    QueueRecord,
    RehydrationRecord,
    Standing,
    attempt_document,
)
from app.names import TaskKey

DUPLICATE = 11000
Documents = AsyncIOMotorCollection[dict[str, Any]]


class MongoLedger:
    """``app.ledger.ledger.Ledger`` on MongoDB; the URL names the database."""

    def __init__(self, url: str, *, env: str, record_days: int, timeout_ms: int) -> None:
        self._client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            url,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
            retryWrites=True,
            appname="lifeboat",
        )
        database = self._client.get_default_database(
            default="lifeboat",
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True, wtimeout=timeout_ms),
        )
        self._records: Documents = database["records"]
        self._queues: Documents = database["queues"]
        self._leases: Documents = database["leases"]
        self._runs: Documents = database["rehydrations"]
        self._quarantine: Documents = database["quarantine"]
        self._facts: Documents = database["facts"]
        self._env = env
        self._record_days = record_days
        self._timeout_s = timeout_ms / 1000
        self._identity = ""

    @property
    def identity(self) -> str:
        """Who this ledger is."""
        return self._identity

    async def open(self) -> None:
        """Make indexes, read or create the identity."""
        async with self._deadline():
            await self._records.create_index("expireAt", expireAfterSeconds=0)
            await self._records.create_index(
                [("tenant", 1), ("queue", 1), ("finished.state", 1), ("finished.at", 1)]
            )
            known = await self._facts.find_one_and_update(
                {"_id": "identity"},
                {"$setOnInsert": {"ledger": uuid4().hex, "env": self._env}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        if known["env"] != self._env:
            raise LedgerMismatch(
                f"This ledger belongs to env {known['env']!r}, not to {self._env!r}. Give each"
                " LIFEBOAT_ENV a database of its own."
            )
        self._identity = known["ledger"]

    async def close(self) -> None:
        """Drop every connection."""
        self._client.close()

    async def ping(self) -> None:
        """Ask the primary for a sign of life."""
        async with self._deadline():
            await self._client.admin.command("ping")

    async def finish(self, writes: Sequence[Finish]) -> list[FinishResult]:
        """One unordered bulk; a duplicate key means that somebody was first."""
        seen: set[TaskKey] = set()
        for write in writes:
            if write.key in seen:
                # Writes of one task must not race inside one unordered bulk.
                half = len(writes) // 2
                return [*await self.finish(writes[:half]), *await self.finish(writes[half:])]
            seen.add(write.key)
        operations = [self._finish_operation(write) for write in writes]
        lost = await self._bulk(operations)
        results = [FinishResult(True, w.finished.run, w.finished.state) for w in writes]
        if lost:
            standings = await self.ask([writes[index].key for index in lost])
            for index in lost:
                standing = standings[writes[index].key]
                won = standing.finished_by == writes[index].finished.by
                results[index] = FinishResult(won, standing.finished_run, standing.finished_state)
        return results

    def _finish_operation(self, write: Finish) -> UpdateOne:
        finished = write.finished
        update: dict[str, Any] = {
            "$set": {
                "tenant": write.key.tenant,
                "queue": write.key.queue,
                "requestDigest": write.request_digest,
                "envelope": write.envelope,
                "finished": documents.finished_document(finished),
                "expireAt": documents.expiry(finished, self._record_days),
            },
            "$unset": {"open": ""},
        }
        if write.attempt is not None:
            update["$push"] = _history(write.attempt)
        return UpdateOne(
            {
                "_id": write.key.full,
                "$or": [{"finished": None}, {"finished.run": {"$lt": finished.run}}],
            },
            update,
            upsert=True,
        )

    async def record_open(self, writes: Sequence[OpenWrite]) -> list[bool]:
        """Conditional upserts, then a look at who won where one did not apply."""
        lost = await self._bulk([_open_operation(write) for write in writes])
        answers = [True] * len(writes)
        if lost:
            standings = await self.ask([writes[index].key for index in lost])
            for index in lost:
                standing = standings.get(writes[index].key)
                answers[index] = standing is not None and standing.open == writes[index].part
        return answers

    async def _bulk(self, operations: list[UpdateOne]) -> list[int]:
        """Run an unordered bulk; the indexes of operations whose condition did not hold."""
        try:
            async with self._deadline():
                await self._records.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            problems = details.get("writeErrors", [])
            if details.get("writeConcernErrors") or any(p["code"] != DUPLICATE for p in problems):
                raise Unavailable("ledger", str(details)[:300]) from error
            return [problem["index"] for problem in problems]
        return []

    async def ask(self, keys: Sequence[TaskKey]) -> dict[TaskKey, Standing]:
        """One find over the ids."""
        by_id = {key.full: key for key in keys}
        async with self._deadline():
            found = await self._records.find(
                {"_id": {"$in": list(by_id)}}, documents.STANDING_PROJECTION
            ).to_list(None)
        return {by_id[document["_id"]]: documents.standing(document) for document in found}

    async def get(self, key: TaskKey) -> LedgerRecord | None:
        """One document."""
        async with self._deadline():
            document = await self._records.find_one({"_id": key.full})
        return documents.record(key, document) if document else None

    async def finished_ids(self, tenant: str, queue: str) -> dict[str, str]:
        """Every finished task of a queue."""
        query = {"tenant": tenant, "queue": queue, "finished.state": {"$exists": True}}
        async with self._deadline():
            found = await self._records.find(query, {"finished.state": 1}).to_list(None)
        return {d["_id"].split("/", 2)[2]: d["finished"]["state"] for d in found}

    async def ensure_queue(self, tenant: str, queue: str, limit: int) -> None:
        """Insert unless there."""
        name = f"{tenant}/{queue}"
        async with self._deadline():
            if await self._queues.find_one({"_id": name}):
                return
            if await self._queues.count_documents({"tenant": tenant}) >= limit:
                raise QueueLimitReached(f"Tenant {tenant} already has {limit} queues.")
            try:
                await self._queues.insert_one(
                    {"_id": name, "tenant": tenant, "queue": queue, "paused": False}
                )
            except DuplicateKeyError:
                return

    async def queues(self) -> list[QueueRecord]:
        """Every queue."""
        async with self._deadline():
            found = await self._queues.find().sort("_id").to_list(None)
        return [QueueRecord(d["tenant"], d["queue"], d["paused"]) for d in found]

    async def parked_counts(self, tenant: str, queue: str) -> dict[str, int]:
        """Counted from the index."""
        counts = {}
        async with self._deadline():
            for state in ("dead", "suspended"):
                counts[state] = await self._records.count_documents(
                    {"tenant": tenant, "queue": queue, "finished.state": state}
                )
        return counts

    async def acquire_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """By the server's clock."""
        free = {"$or": [{"owner": owner}, {"$expr": {"$lte": ["$until", "$$NOW"]}}]}
        update: list[dict[str, Any]] = [
            {"$set": {"owner": owner, "until": {"$add": ["$$NOW", ttl_ms]}}},
            {"$unset": "wantedBy"},
        ]
        try:
            async with self._deadline():
                await self._leases.update_one({"_id": name, **free}, update, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def renew_lease(self, name: str, owner: str, ttl_ms: int) -> LeaseView:
        """By the server's clock."""
        async with self._deadline():
            found = await self._leases.find_one_and_update(
                {"_id": name, "owner": owner}, [{"$set": {"until": {"$add": ["$$NOW", ttl_ms]}}}]
            )
        return LeaseView(found is not None, (found or {}).get("wantedBy"))

    async def request_lease(self, name: str, by: str) -> None:
        """Leave a wish beside the lease."""
        async with self._deadline():
            await self._leases.update_one({"_id": name}, {"$set": {"wantedBy": by}})

    async def release_lease(self, name: str, owner: str) -> None:
        """Delete it if it is still ours."""
        async with self._deadline():
            await self._leases.delete_one({"_id": name, "owner": owner})

    async def put_rehydration(self, record: RehydrationRecord) -> None:
        """Replace by id."""
        document = asdict(record)
        async with self._deadline():
            await self._runs.replace_one({"_id": document.pop("id")}, document, upsert=True)

    async def rehydrations(self, limit: int) -> list[RehydrationRecord]:
        """Newest first."""
        async with self._deadline():
            found = await self._runs.find().sort("started_at_ms", -1).limit(limit).to_list(None)
        return [RehydrationRecord(id=d.pop("_id"), **d) for d in found]

    async def put_quarantine(self, record: QuarantineRecord) -> None:
        """Insert unless there."""
        document = asdict(record)
        async with self._deadline():
            await self._quarantine.update_one(
                {"_id": document.pop("id")}, {"$setOnInsert": document}, upsert=True
            )

    async def quarantined(self, limit: int) -> list[QuarantineRecord]:
        """Newest first."""
        async with self._deadline():
            found = await self._quarantine.find().sort("at_ms", -1).limit(limit).to_list(None)
        return [QuarantineRecord(id=d.pop("_id"), **d) for d in found]

    async def expire(self, now_ms: int) -> int:
        """MongoDB's own TTL index does it."""
        return 0

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (BulkWriteError, DuplicateKeyError):
            raise
        except (PyMongoError, TimeoutError) as error:
            raise Unavailable("ledger", (str(error) or type(error).__name__)[:200]) from error


def _history(attempt: Any) -> dict[str, Any]:
    return {"attempts": {"$each": [attempt_document(attempt)], "$slice": -HISTORY_MAX}}


def _open_operation(write: OpenWrite) -> UpdateOne:
    part = write.part
    current: dict[str, Any]
    if write.check:
        expected = documents.open_document(write.expected) if write.expected else None
        current = {"open": expected} if expected else _no_open_of(part.run)
    else:
        current = {
            "$or": [
                _no_open_of(part.run),
                {"open.run": part.run, "open.attempt": {"$lte": part.attempt}},
            ]
        }
    update: dict[str, Any] = {
        "$set": {
            "tenant": write.key.tenant,
            "queue": write.key.queue,
            "open": documents.open_document(part),
            "expireAt": datetime(9999, 1, 1, tzinfo=UTC),
        },
        "$setOnInsert": {"requestDigest": write.request_digest},
    }
    if write.attempt is not None:
        update["$push"] = _history(write.attempt)
    unfinished = {"$or": [{"finished": None}, {"finished.run": {"$lt": part.run}}]}
    # One's own repeated write must not apply again: its attempt would enter the history twice.
    not_own = {"open": {"$ne": documents.open_document(part)}}
    return UpdateOne(
        {"_id": write.key.full, "$and": [unfinished, current, not_own]}, update, upsert=True
    )


def _no_open_of(run: int) -> dict[str, Any]:
    return {"$or": [{"open": None}, {"open.run": {"$lt": run}}]}
