"""One queue as this process has opened it: its session, its verbs, and how tasks enter it.

Concurrent submits are gathered into one call to Redis, and where Redis is too young to remember an
id, into one call to the ledger before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeVar, cast

from app.broker.connection import RedisConnection
from app.broker.delivery import Delivery
from app.broker.generation import Generation
from app.broker.intake import Enqueued, Intake, Sighting, Submission
from app.broker.recovery import Recovery
from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.envelope import decode
from app.errors import StaleGeneration, Unavailable
from app.gather import Gatherer
from app.ledger.ledger import Ledger
from app.ledger.records import Standing
from app.names import QueueName, TaskKey
from app.sessions import QueueSession
from app.settings import Settings
from app.state import FINISHED
from app.task_queue.confirming import Confirmations
from app.task_queue.ledger_gate import LedgerGate

T = TypeVar("T")

TASKS_A_CALL: Final = 64
TASKS_A_LOOK: Final = 32
CALLS_AT_A_TIME: Final = 2
FSYNCS_AT_A_TIME: Final = 8
"""Each waits for the disk; what is gathered behind it must not wait as well."""
GENERATIONS_TRIED: Final = 3
CLOCK_SLACK_MS: Final = 60_000
"""Redis dates its generation by its own clock; ours may differ by so much."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one submission.

    ``safe``: a copy is confirmed, or the run is recorded. ``fsynced``: Redis has it on disk.
    """

    outcome: Literal["created", "duplicate", "conflict", "full"]
    state: str
    run: int
    journal_id: str
    safe: bool
    unchecked: bool
    token: str
    fsynced: bool = False


class OpenQueue:
    """One queue of the tenant. Safe to share by everything in one process."""

    def __init__(
        self,
        redis: RedisConnection,
        ledger: LedgerGate,
        settings: Settings,
        name: QueueName,
        crashes: CrashPoints = NOWHERE,
    ) -> None:
        # A session needs no more of the ledger than its gate offers.
        self.session = QueueSession(
            redis, cast(Ledger, ledger), settings.env, name, adopt=settings.adopt_ledger
        )
        self.name = name
        self.keys = self.session.keys
        self.intake = Intake(
            redis,
            self.keys,
            queue_max=settings.queue_max,
            unmirrored_max=settings.unmirrored_max if settings.rabbitmq_url else None,
        )
        self.recovery = Recovery(redis, self.keys)
        self.delivery = Delivery(redis, self.keys, dedup_ms=settings.dedup_ms)
        self.confirmations = Confirmations(redis, self.keys, self.intake, ledger)
        self.ledger_seen = ""
        """The ledger that Redis last said it belongs to."""
        self._redis = redis
        self._ledger = ledger
        self._crashes = crashes
        self._remembered_ms = settings.dedup_ms + CLOCK_SLACK_MS
        self.is_mirrored = settings.rabbitmq_url is not None
        self._confirm_timeout_ms = settings.confirm_timeout_ms
        self._looks = Gatherer(self._look, max_items=TASKS_A_LOOK, lanes=CALLS_AT_A_TIME)
        # Those that may have to be looked up must not hold up those that need not.
        self._fresh = self._gatherer()
        self._given = self._gatherer()
        self._fsynced = Gatherer(
            partial(self.accept_many, fsync=True), max_items=TASKS_A_CALL, lanes=FSYNCS_AT_A_TIME
        )

    async def accept(self, submission: Submission, *, fsync: bool = False) -> Accepted:
        """Accept one task, together with whatever else is being submitted now.

        Raises:
            DurabilityUnsupported: ``fsync`` cannot be had from this Redis; nothing was accepted.
            Unavailable: Redis is away or keeps changing; the task may have been accepted.
        """
        if fsync:
            return await self._fsynced.add(submission)
        return await (self._fresh if submission.fresh else self._given).add(submission)

    async def accept_many(
        self, submissions: Sequence[Submission], *, fsync: bool = False
    ) -> list[Accepted]:
        """Accept tasks in one call to Redis; answers in order. Raises as ``accept`` does."""
        for _ in range(GENERATIONS_TRIED):
            generation = await self.session.generation()
            self.ledger_seen = generation.ledger
            try:
                return await self._accept_under(generation, submissions, fsync=fsync)
            except StaleGeneration:
                self.session.forget()
        raise StaleGeneration

    async def under_token(self, call: Callable[[str], Awaitable[T]]) -> T:
        """Call with the token in force, anew where Redis has changed meanwhile.

        Raises:
            Unavailable: Redis is away or keeps changing.
        """
        for _ in range(GENERATIONS_TRIED):
            token = await self.session.token()
            try:
                return await call(token)
            except StaleGeneration:
                self.session.forget()
        raise StaleGeneration

    async def look(self, task_id: str) -> tuple[Sighting | None, bool]:
        """A task as Redis knows it, together with whatever else is being looked at now.

        Also whether copies may still have to be brought back, so that "none" means nothing.

        Raises:
            Unavailable: Redis is away or keeps changing.
        """
        return await self._looks.add(task_id)

    async def _look(self, task_ids: Sequence[str]) -> list[tuple[Sighting | None, bool]]:
        unique = list(dict.fromkeys(task_ids))

        async def call(token: str) -> list[tuple[Sighting | None, bool]]:
            # In this order: what comes back between the two is then seen.
            pending = self.is_mirrored and await self.is_pending(token)
            seen = dict(zip(unique, await self.intake.look(token, unique), strict=True))
            return [(seen[task_id], pending) for task_id in task_ids]

        return await self.under_token(call)

    async def is_pending(self, token: str) -> bool:
        """Whether copies may still have to be brought back into this generation."""
        found, pending = await self._redis.fields(self.keys.generation, "token", "pending")
        return found != token or pending == "1"

    async def is_paused(self) -> bool:
        """Whether the queue's tasks are held back now."""
        (paused,) = await self._redis.fields(self.keys.generation, "paused")
        return paused == "1"

    async def exists_in_redis(self) -> bool:
        """Whether Redis has ever seen this queue: only queues that exist are opened there."""
        (token,) = await self._redis.fields(self.keys.generation, "token")
        return token is not None

    async def accepted_at_ms(self, task_ids: Sequence[str]) -> list[int | None]:
        """When tasks were first accepted, None where Redis does not know one."""
        if len(task_ids) == 1:
            (value,) = await self._redis.fields(self.keys.task(task_ids[0]), "accepted")
            if value:
                return [int(value)]
        found = await self.under_token(lambda token: self.intake.look(token, task_ids))
        return [_accepted_at_ms(each) if each else None for each in found]

    def _gatherer(self) -> Gatherer[Submission, Accepted]:
        return Gatherer(self.accept_many, max_items=TASKS_A_CALL, lanes=CALLS_AT_A_TIME)

    async def _accept_under(
        self, generation: Generation, submissions: Sequence[Submission], *, fsync: bool
    ) -> list[Accepted]:
        recorded, unchecked = await self._look_up(generation, submissions)
        answers: list[Accepted | None] = [
            known(recorded.get(each.envelope.key), each, generation.token) for each in submissions
        ]
        unknown = [each for each, answer in zip(submissions, answers, strict=True) if not answer]
        if unknown:
            self._crashes.reach("api.before_enqueue")
            enqueued = iter(
                await self.intake.enqueue(
                    generation.token, unknown, fsync=fsync, within_ms=self._confirm_timeout_ms
                )
            )
            self._crashes.reach("api.after_enqueue")
            for index, each in enumerate(submissions):
                if answers[index] is None:
                    doubtful = unchecked and not each.fresh
                    answers[index] = _accepted(next(enqueued), doubtful, generation.token)
        return cast(list[Accepted], answers)

    async def _look_up(
        self, generation: Generation, submissions: Sequence[Submission]
    ) -> tuple[Mapping[TaskKey, Standing], bool]:
        """What the ledger knows of ids that Redis may have forgotten, and whether it was away."""
        if now_ms() - generation.since_ms > self._remembered_ms:
            return {}, False
        keys = [each.envelope.key for each in submissions if not each.fresh]
        if not keys:
            return {}, False
        try:
            return await self._ledger.ask(keys), False
        except Unavailable:
            return {}, True

    async def close(self) -> None:
        """Stop what runs for this queue."""
        await self.confirmations.close()
        await asyncio.sleep(0)


def known(standing: Standing | None, submission: Submission, token: str) -> Accepted | None:
    """The answer the ledger alone can give, None where Redis decides."""
    if standing is None:
        return None
    envelope = submission.envelope
    if standing.request_digest != envelope.request_digest:
        return Accepted("conflict", "", 0, "", False, False, token)
    if not standing.is_finished(envelope.run):
        return None
    state, run = standing.finished_state, standing.finished_run
    return Accepted("duplicate", state, run, "", True, False, token)


def _accepted(enqueued: Enqueued, doubtful: bool, token: str) -> Accepted:
    return Accepted(
        outcome=enqueued.outcome,
        state=enqueued.state,
        run=enqueued.run,
        journal_id=enqueued.journal_id,
        # Finished in Redis means recorded in the ledger (rule 12).
        safe=enqueued.mirrored or enqueued.state in FINISHED,
        unchecked=doubtful and enqueued.outcome == "created",
        token=token,
        fsynced=enqueued.fsynced,
    )


def _accepted_at_ms(seen: Sighting) -> int | None:
    if value := seen.fields.get("accepted"):
        return int(value)
    # Of what was restored the envelope alone says it.
    return decode(seen.envelope).accepted_at_ms if seen.envelope else None
