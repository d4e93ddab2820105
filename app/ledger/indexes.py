"""MongoDB's indexes: which there are, and who must have one before it is there."""

from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import IndexModel

from app.ledger import searches

INDEXES: Final = {
    "records": (
        IndexModel("expireAt", expireAfterSeconds=0),
        IndexModel(searches.BY_OUTCOME),
        IndexModel(searches.BY_PARKED, partialFilterExpression=searches.ONLY_PARKED),
    ),
    "actions": (IndexModel([("at_ms", 1), ("_id", 1)]),),
    "quarantine": (IndexModel([("resolution", 1), ("at_ms", 1), ("_id", 1)]),),
    "queues": (IndexModel([("tenant", 1), ("slot", 1)], unique=True),),
}
"""By collection."""


async def make_indexes(database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
    """Make those that are missing.

    By itself a set waits for every member, also for one that is away: a majority is enough.
    """
    hello = await database.client.admin.command("hello")
    in_a_set: dict[str, Any] = {"commitQuorum": "majority"} if "setName" in hello else {}
    for collection, indexes in INDEXES.items():
        await database[collection].create_indexes(list(indexes), **in_a_set)
