"""Waiting for ``mirrored``: one registry of waiters a queue, one gathered look a wake-up.

Only positive evidence counts (rule 3), and of the very request that waits (rule 10): the mark in
the task's hash, or a finished record in the ledger. An announced watermark merely says when to
look; so does the clock, in case an announcement was lost.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.broker.connection import RedisConnection
from app.broker.intake import Intake
from app.broker.keys import QueueKeys
from app.broker.recovery import Recovery
from app.broker.watermark import read_mirror_state
from app.errors import Unavailable
from app.lifecycle import cancel
from app.task_queue.ledger_gate import LedgerGate

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.25
LOOKS_WITHOUT_LEASE: Final = 4
TASKS_A_LOOK: Final = 500

Position = tuple[int, int]


@dataclass(eq=False, slots=True)
class _Waiter:
    token: str
    task_id: str
    run: int
    request_digest: str
    position: Position
    reached: asyncio.Future[bool]

    def answer(self, reached: bool) -> None:
        if not self.reached.done():
            self.reached.set_result(reached)


class Confirmations:
    """Everybody in this process who waits for copies of one queue's tasks."""

    def __init__(
        self, redis: RedisConnection, keys: QueueKeys, intake: Intake, ledger: LedgerGate
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._intake = intake
        self._recovery = Recovery(redis, keys)
        self._ledger = ledger
        self._waiting: set[_Waiter] = set()
        self._watermark: Position = (0, 0)
        self._told = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._without_lease = 0

    async def wait(
        self,
        token: str,
        task_id: str,
        run: int,
        request_digest: str,
        journal_id: str,
        within_ms: int,
    ) -> bool:
        """Whether a confirmed copy of the task's run was seen within ``within_ms``.

        ``token`` is the generation it was accepted under; ``journal_id`` may be empty.
        """
        waiter = self._enter(token, task_id, run, request_digest, journal_id)
        try:
            async with asyncio.timeout(within_ms / 1000):
                return await waiter.reached
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)

    async def wait_for_all(
        self, token: str, tasks: Sequence[tuple[str, int, str, str]], within_ms: int
    ) -> list[bool]:
        """The same for many tasks at once; answers in order.

        Each is (task id, run, request digest, journal id).
        """
        waiters = [self._enter(token, *each) for each in tasks]
        if not waiters:
            return []
        try:
            await asyncio.wait([each.reached for each in waiters], timeout=within_ms / 1000)
            return [each.reached.done() and each.reached.result() for each in waiters]
        finally:
            self._waiting.difference_update(waiters)

    def tell(self, watermark: str) -> None:
        """A mirror announced how far its copies are confirmed."""
        self._watermark = _position(watermark)
        self._told.set()

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            await cancel(self._looking)

    def _enter(
        self, token: str, task_id: str, run: int, request_digest: str, journal_id: str
    ) -> _Waiter:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(token, task_id, run, request_digest, _position(journal_id), future)
        self._waiting.add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_waited(), name="confirmations")
        return waiter

    async def _look_while_waited(self) -> None:
        loop = asyncio.get_running_loop()
        next_look = loop.time() + LOOK_EVERY_S
        self._without_lease = 0
        try:
            while self._waiting:
                if await self._told_before(next_look):
                    reached = [each for each in self._waiting if each.position <= self._watermark]
                    await self._look_for_marks(reached)
                else:
                    await self._look_at_all()
                    next_look = loop.time() + LOOK_EVERY_S
        except Exception:
            log.exception("Waiting for copies of %s failed.", self._keys.name.queue)
            for waiter in self._waiting:
                waiter.answer(False)

    async def _told_before(self, when: float) -> bool:
        try:
            async with asyncio.timeout_at(when):
                await self._told.wait()
        except TimeoutError:
            return False
        self._told.clear()
        return True

    async def _look_at_all(self) -> None:
        open_ones = await self._look_for_marks(list(self._waiting))
        open_ones = await self._look_for_finished(open_ones)
        if open_ones and await self._is_mirror_away(open_ones[0].token):
            for waiter in open_ones:
                waiter.answer(False)

    async def _look_for_marks(self, waiters: Sequence[_Waiter]) -> list[_Waiter]:
        """Answer those whose mark is there, or whose hash is not; return the others."""
        open_ones = []
        for token, group in _groups(waiters):
            try:
                marks = await self._intake.mirrored(
                    token,
                    [(w.task_id, w.run) for w in group],
                    [w.request_digest for w in group],
                )
            except Unavailable:
                # Another generation, or no Redis: what was learnt there counts no more.
                await self._let_ledger_decide(group)
                continue
            for waiter, mark in zip(group, marks, strict=True):
                if mark:
                    waiter.answer(True)
            await self._let_ledger_decide(
                [w for w, m in zip(group, marks, strict=True) if m is None]
            )
            open_ones += [w for w, m in zip(group, marks, strict=True) if m is False]
        return open_ones

    async def _look_for_finished(self, waiters: Sequence[_Waiter]) -> list[_Waiter]:
        """A task settled in Redis has its finished record (rule 12): as good as a copy."""
        open_ones = []
        for token, group in _groups(waiters):
            try:
                found = await self._recovery.inspect(token, [w.task_id for w in group])
            except Unavailable:
                open_ones += group
                continue
            for waiter, standing in zip(group, found, strict=True):
                is_its = standing.request_digest == waiter.request_digest
                if standing.standing == "settled" and standing.run >= waiter.run and is_its:
                    waiter.answer(True)
                else:
                    open_ones.append(waiter)
        return open_ones

    async def _let_ledger_decide(self, waiters: Sequence[_Waiter]) -> None:
        if not waiters:
            return
        keys = {waiter: self._keys.name.task(waiter.task_id) for waiter in waiters}
        try:
            standings = await self._ledger.ask(list(keys.values()))
        except Unavailable:
            standings = {}
        for waiter, key in keys.items():
            standing = standings.get(key)
            waiter.answer(
                standing is not None
                and standing.request_digest == waiter.request_digest
                and standing.is_finished(waiter.run)
            )

    async def _is_mirror_away(self, token: str) -> bool:
        try:
            state = await read_mirror_state(self._redis, self._keys, token)
        except Unavailable:
            return False
        # A queue just made has no leader yet, and a mirror that restarts is back within a moment.
        lost = state.led and not state.alive
        self._without_lease = self._without_lease + 1 if lost else 0
        return (state.blocked and state.alive) or self._without_lease >= LOOKS_WITHOUT_LEASE


def _groups(waiters: Sequence[_Waiter]) -> list[tuple[str, list[_Waiter]]]:
    """Waiters by their generation, so many at a time as one call should carry."""
    by_token: dict[str, list[_Waiter]] = {}
    for waiter in waiters:
        if not waiter.reached.done():
            by_token.setdefault(waiter.token, []).append(waiter)
    return [
        (token, group[start : start + TASKS_A_LOOK])
        for token, group in by_token.items()
        for start in range(0, len(group), TASKS_A_LOOK)
    ]


def _position(journal_id: str) -> Position:
    milliseconds, _, sequence = journal_id.partition("-")
    return (int(milliseconds or 0), int(sequence or 0))
