"""A MongoDB of several members on this machine, from its binaries: a set that elects a primary."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from app.stack.process import kept_port, until
from app.stack.servers import MongoServer

MEMBERS: Final = 3
SET: Final = "lifeboat"
ELECTION_MS: Final = 3_000
"""A primary unseen for so long is replaced, and steps down; MongoDB's default is 10 s."""
HEARTBEAT_MS: Final = 500
HEARTBEAT_WITHIN_S: Final = 2
"""Whoever answers none for so long is not waited for; by default 10 s."""
WHOLE_WITHIN_MS: Final = 60_000
ELECTED_WITHIN_MS: Final = 60_000
ANSWER_WITHIN_MS: Final = 2_000


class MongoMember(MongoServer):
    """One of a set: ready once it answers, whoever is the primary."""

    def __init__(
        self, folder: Path, number: int, hosts: Collection[str], *, detached: bool = False
    ) -> None:
        self.name = f"mongo-{number}"
        self._hosts = tuple(hosts)
        super().__init__(folder, detached=detached)

    @property
    def host(self) -> str:
        """As the set knows it."""
        return f"127.0.0.1:{self.port}"

    def database_url(self, database: str) -> str:
        """The URL of one database of the set."""
        return f"mongodb://{','.join(self._hosts)}/{database}?replicaSet={SET}"

    async def ask(self, command: str, value: Any = 1, **more: Any) -> dict[str, Any]:
        """A command to this very member.

        Raises:
            PyMongoError: it does not answer, or refuses.
        """
        async with AsyncMongoClient[dict[str, Any]](
            self.direct_url("admin"),
            serverSelectionTimeoutMS=ANSWER_WITHIN_MS,
            socketTimeoutMS=ANSWER_WITHIN_MS,
        ) as client:
            return await client.admin.command(command, value, **more)

    async def _round_trip(self) -> None:
        await self.ask("ping")


class MongoSet:
    """Three members, each with a vote; start, kill, pause and stop them one by one."""

    def __init__(self, folder: Path, *, detached: bool = False) -> None:
        folders = {number: folder / f"member-{number}" for number in range(1, MEMBERS + 1)}
        hosts = [f"127.0.0.1:{kept_port(each, MongoServer.name)}" for each in folders.values()]
        self.members = tuple(
            MongoMember(each, number, hosts, detached=detached) for number, each in folders.items()
        )

    def database_url(self, database: str) -> str:
        """The URL of one database, with every member in it."""
        return self.members[0].database_url(database)

    async def initiate(self) -> None:
        """Make the members that run a set, unless they are one, and wait until all serve.

        Raises:
            TimeoutError: they do not in time.
        """
        first = self.members[0]
        if (await first.ask("hello")).get("isreplicaset"):
            await first.ask("replSetInitiate", configuration([each.host for each in self.members]))
        await self.until_whole()

    def without(self, gone: MongoMember) -> Sequence[MongoMember]:
        """All but one."""
        return [each for each in self.members if each is not gone]

    async def primary(self, among: Collection[MongoMember] = ()) -> MongoMember | None:
        """Who says that it is the primary (of ``among``, of all without it); None: nobody."""
        says = await self._hellos(among or self.members)
        found = [each for each, hello in says.items() if hello.get("isWritablePrimary")]
        return found[0] if found else None

    async def until_primary(self, among: Collection[MongoMember] = ()) -> MongoMember:
        """Wait until one is elected.

        Raises:
            TimeoutError: none is in time.
        """
        found: list[MongoMember] = []

        async def is_elected() -> bool:
            primary = await self.primary(among)
            found.extend([primary] if primary else [])
            return primary is not None

        await until(is_elected, ELECTED_WITHIN_MS, "MongoDB to elect a primary")
        return found[-1]

    async def until_whole(self) -> None:
        """Wait until one member is the primary and all others follow it.

        Raises:
            TimeoutError: they do not in time.
        """

        async def is_whole() -> bool:
            return whole(list((await self._hellos(self.members)).values()))

        await until(is_whole, WHOLE_WITHIN_MS, f"{MEMBERS} members of MongoDB's set to serve")

    async def _hellos(
        self, members: Collection[MongoMember]
    ) -> dict[MongoMember, Mapping[str, Any]]:
        said = await asyncio.gather(*(_hello(each) for each in members))
        return dict(zip(members, said, strict=True))


def configuration(hosts: Collection[str]) -> dict[str, Any]:
    """Of a set whose members all have a vote."""
    return {
        "_id": SET,
        "members": [{"_id": number, "host": host} for number, host in enumerate(hosts)],
        "settings": {
            "electionTimeoutMillis": ELECTION_MS,
            "heartbeatIntervalMillis": HEARTBEAT_MS,
            "heartbeatTimeoutSecs": HEARTBEAT_WITHIN_S,
        },
    }


def whole(hellos: Collection[Mapping[str, Any]]) -> bool:
    """Whether members that said so are one primary and its followers.

    One that comes back takes itself for the primary until it hears of the other.
    """
    primaries = [each for each in hellos if each.get("isWritablePrimary")]
    followers = [each for each in hellos if each.get("secondary")]
    return (
        len(primaries) == 1
        and len(followers) == len(hellos) - 1
        and all(each.get("primary") == primaries[0].get("me") for each in hellos)
    )


async def _hello(member: MongoMember) -> Mapping[str, Any]:
    """What a member says of itself; nothing where it does not answer."""
    if not member.process.running:
        return {}
    try:
        return await member.ask("hello")
    except PyMongoError:
        return {}
