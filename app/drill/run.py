"""Playing one drill from the empty machine to the verdict."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from app.drill import checker
from app.drill.game import Game, Plan
from app.drill.load import QUEUE
from app.drill.scenarios import SCENARIOS, Scenario
from app.drill.verdict import Evidence, judge
from app.lifecycle import cancel
from app.stack.process import StackError
from app.stack.sources import Images

SETTLE_WITHIN_MS: Final = 90_000
MS_A_TASK: Final = 20


async def drill(plan: Plan, images: Images, say: Callable[[str], None]) -> dict[str, Any]:
    """Play ``plan``; its outcome, as ``--json`` prints it.

    Raises:
        StackError: a server or process cannot be had or did not come.
    """
    folder = Path(tempfile.mkdtemp(prefix="lifeboat-drill-"))
    disposable = False
    try:
        game = Game(plan, images, folder, say)
        if SCENARIOS[plan.scenario].needs_mongo and game.stack.mongo is None:
            disposable = True
            raise StackError(
                f"{plan.scenario} restarts MongoDB, and this machine has none: its ledger is an"
                " SQLite file, which has no server to kill. Choose another scenario or install"
                " mongod."
            )
        try:
            await game.start()
            try:
                document = await _play(game)
            except TimeoutError as error:
                raise StackError(f"The drill cannot go on. {error}") from error
            disposable = document["verdict"] == "ok" and document["accepted"] == plan.tasks
            return document
        finally:
            await game.stop()
    finally:
        if disposable:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"Logs and the producers' and the receiver's files are kept in {folder}.")


async def _play(game: Game) -> dict[str, Any]:
    plan, scenario = game.plan, SCENARIOS[game.plan.scenario]
    found = await checker.versions(game.stack)
    game.say(f"Submitting {plan.tasks:,} webhook deliveries at durability {plan.durability} ...")
    producing = asyncio.create_task(game.producers.run(), name="producers")
    playing = asyncio.create_task(_faults_and_settling(game, scenario), name="scenario")
    try:
        await asyncio.wait((producing, playing), return_when=asyncio.FIRST_COMPLETED)
        # Producers never end by themselves: what ended them is the drill's error.
        (producing if producing.done() else playing).result()
    finally:
        await cancel(producing)
        await cancel(playing)
    evidence = Evidence(
        book=game.producers.book,
        arrivals=checker.read_arrivals(game.arrivals_file),
        recorded=await checker.read_records(game.stack, game.sqlite_path, QUEUE),
        copies_left=await _copies_left(game),
        restored=await _restored(game),
        rpo_tasks=game.rpo[0],
        rpo_seconds=game.rpo[1],
        planned_faults=scenario.planned_faults,
        faults=game.faults,
    )
    return judge(
        evidence,
        scenario=plan.scenario,
        seed=plan.seed,
        durability=plan.durability,
        versions=found,
    )


async def _faults_and_settling(game: Game, scenario: Scenario) -> None:
    await scenario.play(game)
    game.submit_rest()
    await game.settle(SETTLE_WITHIN_MS + MS_A_TASK * game.plan.tasks)


async def _copies_left(game: Game) -> int:
    # -1: the broker could not say, which is no proof of none.
    left = await checker.copies_left(game.stack, QUEUE)
    return -1 if left is None else left


async def _restored(game: Game) -> int:
    """By the command and, for it may have been first, by the service."""
    by_service = await checker.restored_by_service(game.system.services["rehydrator"].url)
    return by_service + sum(int(report["restored"]) for report in game.reports)
