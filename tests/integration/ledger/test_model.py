"""Random writes against both ledgers and against the pure rules: the same answers, always."""

import random
from dataclasses import replace

import pytest

from app.ledger.records import (
    HISTORY_MAX,
    FinishResult,
    Standing,
    finish_verdict,
    open_verdict,
)
from tests.integration.ledger.material import DIGEST, attempt, finish, keys, opening, part

TASKS = keys(3)
NOTHING = Standing(DIGEST, 0, "", "", None)


class Model:
    """What a ledger must hold, by the pure decisions alone."""

    def __init__(self):
        self.standings = {}
        self.attempts = {}

    def finish(self, write):
        known = self.standings.get(write.key)
        verdict = finish_verdict(known, write)
        if verdict is not None:
            return verdict
        of = write.finished
        current = known.open if known else None
        self.standings[write.key] = Standing(
            DIGEST,
            of.run,
            of.state,
            of.by,
            current if current is not None and current.run > of.run else None,
        )
        self._note(write)
        return FinishResult(True, of.run, of.state)

    def record_open(self, write):
        known = self.standings.get(write.key)
        verdict = open_verdict(known, write)
        if verdict is not None:
            return verdict
        self.standings[write.key] = replace(known or NOTHING, open=write.part)
        self._note(write)
        return True

    def _note(self, write):
        if write.attempt is not None:
            noted = (*self.attempts.get(write.key, ()), write.attempt)
            self.attempts[write.key] = noted[-HISTORY_MAX:]


def some_part(rng):
    return part(
        rng.randint(1, 4),
        rng.randint(1, 3),
        rng.choice(["started", "failed"]),
        rng.randint(0, 1),
        lost=rng.randint(0, 2),
        by=rng.choice("ab"),
    )


def some_write(rng, model):
    task = rng.choice(TASKS)
    run = rng.randint(1, 4)
    noted = attempt(run, rng.randint(1, 99)) if rng.random() < 0.5 else None
    if rng.random() < 0.35:
        states = ["succeeded", "dead", "suspended", "cancelled"]
        by = rng.choice("ab")
        return finish(task, run, rng.choice(states), by=by, attempt=noted)
    seen = model.standings.get(task, NOTHING).open
    choice = rng.random()
    if choice < 0.4:
        return opening(task, some_part(rng), attempt=noted)
    if choice < 0.8:
        # Mostly what a careful caller does: look, then compare and set within that run.
        of = replace(some_part(rng), run=seen.run if seen else run)
        return opening(task, of, attempt=noted, expected=seen)
    return opening(task, some_part(rng), attempt=noted, expected=rng.choice([None, some_part(rng)]))


def is_finish(write):
    return hasattr(write, "finished")


@pytest.mark.parametrize("seed", range(4))
async def test_random_writes(ledger, seed):
    rng, model = random.Random(seed), Model()
    for step in range(60):
        batch = [some_write(rng, model) for _ in range(rng.randint(1, 6))]
        finishes = [write for write in batch if is_finish(write)]
        openings = [write for write in batch if not is_finish(write)]
        assert await ledger.finish(finishes) == [model.finish(w) for w in finishes], step
        assert await ledger.record_open(openings) == [model.record_open(w) for w in openings], step
        assert await ledger.ask(TASKS) == model.standings, step
    for task in TASKS:
        assert (await ledger.get(task)).attempts == model.attempts.get(task, ())
