"""The two conditional writes as MongoDB updates, one operation a task. Pure.

An operation whose condition does not hold fails with a duplicate key: it tries to insert a record
that is there. The conditions are those of ``finish_wins`` and ``open_applies``.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import InsertOne, UpdateOne

from app.ledger import documents
from app.ledger.records import HISTORY_MAX, Finish, OpenPart, OpenWrite, attempt_document
from app.names import TaskKey


def rounds(keys: Sequence[TaskKey]) -> list[list[int]]:
    """Indexes of ``keys``, split so that no key is twice in a round and each key's order stays.

    Writes of one task must not race inside one unordered bulk.
    """
    split: list[list[int]] = []
    met: dict[TaskKey, int] = {}
    for index, key in enumerate(keys):
        number = met[key] = met.get(key, -1) + 1
        if number == len(split):
            split.append([])
        split[number].append(index)
    return split


def finish_insert(write: Finish, record_days: int) -> InsertOne[dict[str, Any]]:
    """Record an outcome of a task that has no record; refused where it has one."""
    record: dict[str, Any] = {
        "_id": write.key.full,
        "tenant": write.key.tenant,
        "queue": write.key.queue,
        "requestDigest": write.request_digest,
        "envelope": write.envelope,
        "about": documents.about_document(write.about),
        "finished": documents.finished_document(write.finished),
        "redriven": False,
        "expireAt": documents.expiry(write.finished, record_days),
    }
    if write.attempt is not None:
        record["attempts"] = [attempt_document(write.attempt)]
    return InsertOne(record)


def finish_operation(write: Finish, record_days: int) -> UpdateOne:
    """Record an outcome; an open part of a later run stays, and with it the record."""
    finished = write.finished
    later = {"$gt": ["$open.run", finished.run]}
    values: dict[str, Any] = {
        "tenant": _literal(write.key.tenant),
        "queue": _literal(write.key.queue),
        "requestDigest": _literal(write.request_digest),
        "envelope": _literal(write.envelope),
        "about": _literal(documents.about_document(write.about)),
        "finished": _literal(documents.finished_document(finished)),
        "redriven": _literal(False),
        "expireAt": {
            "$cond": [later, documents.NEVER, documents.expiry(finished, record_days)],
        },
        "open": {"$cond": [later, "$open", "$$REMOVE"]},
    }
    if write.attempt is not None:
        history = [{"$ifNull": ["$attempts", []]}, [_literal(attempt_document(write.attempt))]]
        values["attempts"] = {"$slice": [{"$concatArrays": history}, -HISTORY_MAX]}
    return UpdateOne(
        {"_id": write.key.full, **_unfinished(finished.run)}, [{"$set": values}], upsert=True
    )


def redriven_operation(key: TaskKey, run: int) -> UpdateOne:
    """Note that ``run`` is open, beside the outcome of a lower one."""
    return UpdateOne({"_id": key.full, "finished.run": {"$lt": run}}, {"$set": {"redriven": True}})


def open_operation(write: OpenWrite) -> UpdateOne:
    """Record how far a run got.

    One that expects an open part never inserts, so it says nothing when it does not apply.
    """
    part = write.part
    # One's own repeated write must not apply again: its attempt would enter the history twice.
    conditions = [_unfinished(part.run), {"$nor": [_is(part)]}, _current(write)]
    update: dict[str, Any] = {
        "$set": {
            "tenant": write.key.tenant,
            "queue": write.key.queue,
            "open": documents.open_document(part),
            "expireAt": documents.NEVER,
        },
        "$setOnInsert": {"requestDigest": write.request_digest},
    }
    if write.attempt is not None:
        update["$push"] = {
            "attempts": {"$each": [attempt_document(write.attempt)], "$slice": -HISTORY_MAX}
        }
    return UpdateOne(
        {"_id": write.key.full, "$and": conditions}, update, upsert=not write.expects_one
    )


def _current(write: OpenWrite) -> dict[str, Any]:
    run = write.part.run
    none_of_run = {"$or": [{"open": None}, {"open.run": {"$lt": run}}]}
    if not write.check:
        reached = {"open.run": run, "open.attempt": {"$lte": write.part.attempt}}
        return {"$or": [none_of_run, reached]}
    if write.expected is None:
        return none_of_run
    return {"$and": [{"open.run": run}, _is(write.expected)]}


def _unfinished(run: int) -> dict[str, Any]:
    return {"$or": [{"finished": None}, {"finished.run": {"$lt": run}}]}


def _is(part: OpenPart) -> dict[str, Any]:
    # Member by member: comparing documents whole depends on the order of their members.
    return {f"open.{name}": value for name, value in documents.open_document(part).items()}


def _literal(value: Any) -> dict[str, Any]:
    # In a pipeline a text with a leading dollar would be read as a path.
    return {"$literal": value}
