"""What the ledger's store says of itself, for those who judge whether it may be trusted.

Asked beside the ledger, over a connection of its own: no other caller needs it.
"""

import asyncio
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.write_concern import WriteConcern

from app.clock import now_ms
from app.errors import SettingsError, Unavailable, reason_of
from app.ledger.refusing import Client, topology_of
from app.settings import Settings

SERVING: Final = (1, 2)
"""States of a member: primary, secondary."""


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """One store. ``members`` is 0 where it is no replica set; ``now_ms`` is by its own clock.

    ``durable``: a write with the concern of outcomes was acknowledged just now. ``members`` are
    those with data, ``online`` those of them that serve; None: the user may not know.
    ``direct``: the URL leads to one member, whoever is the primary.
    """

    kind: Literal["mongodb", "sqlite"]
    version: str
    members: int
    durable: bool
    why_not: str
    now_ms: int
    online: int | None = None
    direct: bool = False


async def read_ledger_server(settings: Settings) -> LedgerFacts:
    """Ask the store that the settings name, and write one small document or row mark.

    Raises:
        SettingsError: no ledger is named.
        Unavailable: it is away.
    """
    if settings.mongo_url:
        return await _read_mongo(settings.mongo_url, settings.store_timeout_ms)
    if settings.sqlite_path:
        return await asyncio.to_thread(_read_sqlite, settings.sqlite_path)
    raise SettingsError(
        "No ledger: set LIFEBOAT_MONGO_URL, or LIFEBOAT_SQLITE_PATH for a system on one machine."
    )


async def _read_mongo(url: str, timeout_ms: int) -> LedgerFacts:
    client: Client = AsyncIOMotorClient(
        url,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
        tz_aware=True,
        appname="lifeboat-doctor",
    )
    try:
        async with asyncio.timeout(2 * timeout_ms / 1_000):
            build = await client.admin.command("buildInfo")
            hello = await client.admin.command("hello")
            members = (*hello.get("hosts", ()), *hello.get("passives", ()))
            online = await _online(client, members)
            why_not = await _try_write(client, timeout_ms)
    except ServerSelectionTimeoutError as error:
        raise Unavailable("ledger", _no_primary(client) or reason_of(error)[:200]) from error
    except (PyMongoError, TimeoutError) as error:
        raise Unavailable("ledger", reason_of(error)[:200]) from error
    finally:
        client.close()
    told: datetime = hello["localTime"]
    return LedgerFacts(
        kind="mongodb",
        version=str(build["version"]),
        members=len(members),
        durable=not why_not,
        why_not=why_not,
        now_ms=round(told.timestamp() * 1_000),
        online=online,
        direct=topology_of(client).topology_type_name == "Single" and "setName" in hello,
    )


async def _online(client: Client, members: Collection[str]) -> int | None:
    """How many of these members serve; None: there is no set, or it is not for us to know."""
    try:
        status = await client.admin.command("replSetGetStatus")
    except OperationFailure:
        return None
    # It names hidden ones too, which nobody asks.
    seen = [each for each in status["members"] if each["name"] in members]
    return sum(1 for each in seen if each["health"] and each["state"] in SERVING)


def _no_primary(client: Client) -> str:
    """That a set's members are there without a primary; '' where they are not."""
    topology = topology_of(client)
    servers = topology.server_descriptions().values()
    there = sum(1 for each in servers if each.is_server_type_known)
    if topology.topology_type_name != "ReplicaSetNoPrimary" or not there:
        return ""
    return f"{there} of {len(servers)} members answer, and none is the primary: a majority must run"


async def _try_write(client: Client, timeout_ms: int) -> str:
    """Why a write as outcomes are written was not acknowledged; '' = it was."""
    concern = WriteConcern(w="majority", j=True, wtimeout=timeout_ms)
    facts = client.get_default_database(default="lifeboat", write_concern=concern)["facts"]
    try:
        await facts.update_one({"_id": "doctor"}, {"$set": {"at": now_ms()}}, upsert=True)
    except PyMongoError as error:
        return str(error)[:200]
    return ""


def _read_sqlite(path: Path) -> LedgerFacts:
    if not path.exists():
        raise Unavailable("ledger", f"there is no file {path}: no process has opened it yet")
    try:
        connection = sqlite3.connect(path, timeout=2)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unavailable("ledger", str(error)) from error
    # Each connection of ours asks for synchronous=FULL itself.
    is_wal = mode == "wal"
    return LedgerFacts(
        kind="sqlite",
        version=sqlite3.sqlite_version,
        members=1,
        durable=is_wal,
        why_not="" if is_wal else f"its journal mode is {mode}, not wal",
        now_ms=now_ms(),
    )
