"""The ledger in MongoDB, through motor.

Majority and journaled writes, majority reads: a w:1 record may roll back, and a copy in RabbitMQ
must never be let go on the word of one (reliability: ``docs/explanation/guarantees.md``).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, Final
from uuid import uuid4

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReadPreference, ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.errors import LedgerMismatch, QueueLimitReached, SettingsError, Unavailable, reason_of
from app.ledger import documents, kept_documents, searching, updates
from app.ledger.bulk import Documents, Operation, decide
from app.ledger.growing import grow_documents
from app.ledger.indexes import make_indexes
from app.ledger.paging import Place
from app.ledger.records import (
    ActionRecord,
    Finish,
    FinishResult,
    LeaseView,
    LedgerRecord,
    Marks,
    OpenWrite,
    Page,
    QuarantineRecord,
    QueueRecord,
    RecordQuery,
    RehydrationRecord,
    Standing,
    finish_verdict,
    open_verdict,
)
from app.ledger.refusing import cut_short, refusal_of
from app.names import TaskKey

HEARTBEAT_MS: Final = 1_000
"""A primary that stands still is given up so long, and a connect's time, after its last sign."""


class MongoLedger:
    """``app.ledger.ledger.Ledger`` on MongoDB; the URL names the database."""

    def __init__(self, url: str, *, env: str, record_days: int, timeout_ms: int) -> None:
        try:
            self._client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
                url,
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms // 2,
                socketTimeoutMS=timeout_ms,
                heartbeatFrequencyMS=HEARTBEAT_MS,
                retryWrites=True,
                appname="lifeboat",
            )
        except (PyMongoError, ValueError) as error:
            raise SettingsError(f"LIFEBOAT_MONGO_URL is no MongoDB URL: {error}") from error
        database = self._client.get_default_database(
            default="lifeboat",
            # Whatever the URL prefers: a secondary may not have heard of an outcome yet.
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True, wtimeout=timeout_ms),
        )
        self._database = database
        self._records: Documents = database["records"]
        self._queues: Documents = database["queues"]
        self._leases: Documents = database["leases"]
        self._runs: Documents = database["rehydrations"]
        self._marks: Documents = database["marks"]
        self._actions: Documents = database["actions"]
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
        # A server that is told of a deadline breaks off an index that takes longer.
        async with self._deadline(retries=False):
            await make_indexes(self._database)
            await grow_documents(self._records)
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
        """Unordered bulks, until every write is decided."""

        def applied(write: Finish) -> FinishResult:
            return FinishResult(True, write.finished.run, write.finished.state)

        def insert(write: Finish) -> Operation:
            # Most tasks have no record yet, and an insert costs MongoDB a tenth of an upsert.
            return updates.finish_insert(write, self._record_days)

        def update(write: Finish) -> Operation:
            return updates.finish_operation(write, self._record_days)

        async with self._deadline():
            return await decide(
                self._records,
                self.ask,
                writes,
                first=insert,
                then=update,
                applied=applied,
                verdict=finish_verdict,
            )

    async def record_open(self, writes: Sequence[OpenWrite]) -> list[bool]:
        """Unordered bulks, until every write is decided."""

        def applied(write: OpenWrite) -> bool | None:
            return None if write.expects_one else True

        update = updates.open_operation
        async with self._deadline():
            return await decide(
                self._records,
                self.ask,
                writes,
                first=update,
                then=update,
                applied=applied,
                verdict=open_verdict,
            )

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

    async def search(self, query: RecordQuery, *, include_redriven: bool = False) -> Page:
        """One find along an index."""
        most_ms = int(self._timeout_s * 1000)
        async with self._deadline():
            return await searching.search_documents(
                self._records, query, include_redriven=include_redriven, most_ms=most_ms
            )

    async def note_redriven(self, keys_runs: Sequence[tuple[TaskKey, int]]) -> None:
        """One unordered bulk."""
        operations = [updates.redriven_operation(key, run) for key, run in keys_runs]
        if operations:
            async with self._deadline():
                await self._records.bulk_write(operations, ordered=False)

    async def finished_ids(self, tenant: str, queue: str) -> dict[str, str]:
        """Every finished task of a queue."""
        query = {"tenant": tenant, "queue": queue, "finished.state": {"$exists": True}}
        async with self._deadline():
            found = await self._records.find(query, {"finished.state": 1}).to_list(None)
        return {d["_id"].split("/", 2)[2]: d["finished"]["state"] for d in found}

    async def ensure_queue(self, tenant: str, queue: str, limit: int) -> None:
        """Insert unless there; each queue has one of the tenant's numbered slots."""
        name = f"{tenant}/{queue}"
        async with self._deadline():
            while True:
                known = await self._queues.find({"tenant": tenant}, {"slot": 1}).to_list(None)
                if any(document["_id"] == name for document in known):
                    return
                slot = _free_slot({document["slot"] for document in known}, limit)
                if slot is None:
                    raise QueueLimitReached(f"Tenant {tenant} already has {limit} queues.")
                document = {
                    "_id": name,
                    "tenant": tenant,
                    "queue": queue,
                    "paused": False,
                    "slot": slot,
                }
                # Somebody was first with the queue or with the slot: look again.
                with suppress(DuplicateKeyError):
                    await self._queues.insert_one(document)

    async def queues(self) -> list[QueueRecord]:
        """Every queue."""
        async with self._deadline():
            found = await self._queues.find().sort("_id").to_list(None)
        return [QueueRecord(d["tenant"], d["queue"], d["paused"]) for d in found]

    async def set_paused(self, tenant: str, queue: str, *, paused: bool) -> bool:
        """Update if there."""
        async with self._deadline():
            result = await self._queues.update_one(
                {"_id": f"{tenant}/{queue}"}, {"$set": {"paused": paused}}
            )
        return result.matched_count == 1

    async def parked_counts(self, tenant: str, queue: str) -> dict[str, int]:
        """Counted from the index."""
        counts = {}
        async with self._deadline():
            for state in ("dead", "suspended"):
                counts[state] = await self._records.count_documents(
                    {"tenant": tenant, "queue": queue, "finished.state": state, "redriven": False}
                )
        return counts

    async def acquire_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """By the server's clock; a lease somebody else holds is written back as it is."""
        # A missing lease has no owner and, in BSON's order, expired before all time.
        free: dict[str, Any] = {
            "$or": [{"$eq": ["$owner", {"$literal": owner}]}, {"$lte": ["$until", "$$NOW"]}]
        }
        values = {
            "owner": {"$cond": [free, {"$literal": owner}, "$owner"]},
            "until": {"$cond": [free, {"$add": ["$$NOW", ttl_ms]}, "$until"]},
            "wantedBy": {"$cond": [free, "$$REMOVE", "$wantedBy"]},
        }
        async with self._deadline():
            found = await self._leases.find_one_and_update(
                {"_id": name},
                [{"$set": values}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return bool(found["owner"] == owner)

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
        async with self._deadline():
            await kept_documents.put_rehydration(self._runs, record)

    async def replace_rehydration(self, record: RehydrationRecord, *, expected: str) -> bool:
        """Replace by id and state."""
        async with self._deadline():
            return await kept_documents.replace_rehydration(self._runs, record, expected)

    async def rehydrations(
        self, limit: int, *, after: Place | None = None
    ) -> list[RehydrationRecord]:
        """Newest first."""
        async with self._deadline():
            return await kept_documents.rehydrations(self._runs, limit, after)

    async def get_rehydration(self, id: str) -> RehydrationRecord | None:
        """One document."""
        async with self._deadline():
            return await kept_documents.get_rehydration(self._runs, id)

    async def put_marks(self, marks: Marks) -> None:
        """Replace by name."""
        async with self._deadline():
            await kept_documents.put_marks(self._marks, marks)

    async def get_marks(self, tenant: str, queue: str) -> Marks | None:
        """One document."""
        async with self._deadline():
            return await kept_documents.get_marks(self._marks, tenant, queue)

    async def record_action(self, record: ActionRecord) -> None:
        """Replace by id."""
        async with self._deadline():
            await kept_documents.record_action(self._actions, record)

    async def actions(self, limit: int) -> list[ActionRecord]:
        """Newest first."""
        async with self._deadline():
            return await kept_documents.list_actions(self._actions, limit)

    async def put_quarantine(self, record: QuarantineRecord) -> None:
        """Insert unless there."""
        async with self._deadline():
            await kept_documents.put_quarantine(self._quarantine, record)

    async def quarantined(
        self, limit: int, *, tenants: Sequence[str] | None = None, after: Place | None = None
    ) -> list[QuarantineRecord]:
        """Newest first."""
        async with self._deadline():
            return await kept_documents.quarantined(self._quarantine, limit, tenants, after)

    async def get_quarantined(self, id: str) -> QuarantineRecord | None:
        """One document."""
        async with self._deadline():
            return await kept_documents.get_quarantined(self._quarantine, id)

    async def resolve_quarantined(self, id: str, resolution: str, by: str, at_ms: int) -> bool:
        """Update unless resolved; then look who was first."""
        async with self._deadline():
            return await kept_documents.resolve_quarantined(
                self._quarantine, id, resolution, by, at_ms
            )

    async def resolutions(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        """One find over the ids."""
        async with self._deadline():
            return await kept_documents.resolutions(self._quarantine, ids)

    async def count_quarantined(self) -> int:
        """Counted from the index."""
        async with self._deadline():
            return await self._quarantine.count_documents({"resolution": None})

    async def quarantine_counts(self) -> Mapping[tuple[str, str], int]:
        """One aggregation."""
        async with self._deadline():
            return await kept_documents.quarantine_counts(self._quarantine)

    async def expire(self, now_ms: int) -> int:
        """MongoDB's own TTL index does it."""
        return 0

    @asynccontextmanager
    async def _deadline(self, *, retries: bool = True) -> AsyncIterator[None]:
        """Raise ``Unavailable`` in time; ``retries``: PyMongo asks as often as there is time for.

        By itself it asks a second time and no more, and who steps down may refuse it then, too.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                asking = pymongo.timeout(self._timeout_s) if retries else nullcontext()
                with cut_short(deadline, self._client), asking:
                    yield
        except TimeoutError as error:
            raise Unavailable("ledger", refusal_of(self._client) or reason_of(error)) from error
        except PyMongoError as error:
            raise Unavailable("ledger", reason_of(error)[:200]) from error


def _free_slot(taken: set[int], limit: int) -> int | None:
    if len(taken) >= limit:
        return None
    return next(slot for slot in range(limit) if slot not in taken)
