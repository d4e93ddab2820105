"""Conditional writes to MongoDB in unordered bulks, until each one is decided."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.ledger import updates
from app.ledger.records import Finish, OpenWrite, Standing
from app.names import TaskKey

DUPLICATE = 11000
Documents = AsyncIOMotorCollection[dict[str, Any]]
Operation = UpdateOne | InsertOne[dict[str, Any]]
Ask = Callable[[Sequence[TaskKey]], Awaitable[Mapping[TaskKey, Standing]]]
Write = TypeVar("Write", Finish, OpenWrite)
Answer = TypeVar("Answer")


async def decide(
    records: Documents,
    ask: Ask,
    writes: Sequence[Write],
    *,
    first: Callable[[Write], Operation],
    then: Callable[[Write], Operation],
    applied: Callable[[Write], Answer | None],
    verdict: Callable[[Standing | None, Write], Answer | None],
) -> list[Answer]:
    """Apply, look at what was refused, apply again what a first insert refused.

    ``first`` makes the operation of a write's first try, ``then`` those of the others.

    MongoDB answers a lost race between two inserts of one record with a duplicate key, also
    where the loser's condition holds against the winner's record.
    """
    answers: dict[int, Answer] = {}
    for each_once in updates.rounds([write.key for write in writes]):
        pending, operation = each_once, first
        while pending:
            refused = await _apply(records, [operation(writes[i]) for i in pending])
            operation = then
            said = {
                index: applied(writes[index])
                for place, index in enumerate(pending)
                if place not in refused
            }
            look = [index for index in pending if said.get(index) is None]
            found = await ask([writes[i].key for i in look]) if look else {}
            said |= {i: verdict(found.get(writes[i].key), writes[i]) for i in look}
            answers |= {i: answer for i, answer in said.items() if answer is not None}
            pending = [index for index in pending if index not in answers]
    return [answers[index] for index in range(len(writes))]


async def _apply(records: Documents, operations: list[Operation]) -> set[int]:
    """Run an unordered bulk; the places of operations whose condition did not hold."""
    try:
        await records.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        problems = details.get("writeErrors", [])
        if details.get("writeConcernErrors") or any(p["code"] != DUPLICATE for p in problems):
            raise
        return {problem["index"] for problem in problems}
    return set()
