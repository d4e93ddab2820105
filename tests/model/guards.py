"""Each rule but 11 taken out, one at a time: in the fake of a script, or in the code itself.

The fence (11) belongs to the command, which the model does not have.

Whoever runs histories inside ``taken_out`` must see a promise broken.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import app.ledger.records
import app.worker.admission
import rehydrator.decision
from app.broker.delivery import Settle
from app.ledger.records import Standing
from app.worker.claim import Claim
from app.worker.outcome import Done
from app.worker.settler import Settler
from tests.model import actors
from tests.model.steps import step


def _never_asks():
    return [
        patch.object(app.worker.admission, "needs_ask", lambda *_: False),
    ]


def _any_finished_run_counts():
    return [patch.object(Standing, "is_finished", lambda self, _run: self.finished_run > 0)]


def _last_outcome_wins():
    return [patch.object(app.ledger.records, "finish_wins", lambda *_: True)]


def _no_compare_and_set():
    written = Claim.open_write

    def unchecked(self, phase, **how):
        return written(self, phase, **{**how, "check": False})

    return [patch.object(Claim, "open_write", unchecked)]


def _digests_never_differ():
    return [patch.object(rehydrator.decision, "_differs", lambda *_: False)]


def _redis_is_told_first():
    write = Settler._write

    async def redis_first(self, held):
        for each in held:
            if isinstance(each.settlement, Done):
                claim, entry = each.claim, each.claim.entry
                done = Settle(
                    entry.task_id, entry.lane, entry.entry_id, entry.run, each.settlement.state
                )
                await claim.work.delivery.settle(claim.token, [done])
        await write(self, held)

    return [patch.object(Settler, "_write", redis_first)]


def _a_publish_without_an_answer_is_confirmed():
    async def publish(self, term, most):
        batch = term.window.take(most)
        if batch:
            await self.publisher.publish([self.copy_of(held, term) for held in batch], 1_000)
            term.window.settle(batch, [True] * len(batch))

    return [patch.object(actors.MirrorProcess, "_publish", publish)]


def held_after(calls):
    return (*("answer",) * calls, "hold")


@dataclass(frozen=True)
class Guard:
    """``without``: what the fakes leave out; ``patches``: other code in the place of a decision.

    ``kinds``: the steps it takes to see that it is missed, so that few histories are enough;
    ``calm``: of calls that only wait.
    ``history``: one that shows it, where even so chance would take too long to come upon one.
    """

    name: str
    kinds: str = ""
    history: tuple = ()
    calm: bool = False
    without: frozenset = frozenset()
    patches: Callable = list

    def __str__(self):
        return self.name

    @contextmanager
    def taken_out(self):
        patches = self.patches()
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


GUARDS = (
    Guard(
        "1, scripts ask for the token",
        history=(
            step("snapshot"),
            step("submit", task_id="b"),
            step("mirror", who="m1", publish=("arrive",)),
            step("fail_over"),
            step("submit", task_id="a"),
            step("mirror", who="m1", most=3),
        ),
        without={"token"},
    ),
    Guard(
        "2, a copy of a later run is not finished",
        history=(
            step("submit", task_id="a"),
            step("fetch", who="w1"),
            step("end_handler", how="discard"),
            step("redrive", task_id="a"),
            step("mirror", who="m1", most=3),
            step("rehydrate", who="r1", ask_all=True),
        ),
        patches=_any_finished_run_counts,
    ),
    Guard(
        "2, the first outcome of a run stays",
        history=(
            step("submit", task_id="a"),
            step("fetch", who="w1"),
            step("end_handler", plan=("lose",)),
        ),
        patches=_last_outcome_wins,
    ),
    Guard(
        "3, a mark, not the watermark",
        history=(
            step("submit", task_id="b"),
            step("lose", what="journal"),
            step("submit", task_id="a"),
            step("mirror", who="m1", most=3),
            step("pass_time", seconds=0.3),
        ),
        without={"mark"},
    ),
    Guard(
        "3, the mark of the entry that the hash names",
        history=(
            step("submit", task_id="a"),
            step("fetch", who="w1"),
            step("end_handler", how="suspend"),
            step("mirror", who="m1", plan=held_after(1)),
            step("redrive", task_id="a"),
            step("resolve"),
            step("pass_time", seconds=2.5),
        ),
        without={"jid"},
    ),
    Guard(
        "4, a failed attempt is recorded before the retry",
        history=(
            step("submit", task_id="a"),
            step("mirror", who="m1"),
            step("fetch", who="w1"),
            step("end_handler", how="fail"),
            step("wipe"),
        ),
        without={"open"},
    ),
    Guard(
        "4, started is recorded if nobody was ahead",
        history=(
            step("submit", task_id="a"),
            step("mirror", who="m1"),
            step("wipe"),
            step("rehydrate", who="r1"),
            step("rehydrate", who="r1"),
            step("fetch", who="w1", plan=held_after(5)),
            step("wipe"),
            step("rehydrate", who="r1"),
            step("rehydrate", who="r1"),
            step("fetch", who="w2"),
            step("end_handler", how="fail"),
            step("resolve"),
        ),
        patches=_no_compare_and_set,
    ),
    Guard(
        "5, start asks whose entry it is",
        history=(
            step("submit", task_id="a", fresh=True),
            step("fetch", who="w1", plan=held_after(3)),
            step("pass_time", seconds=31.0),
            step("reclaim", who="w2"),
            step("end_handler", plan=held_after(1)),
            step("resolve"),
        ),
        without={"owner"},
    ),
    Guard(
        "6, a refresh waits for another entry than the copy's own",
        "submit mirror rehydrate pass_time resolve",
        calm=True,
        without={"own"},
    ),
    Guard(
        "6, a refreshed copy waits for the mark",
        history=(
            step("submit", task_id="a"),
            step("mirror", who="m1"),
            step("rehydrate", who="r1"),
            step("pass_time", seconds=301.0),
            step("rehydrate", who="r1"),
            step("rehydrate", who="r1", plan=held_after(2)),
            step("lose", what="journal"),
            step("submit", task_id="b"),
            step("mirror", who="m1", most=3),
            step("resolve"),
        ),
        without={"refreshed"},
    ),
    Guard("7, the worker asks", "submit snapshot fetch end_handler fail_over", patches=_never_asks),
    Guard(
        "8, a cancel marks first",
        history=(
            step("submit", task_id="a", fresh=True),
            step("mirror", who="m1"),
            step("fetch", who="w1", plan=held_after(3)),
            step("cancel", task_id="a", plan=held_after(5)),
            step("resolve"),
        ),
        without={"cancel"},
    ),
    Guard("9, a place, not a hash alone", "submit mirror rehydrate lose", without={"place"}),
    Guard(
        "10, digests are compared",
        history=(
            step("submit", task_id="a"),
            step("submit", task_id="a", variant=2, plan=("answer", "late")),
        ),
        patches=_digests_never_differ,
    ),
    Guard(
        "12, the ledger is told before Redis",
        history=(
            step("submit", task_id="a"),
            step("fetch", who="w1"),
            step("end_handler", plan=held_after(1)),
            step("submit", task_id="a"),
        ),
        patches=_redis_is_told_first,
    ),
    Guard("a message_id for each publish", "submit mirror", without={"message_id"}),
    Guard(
        "no answer is no confirm",
        "submit mirror",
        patches=_a_publish_without_an_answer_is_confirmed,
    ),
)
