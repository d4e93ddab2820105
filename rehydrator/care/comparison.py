"""One look at one mirror queue and its tasks in Redis and the ledger; the second look may repair.

All copies are held while Redis is walked over, so nothing leaves in between.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.broker.recovery import Standing as RedisStanding
from app.broker.survey import PAGE, START, Cursor, Survey
from app.ledger.records import Standing as LedgerStanding
from app.names import TaskKey
from rehydrator.arrivals import Arrivals
from rehydrator.care.findings import Finding, Name, Place, about_copy, about_live
from rehydrator.care.index import CopyIndex, number_of
from rehydrator.care.reading import read_copies
from rehydrator.care.repairs import Repairs
from rehydrator.decision import Asked
from rehydrator.holdings import Held, Suspect, by_queue, held, parts
from rehydrator.redis_queue import RedisQueue, RedisQueues, Stores
from rehydrator.source import CopySource

PART: Final = 500
FINDINGS_MAX: Final = 50_000
"""Findings kept of one look; more of them need another run."""
LANES: Final = (1, 2, 3)


@dataclass(slots=True)
class Look:
    """What one look found. ``repeated``: numbers of runs with several copies, not yet named."""

    found: set[Finding] = field(default_factory=set)
    repeated: frozenset[int] = frozenset()
    beyond: int = 0
    """Findings that were not kept."""

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not self.found and not self.repeated

    def add(self, finding: Finding) -> None:
        """One more."""
        if len(self.found) < FINDINGS_MAX:
            self.found.add(finding)
        else:
            self.beyond += 1


class Comparison:
    """``first``: the look before this one; without it this is the first, and repairs nothing."""

    def __init__(
        self,
        stores: Stores,
        queue: str,
        queues: RedisQueues,
        source: CopySource,
        *,
        first: Look | None = None,
        repairs: Repairs | None = None,
    ) -> None:
        self._stores = stores
        self._queue = queue
        self._queues = queues
        self._source = source
        self._first = first or Look()
        self._repairs = repairs
        self._look = Look()
        self._index = CopyIndex()
        self._several: dict[int, list[Held]] = {}

    async def run(self, stalled_s: float) -> Look:
        """Copies first, then what is open in Redis.

        Raises:
            CopiesLost, StaleGeneration: begin anew.
            Fatal: a store is not the one it must be.
            Incomplete: the queue could not be read to its end.
            Unavailable: a store is away.
        """
        async for arrivals in read_copies(self._stores, self._source, self._queue, stalled_s):
            await self._take(arrivals)
        self._index.close()
        self._look.repeated = self._index.repeated
        await self._name_repeated()
        for queue in self._queues:
            await self._walk(queue)
            await self._find_silent(queue)
        return self._look

    def _note(self, finding: Finding) -> bool:
        """Keep a finding; whether it is to be repaired now."""
        self._look.add(finding)
        return self._repairs is not None and finding in self._first.found

    # --- copies

    async def _take(self, arrivals: Arrivals) -> None:
        for delivery, message in arrivals.unreadable:
            suspect = Suspect(
                delivery=delivery,
                reason=message.reason,
                detail=message.detail,
                tenant=message.tenant,
                queue=message.queue or self._queue,
                task_id=message.task_id,
            )
            key = TaskKey(suspect.tenant, suspect.queue, suspect.task_id)
            if self._note(_finding(Name.DIGEST_MISMATCH, key, 0)) and self._repairs:
                await self._repairs.put_away(suspect)
        now_s = time.monotonic()
        copies = [
            held(delivery, copy, self._queues.of(copy.envelope.queue_name), now_s)
            for delivery, copy in arrivals.copies
        ]
        for copy in copies:
            self._index.add(copy.key, copy.run)
            if (number := number_of(copy.key, copy.run)) in self._first.repeated:
                self._several.setdefault(number, []).append(copy)
        for part in parts(copies, PART):
            await self._judge(part)
        for copy in copies:
            copy.delivery = copy.envelope = None

    async def _judge(self, copies: Sequence[Held]) -> None:
        in_redis: dict[Held, RedisStanding] = {}
        # Redis first: a task that leaves it was recorded before.
        for queue, group in by_queue(copies).items():
            in_redis.update(
                zip(group, await _inspect(queue, [c.task_id for c in group]), strict=True)
            )
        in_ledger = await self._ask(copy.key for copy in copies)
        wrong: list[tuple[Held, Name, RedisStanding, Asked]] = []
        for copy in copies:
            asked = Asked(in_ledger.get(copy.key))
            name = about_copy(copy.run, copy.request_digest, in_redis[copy], asked)
            if name is not None and self._note(_finding(name, copy.key, copy.run)):
                wrong.append((copy, name, in_redis[copy], asked))
        if wrong and self._repairs:
            await self._repairs.mend_copies(wrong)

    async def _name_repeated(self) -> None:
        for number, copies in self._several.items():
            if number not in self._index.repeated:
                continue
            finding = _finding(Name.DUPLICATE_COPY, copies[0].key, copies[0].run)
            self._look.add(finding)
            # Counted in the first look, where it had no name yet.
            self._first.found.add(finding)
            if self._repairs:
                places = [Place(copy.generation, copy.journal_id) for copy in copies]
                await self._repairs.thin_out(finding, copies, places)

    # --- tasks in Redis

    async def _walk(self, queue: RedisQueue) -> None:
        survey = Survey(self._stores.redis, queue.session.keys)
        token = await queue.session.token()
        cursor: Cursor | None = START
        waiting: dict[str, None] = {}
        while cursor is not None:
            ids, cursor = await survey.walk(token, cursor)
            waiting |= dict.fromkeys(ids)
            if waiting and (cursor is None or len(waiting) >= PART):
                await self._judge_live(queue, survey, token, list(waiting))
                waiting = {}

    async def _judge_live(
        self, queue: RedisQueue, survey: Survey, token: str, ids: Sequence[str]
    ) -> None:
        in_redis = dict(zip(ids, await _inspect(queue, ids), strict=True))
        in_ledger = await self._ask(queue.key(each) for each in ids)
        bare = [
            task_id
            for task_id, standing in in_redis.items()
            if standing.standing == "present"
            and not self._index.has(queue.key(task_id), standing.run)
        ]
        told: dict[str, str] = {}
        for part in parts(bare, PAGE):
            answers = await survey.rejournal(token, part, only_tell=True)
            told |= {each: answer.outcome for each, answer in zip(part, answers, strict=True)}
        for task_id, standing in in_redis.items():
            key = queue.key(task_id)
            recorded = in_ledger.get(key)
            name = about_live(
                standing,
                recorded,
                has_copy=task_id not in told,
                # What has ended meanwhile needs none any more.
                is_on_the_way=told.get(task_id) in ("waiting", "gone"),
            )
            if name is None or not self._note(_finding(name, key, standing.run)):
                continue
            if self._repairs:
                await self._repairs.mend_live(queue, name, key, standing.run, recorded)

    async def _find_silent(self, queue: RedisQueue) -> None:
        survey = Survey(self._stores.redis, queue.session.keys)
        token = await queue.session.token()
        lease_ms = self._stores.settings.lease_ms
        for lane in LANES:
            behind, more, given_up = "", True, []
            while more:
                silent, behind = await survey.silent(token, lane, lease_ms, behind)
                more = behind != ""
                for each in silent:
                    finding = _finding(Name.PENDING_NO_OWNER, queue.key(each.task_id), each.run)
                    if self._note(finding):
                        given_up.append(finding)
            if given_up and self._repairs:
                await self._repairs.take_back(queue, lane, given_up)

    async def _ask(self, keys: Iterable[TaskKey]) -> Mapping[TaskKey, LedgerStanding]:
        return await self._stores.ledger.ask(list(dict.fromkeys(keys)))


async def _inspect(queue: RedisQueue, ids: Sequence[str]) -> list[RedisStanding]:
    return await queue.recovery.inspect(await queue.session.token(), ids)


def _finding(name: Name, key: TaskKey, run: int) -> Finding:
    return Finding(name, key.tenant, key.queue, key.task_id, run)
