"""What else MongoDB keeps, as documents: rehydrate runs, marks, operator actions, the quarantine.

Each function is one call's work on one collection; deadlines are the caller's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.ledger import documents
from app.ledger.bulk import Documents
from app.ledger.paging import Place
from app.ledger.records import ActionRecord, Marks, QuarantineRecord, RehydrationRecord
from app.ledger.searches import beyond

NEWEST_FIRST = [("at_ms", -1), ("_id", -1)]


async def put_rehydration(runs: Documents, record: RehydrationRecord) -> None:
    """Replace by id."""
    document = asdict(record)
    await runs.replace_one({"_id": document.pop("id")}, document, upsert=True)


async def replace_rehydration(runs: Documents, record: RehydrationRecord, expected: str) -> bool:
    """Replace by id and state."""
    document = asdict(record)
    query = {"_id": document.pop("id"), "state": expected}
    return (await runs.replace_one(query, document)).matched_count == 1


async def rehydrations(runs: Documents, limit: int, after: Place | None) -> list[RehydrationRecord]:
    """Newest first."""
    order = [("started_at_ms", -1), ("_id", -1)]
    query = _behind("started_at_ms", after)
    found = await runs.find(query).sort(order).limit(limit).to_list(None)
    return [RehydrationRecord(id=d.pop("_id"), **d) for d in found]


async def get_rehydration(runs: Documents, id: str) -> RehydrationRecord | None:
    """One document."""
    found = await runs.find_one({"_id": id})
    return RehydrationRecord(id=found.pop("_id"), **found) if found else None


async def put_marks(collection: Documents, marks: Marks) -> None:
    """Replace by name."""
    document = {"_id": f"{marks.tenant}/{marks.queue}", "marks": documents.marks_document(marks)}
    await collection.replace_one({"_id": document["_id"]}, document, upsert=True)


async def get_marks(collection: Documents, tenant: str, queue: str) -> Marks | None:
    """One document."""
    found = await collection.find_one({"_id": f"{tenant}/{queue}"})
    return documents.marks(found["marks"]) if found else None


async def record_action(actions: Documents, record: ActionRecord) -> None:
    """Replace by id."""
    document = documents.action_document(record)
    await actions.replace_one({"_id": record.id}, document, upsert=True)


async def list_actions(actions: Documents, limit: int) -> list[ActionRecord]:
    """Newest first."""
    found = await actions.find().sort(NEWEST_FIRST).limit(limit).to_list(None)
    return [documents.action_record(d) for d in found]


async def put_quarantine(quarantine: Documents, record: QuarantineRecord) -> None:
    """Insert unless there."""
    document = documents.quarantine_document(record)
    await quarantine.update_one({"_id": record.id}, {"$setOnInsert": document}, upsert=True)


async def quarantined(
    quarantine: Documents, limit: int, tenants: Sequence[str] | None, after: Place | None
) -> list[QuarantineRecord]:
    """Unresolved ones, newest first."""
    query: dict[str, Any] = {"resolution": None}
    if tenants is not None:
        query["tenant"] = {"$in": list(tenants)}
    query |= _behind("at_ms", after)
    found = await quarantine.find(query).sort(NEWEST_FIRST).limit(limit).to_list(None)
    return [documents.quarantine_record(d) for d in found]


async def get_quarantined(quarantine: Documents, id: str) -> QuarantineRecord | None:
    """One document."""
    found = await quarantine.find_one({"_id": id})
    return documents.quarantine_record(found) if found else None


async def resolve_quarantined(
    quarantine: Documents, id: str, resolution: str, by: str, at_ms: int
) -> bool:
    """Update unless resolved; then look who was first."""
    values = {"resolution": resolution, "resolved_by": by, "resolved_at_ms": at_ms}
    result = await quarantine.update_one({"_id": id, "resolution": None}, {"$set": values})
    if result.matched_count:
        return True
    same = {"_id": id, "resolution": resolution}
    return await quarantine.find_one(same, {"_id": 1}) is not None


async def resolutions(quarantine: Documents, ids: Sequence[str]) -> Mapping[str, str | None]:
    """One find over the ids."""
    found = await quarantine.find({"_id": {"$in": list(ids)}}, {"resolution": 1}).to_list(None)
    return {each["_id"]: each.get("resolution") for each in found}


async def quarantine_counts(quarantine: Documents) -> Mapping[tuple[str, str], int]:
    """One aggregation over the unresolved ones."""
    names = {"tenant": "$tenant", "queue": "$queue"}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"resolution": None}},
        {"$group": {"_id": names, "n": {"$sum": 1}}},
    ]
    found = await quarantine.aggregate(pipeline).to_list(None)
    return {(each["_id"]["tenant"], each["_id"]["queue"]): each["n"] for each in found}


def _behind(time: str, after: Place | None) -> dict[str, Any]:
    # The time once more: only so does the scan begin there.
    return {time: {"$lte": after.at_ms}, "$or": beyond(time, after)} if after else {}
