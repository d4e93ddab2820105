"""A MongoDB of three members loses its primary: killed, stepped down, cut off from the others."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from app.clock import monotonic_ms
from app.drill.game import Game
from app.drill.load import QUEUE
from app.stack.mongo_set import MongoMember, MongoSet
from app.stack.process import StackError, together, until
from app.stack.stack import DATABASE

TIMES: Final = 3
GOES_ON: Final = 5
"""Outcomes that the ledger must take from a new primary."""
GOES_ON_WITHIN_MS: Final = 60_000
CALM_WITHIN_MS: Final = 10_000
TAKEN_WITHIN_MS: Final = 20_000
LOCAL: Final = "local"
"""Read concern: what the member itself has, though it may go."""
AGREED_WITHIN_MS: Final = 30_000
STEPS_DOWN_FOR_S, CATCH_UP_WITHIN_S = 3, 2
ANSWER_WITHIN_MS: Final = 5_000
Outcomes = Mapping[str, tuple[int, str, int]]
"""Of tasks by their full names: run, state, end in ms."""


async def mongo_failover(game: Game, share: int) -> None:
    """Three times the primary goes, each time with a third of the tasks around it."""
    members = game.stack.mongo_set
    if members is None:
        raise StackError("There is no MongoDB of several members.")
    a_third = share // TIMES
    await _killed(game, members, a_third)
    await _stepped_down(game, members, a_third)
    await _cut_off(game, members, a_third)


async def _killed(game: Game, members: MongoSet, share: int) -> None:
    """Kill -9 the primary; another is elected; the killed one comes back."""
    in_flight = await game.at_work(share // 2)
    primary = await members.until_primary()
    known = await _outcomes(primary)

    async def lose() -> None:
        began_ms = monotonic_ms()
        primary.kill9()
        game.submit(share - share // 2)
        await _until_another(game, members, primary, began_ms)
        await primary.start()
        await _until_agreed(members, known)

    await game.inject("mongo's primary killed, another elected, it is back", in_flight, lose)


async def _stepped_down(game: Game, members: MongoSet, share: int) -> None:
    """Have the primary step down, as for maintenance."""
    in_flight = await game.at_work(share // 2)
    primary = await members.until_primary()
    known = await _outcomes(primary)

    async def step_down() -> None:
        game.submit(share - share // 2)
        began_ms = monotonic_ms()
        await primary.ask(
            "replSetStepDown", STEPS_DOWN_FOR_S, secondaryCatchUpPeriodSecs=CATCH_UP_WITHIN_S
        )
        await _until_another(game, members, primary, began_ms)
        await _until_agreed(members, known)

    await game.inject("mongo's primary steps down, another elected", in_flight, step_down)


async def _cut_off(game: Game, members: MongoSet, share: int) -> None:
    """Leave the primary alone with its clients; then another is elected; then it comes back.

    What it takes alone goes when it comes back: it must have been acknowledged to nobody.
    """
    in_flight = await game.at_work(share // 2)
    primary = await members.until_primary()
    others = members.without(primary)
    known, rolled_back = await _outcomes(primary), await _rollbacks(primary)

    async def cut_off() -> None:
        began_ms = monotonic_ms()
        taken = await _until_taken_alone(game, primary, others, share - share // 2)
        await asyncio.to_thread(primary.process.pause)
        await together(each.start() for each in others)
        await _until_another(game, members, primary, began_ms)
        primary.process.resume()
        await _until_rolled_back(primary, rolled_back)
        await _until_agreed(members, known)
        game.say(f"{primary.name} is back; outcomes that it alone had taken and lost: {taken:,}.")

    name = "mongo's primary alone with its clients, another elected, it is back"
    await game.inject(name, in_flight, cut_off)


async def _until_another(game: Game, members: MongoSet, gone: MongoMember, since_ms: int) -> None:
    """Wait until another is the primary, and the ledger takes outcomes again.

    Raises:
        TimeoutError: it does not in time.
    """
    primary = await members.until_primary(members.without(gone))
    elected_s = (monotonic_ms() - since_ms) / 1000
    known = await _outcomes(primary)

    async def goes_on() -> bool:
        try:
            return len(await _outcomes(primary)) >= len(known) + GOES_ON
        except PyMongoError:
            return False

    await until(goes_on, GOES_ON_WITHIN_MS, f"{GOES_ON} outcomes by the new primary")
    game.say(
        f"{primary.name} took {gone.name}'s place after {elected_s:.1f} s, and {GOES_ON} outcomes"
        f" after {(monotonic_ms() - since_ms) / 1000:.1f} s."
    )


async def _until_taken_alone(
    game: Game, primary: MongoMember, others: Iterable[MongoMember], count: int
) -> int:
    """Kill the others, submit ``count`` tasks, wait until the primary has what nobody else can.

    How many outcomes it has then.

    Raises:
        TimeoutError: it takes none in time.
    """
    worker = game.system.services["worker"].process
    # Outcomes that were under way would not come to an end, and no others after them.
    await asyncio.to_thread(worker.pause)
    try:
        await until(lambda: _is_calm(primary), CALM_WITHIN_MS, "the ledger to be calm")
        # Killed, not stopped: in its sockets a stopped one would find what is to be lost.
        for each in others:
            each.kill9()
        before = len(await _outcomes(primary, LOCAL))
    finally:
        worker.resume()
    game.submit(count)
    taken = 0

    async def has_taken() -> bool:
        nonlocal taken
        taken = len(await _outcomes(primary, LOCAL)) - before
        return taken > 0

    await until(has_taken, TAKEN_WITHIN_MS, "the primary to take an outcome alone")
    return taken


async def _is_calm(primary: MongoMember) -> bool:
    """Whether a majority has all that the primary has."""
    return await _outcomes(primary, LOCAL) == await _outcomes(primary)


async def _until_agreed(members: MongoSet, known: Outcomes) -> None:
    """Wait until the set is whole and every member has what was recorded before, unchanged.

    Raises:
        TimeoutError: it is not whole in time.
        StackError: what a majority had is gone, or is not what it was.
    """
    await members.until_whole()
    gone: dict[str, list[str]] = {}

    async def has_all() -> bool:
        # A member that has just come back may be behind.
        told = await asyncio.gather(*(_outcomes(each) for each in members.members))
        gone.update(
            (each.name, missing(known, had))
            for each, had in zip(members.members, told, strict=True)
        )
        return not any(gone.values())

    try:
        await until(has_all, AGREED_WITHIN_MS, "every member to have what was recorded")
    except TimeoutError as error:
        words = "; ".join(f"{name}: {', '.join(ids[:10])}" for name, ids in gone.items() if ids)
        raise StackError(f"Outcomes that a majority had are gone or changed. {words}.") from error


def missing(known: Outcomes, had: Outcomes) -> list[str]:
    """Names of tasks whose outcome is not what it was known to be; a later run's may be there."""
    return sorted(
        name
        for name, outcome in known.items()
        if had.get(name) != outcome and had.get(name, (0, "", 0))[0] <= outcome[0]
    )


async def _outcomes(member: MongoMember, level: str = "majority") -> Outcomes:
    """What this very member says is recorded: by a majority, or (``LOCAL``) by itself."""
    async with AsyncMongoClient[dict[str, Any]](
        member.direct_url(DATABASE),
        serverSelectionTimeoutMS=ANSWER_WITHIN_MS,
        socketTimeoutMS=ANSWER_WITHIN_MS,
    ) as client:
        database = client.get_default_database(read_concern=ReadConcern(level))
        wanted = {"queue": QUEUE, "finished.run": {"$gte": 1}}
        found: Sequence[dict[str, Any]] = await (
            database["records"].find(wanted, {"finished": 1}).to_list(None)
        )
    return {
        each["_id"]: (finished["run"], finished["state"], finished["at"])
        for each in found
        if (finished := each["finished"])
    }


async def _until_rolled_back(member: MongoMember, before: int) -> None:
    """Wait until it has let go what it alone had; it may follow the others for a moment first.

    Raises:
        TimeoutError: it keeps it: it was not cut off.
    """

    async def has() -> bool:
        try:
            return await _rollbacks(member) != before
        except PyMongoError:
            # It closes its connections meanwhile.
            return False

    await until(has, AGREED_WITHIN_MS, f"{member.name} to let go what it had taken alone")


async def _rollbacks(member: MongoMember) -> int:
    """Changes with each time that the member had to let go what no majority had."""
    return int((await member.ask("replSetGetRBID"))["rbid"])
