"""The one repair of each finding, through the verbs that everybody uses: no rule is bypassed."""

import logging
from collections.abc import Sequence
from typing import Final

from app.broker.delivery import Delivery, Entry, Settle
from app.broker.intake import Intake, Submission
from app.broker.recovery import Standing as RedisStanding
from app.broker.survey import Survey
from app.clock import now_ms
from app.envelope import decode
from app.ledger.records import OpenPart, OpenWrite
from app.ledger.records import Standing as LedgerStanding
from app.names import TaskKey, new_token
from app.state import TaskState
from app.task_queue.redriving import next_run
from app.worker.verdict import lost_attempt
from rehydrator.acting import Actions
from rehydrator.care.findings import Finding, Name, Place, superfluous
from rehydrator.decision import Asked, decide
from rehydrator.holdings import Held, Holdings, Suspect
from rehydrator.rate import Rate
from rehydrator.redis_queue import RedisQueue, Stores
from rehydrator.source import CopySource

log = logging.getLogger(__name__)

RECLAIMED: Final = 100


class Repaired:
    """What was repaired, over all looks."""

    def __init__(self) -> None:
        self.findings: set[Finding] = set()

    def note(self, keys: Sequence[TaskKey], outcome: str) -> None:
        """See ``rehydrator.acting.Notes``: the finding says more than the outcome."""


class Repairs:
    """Repairs within one look: copies are those of its source."""

    def __init__(self, stores: Stores, source: CopySource, repaired: Repaired) -> None:
        self._stores = stores
        self._source = source
        self._repaired = repaired
        self._holdings = Holdings()
        self._actions = Actions(stores, source, self._holdings, repaired, Rate())
        self._consumer = f"reconcile-{new_token()[:8]}"

    async def put_away(self, suspect: Suspect) -> None:
        """Into the quarantine: the record, a confirmed message, only then the ack."""
        self._holdings.suspect(suspect)
        await self._actions.clear_suspects()
        if suspect not in self._holdings.suspects:
            key = TaskKey(suspect.tenant, suspect.queue, suspect.task_id)
            self._done(Name.DIGEST_MISMATCH, key, 0)

    async def mend_copies(self, copies: Sequence[tuple[Held, Name, RedisStanding, Asked]]) -> None:
        """Retire, restore or quarantine, as the rehydrator would; redrive what has no record."""
        unrecorded = [each for each in copies if each[1] is Name.SETTLED_NOT_RECORDED]
        others = [each for each in copies if each[1] is not Name.SETTLED_NOT_RECORDED]
        verdicts = [
            decide(copy.run, copy.request_digest, redis, ledger)
            for copy, _, redis, ledger in others
        ]
        await self._actions.act([copy for copy, _, _, _ in others], verdicts)
        await self._actions.clear_suspects()
        waiting = {TaskKey(s.tenant, s.queue, s.task_id) for s in self._holdings.suspects}
        for copy, name, _, _ in others:
            if copy.key not in waiting:
                self._done(name, copy.key, copy.run)
        for copy, name, redis, _ in unrecorded:
            if await self._redrive(copy, redis.run):
                self._done(name, copy.key, copy.run)

    async def thin_out(
        self, finding: Finding, copies: Sequence[Held], places: Sequence[Place]
    ) -> None:
        """Let all copies of a run go but one of its latest confirmed journal entry (rule 6)."""
        kept = [number for number, copy in enumerate(copies) if copy.tag in copy.lane.held]
        if len(kept) < 2:  # noqa: PLR2004 - then there are not several any more
            self._repaired.findings.add(finding)
            return
        latest = await self._latest(copies[0])
        gone = superfluous([places[number] for number in kept], latest)
        if gone:
            await self._source.ack([copies[kept[number]] for number in gone])
            self._repaired.findings.add(finding)

    async def _latest(self, copy: Held) -> Place | None:
        """The journal entry that the task's mark speaks of, if it does."""
        token = await copy.queue.session.token()
        (sighting,) = await self._intake(copy.queue).look(token, [copy.task_id])
        fields = sighting.fields if sighting else {}
        if fields.get("mirrored") != "1" or "refreshing" in fields or not fields.get("jid"):
            return None
        if fields.get("gen") != token or fields.get("run") != str(copy.run):
            return None
        return Place(token, fields["jid"])

    async def mend_live(
        self,
        queue: RedisQueue,
        name: Name,
        key: TaskKey,
        run: int,
        recorded: LedgerStanding | None,
    ) -> None:
        """Journal a task again, or settle it as the ledger has it."""
        if name is Name.RESULT_WITHOUT_TASK and recorded is not None:
            state = TaskState(recorded.finished_state)
            await queue.settle([Settle(key.task_id, 0, "", recorded.finished_run, state)])
        elif name is Name.LIVE_NOT_MIRRORED:
            survey = Survey(self._stores.redis, queue.session.keys)
            await survey.rejournal(await queue.session.token(), [key.task_id])
        self._done(name, key, run)

    async def take_back(self, queue: RedisQueue, lane: int, findings: Sequence[Finding]) -> None:
        """Reclaim what is silent, record the lost attempts (rule 4), give it back to the queue."""
        token = await queue.session.token()
        delivery = self._delivery(queue)
        lease_ms = self._stores.settings.lease_ms
        cursor, taken = "0-0", []
        while True:
            cursor, entries = await delivery.reclaim(
                token, self._consumer, lane, lease_ms, RECLAIMED, cursor
            )
            if entries:
                await self._record_lost(queue, token, entries)
                given = [(entry, False) for entry in entries]
                await delivery.give_back(token, self._consumer, given)
                taken += entries
            if cursor == "0-0":
                break
        ids = {entry.task_id for entry in taken}
        self._repaired.findings |= {each for each in findings if each.task_id in ids}

    async def _record_lost(self, queue: RedisQueue, token: str, entries: Sequence[Entry]) -> None:
        sightings = await self._intake(queue).look(token, [each.task_id for each in entries])
        standings = await self._stores.ledger.ask([queue.key(each.task_id) for each in entries])
        writes = []
        for entry, sighting in zip(entries, sightings, strict=True):
            fields = sighting.fields if sighting else {}
            lost = lost_attempt(fields, entry, "", now_ms())
            standing = standings.get(queue.key(entry.task_id))
            part = standing.open_of(entry.run) if standing else None
            over = standing is not None and standing.is_finished(entry.run)
            known = part is not None and part.phase == "failed" and lost is not None
            if (
                lost is None
                or over
                or (known and part is not None and part.attempt >= lost.attempt)
            ):
                continue
            before = part.lost if part is not None else 0
            writes.append(
                OpenWrite(
                    key=queue.key(entry.task_id),
                    request_digest=decode(entry.envelope).request_digest,
                    part=OpenPart(entry.run, lost.attempt, "failed", 0, before + 1, self._consumer),
                    attempt=lost,
                    check=True,
                    expected=part,
                )
            )
        if writes:
            await self._stores.ledger.record_open(writes)

    async def _redrive(self, copy: Held, settled_run: int) -> bool:
        """What is over without a record runs again, as a run of its own."""
        if copy.envelope is None:
            return False
        again = next_run(copy.key, copy.envelope.raw, settled_run, None, now_ms())
        token = await copy.queue.session.token()
        (answer,) = await self._intake(copy.queue).redrive(token, [Submission(again, fresh=False)])
        return answer.outcome in ("created", "duplicate")

    def _done(self, name: Name, key: TaskKey, run: int) -> None:
        self._repaired.findings.add(Finding(name, key.tenant, key.queue, key.task_id, run))

    def _intake(self, queue: RedisQueue) -> Intake:
        settings = self._stores.settings
        return Intake(
            self._stores.redis,
            queue.session.keys,
            queue_max=settings.queue_max,
            unmirrored_max=settings.unmirrored_max,
        )

    def _delivery(self, queue: RedisQueue) -> Delivery:
        settings = self._stores.settings
        return Delivery(self._stores.redis, queue.session.keys, dedup_ms=settings.dedup_ms)
