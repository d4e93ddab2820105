"""Looking at copies: Redis first, then the ledger to be sure; the verdict is ``decide``'s.

In this order, so that "neither here nor finished" is true at one moment: a task that leaves Redis
was recorded before. ``look_in_ledger`` may turn it round for what is restored at once: a task that
finishes in between leaves its closed hash in Redis for longer than a call may take, a Redis that
lost it is of another generation than the token taken before, and both are refused by the script.
"""

import logging
from collections.abc import Mapping, Sequence

from app.broker.recovery import Standing
from app.errors import Unavailable
from app.ledger.ledger import Ledger
from app.names import TaskKey
from rehydrator.decision import (
    UNRECORDED,
    Asked,
    Restore,
    Verdict,
    decide,
    decide_by_ledger,
    needs_ledger,
)
from rehydrator.holdings import Held, by_queue

log = logging.getLogger(__name__)


async def look(ledger: Ledger, copies: Sequence[Held], *, ask_all: bool) -> list[Verdict]:
    """A verdict for each copy; ``ask_all``: the ledger is asked also where Redis has the task.

    A ledger that is away leaves those it was needed for unknown.

    Raises:
        StaleGeneration: Redis has another history: nothing known of it holds.
        Unavailable: Redis is away.
    """
    standings: dict[Held, Standing] = {}
    for queue, group in by_queue(copies).items():
        token = await queue.session.token()
        found = await queue.recovery.inspect(token, [copy.task_id for copy in group])
        standings.update(zip(group, found, strict=True))
    doubtful = [
        copy
        for copy in copies
        if ask_all or needs_ledger(copy.run, copy.request_digest, standings[copy])
    ]
    answers = await _ask(ledger, [copy.key for copy in doubtful])
    return [
        decide(copy.run, copy.request_digest, standings[copy], answers.get(copy.key))
        for copy in copies
    ]


async def look_in_ledger(ledger: Ledger, copies: Sequence[Held]) -> list[Restore | None]:
    """What the ledger alone says of each copy: to be restored, or None where Redis must be asked.

    Raises:
        Unavailable: Redis is away.
    """
    for queue in {copy.queue for copy in copies}:
        # Before the ledger is asked: what is restored by its answer is restored under this token.
        await queue.session.token()
    answers = await _ask(ledger, [copy.key for copy in copies])
    return [
        decide_by_ledger(copy.run, copy.request_digest, answers.get(copy.key)) for copy in copies
    ]


async def _ask(ledger: Ledger, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Asked]:
    if not keys:
        return {}
    try:
        found = await ledger.ask(keys)
    except Unavailable as error:
        log.debug("The ledger gave no answer (%s).", error.detail)
        return {}
    if not found:
        return dict.fromkeys(keys, UNRECORDED)
    return {key: Asked(found.get(key)) for key in keys}
