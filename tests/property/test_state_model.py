"""Tasks through every verb and every loss, on a real Redis, beside a model that says what must be.

Each rule predicts what a script answers and changes; the invariants compare after every step. The
machine plays the worker, the mirror, the rehydrator and the ledger as the design has them, so that
the promises can be checked too: a recorded run never starts again, what was mirrored is finished
or still has a copy, and in the end everything mirrored is finished.
"""

import asyncio
import copy
import uuid
from dataclasses import dataclass, replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.broker.delivery import PutOff, Settle
from app.broker.intake import Submission
from app.names import new_token
from app.state import MOVES, TaskState
from tests.property.state_model import ATTEMPTS_MAX, Hash, Ledger, ReadyEntry, Redis
from tests.support.broker import FAR_MS, Broker, connect, settle_unseen, start_of
from tests.support.envelopes import envelope

S = TaskState
TASKS = ("a", "b", "c")
CONSUMERS = ("w1", "w2")
PAST_MS = 1
COMPARED = (
    "state",
    "run",
    "attempt",
    "place",
    "digest",
    "mirrored",
    "suspect",
    "cancel",
    "jid",
    "entry",
)


@dataclass
class Claim:
    """An entry as a worker has it; ``attempt`` once started, ``doubtful`` if it was suspect."""

    entry: object
    consumer: str
    attempt: int = 0

    @property
    def started(self):
        return self.attempt > 0


@dataclass(frozen=True)
class MirrorCopy:
    """A copy in RabbitMQ; ``awaited`` is the (generation, journal id) of its refresh."""

    envelope: object
    generation: str
    journal_id: str
    awaited: tuple | None = None


# How often each step is chosen beside the others: much work, few losses.
OFTEN = {
    "submit": 4,
    "fetch": 5,
    "start": 8,
    "finish": 2,
    "fail": 4,
    "promote": 2,
    "time_passes": 2,
    "mirror": 4,
    "look_at_copy": 4,
    "refresh": 3,
    "let_refreshed_copies_go": 2,
}


def step(when=lambda _: True, **arguments):
    """A step of the machine; ``when`` it can be made, and what its arguments may be."""

    def mark(method):
        method.step = (when, arguments)
        return method

    return mark


class TaskLives(RuleBasedStateMachine):
    def __init__(self, url):
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.run(self.open(url))
        self.model = Redis()
        self.ledger = Ledger()
        self.copies = []
        self.envelopes = {}  # journal id -> envelope
        self.kept = {}  # (task id, digest) -> the run that was mirrored
        self.submitted = set()
        self.cancelled = set()  # marked, and not yet recorded
        self.claims = []
        self.zombies = []
        self.checkpoint = None
        self.seen_states = {}
        self.jumped = set()

    async def open(self, url):
        self.redis = connect(url)
        self.broker = Broker(self.redis, f"m{uuid.uuid4().hex[:12]}")
        await self.broker.attach()

    @initialize(random=st.randoms(use_true_random=True))
    def choose_by(self, random):
        """Hypothesis gives the seed and prints it; plain chance goes deeper than its own choices."""
        self.random = random

    @rule()
    def live(self):
        """One step of those that can be made; a rule each would give all the same chance."""
        possible = [
            name
            for name, (when, _) in STEPS.items()
            for _ in range(OFTEN.get(name, 1))
            if when(self)
        ]
        name = self.random.choice(possible)
        given = {each: self.random.choice(choice) for each, choice in STEPS[name][1].items()}
        note(f"{name} {given}")
        getattr(self, name)(**given)

    def run(self, coroutine):
        return self.runner.run(coroutine)

    @property
    def token(self):
        return self.broker.token

    def teardown(self):
        try:
            self.come_to_rest()
        finally:
            self.run(self.redis.close())
            self.runner.close()

    # --- producers

    @step(
        task_id=TASKS,
        variant=(1, 1, 1, 1, 1, 2),
        priority=("high", "normal"),
        later=(False, False, True),
        fresh=(False, True),
    )
    def submit(self, task_id, variant, priority, later, fresh):
        options = {"notBefore": FAR_MS} if later else {}
        task = envelope(task_id, payload={"variant": variant}, priority=priority, **options)
        # An id is fresh in the very submit that made it; whoever has it from there gives it.
        fresh = fresh and task_id not in self.submitted
        self.submitted.add(task_id)
        self.accept(task, fresh=fresh)

    def accept(self, task, *, fresh):
        hashed = self.model.hashes.get(task.task_id)
        (answer,) = self.run(self.broker.intake.enqueue(self.token, [Submission(task, fresh)]))
        if hashed is not None:
            same = hashed.digest == task.request_digest
            assert answer.outcome == ("duplicate" if same else "conflict")
            assert (answer.state, answer.run) == (hashed.state, hashed.run)
            assert answer.mirrored == hashed.mirrored
            return
        later = task.not_before_ms == FAR_MS
        assert answer.outcome == "created"
        lane = 1 if task.priority == "high" else 2
        new = Hash(S.QUEUED, task.run, task.request_digest, lane, "ready", fresh=fresh)
        new.jid, new.jid_gen = answer.journal_id, self.token
        self.model.hashes[task.task_id] = new
        self.note_journaled(answer.journal_id, task)
        if later:
            new.state, new.place = S.SCHEDULED, "delayed"
            self.model.delayed[task.task_id] = False
            self.absorb()
        else:
            self.absorb((task.task_id, task.run, fresh))

    def note_journaled(self, journal_id, task):
        self.model.journal.append((journal_id, task.task_id))
        self.envelopes[journal_id] = task

    def absorb(self, *expected):
        """Take in the entries that a step made: exactly those expected."""
        made = []
        for lane, entries in enumerate(self.run(self.ready()), 1):
            for entry_id, fields in entries:
                name = f"{lane}/{entry_id.decode()}"
                if name in self.model.entries:
                    continue
                entry = ReadyEntry(
                    fields[b"id"].decode(),
                    int(fields[b"run"]),
                    lane,
                    fields[b"fresh"] == b"1",
                    fields[b"gen"].decode(),
                )
                made.append((entry.task_id, entry.run, entry.fresh))
                assert entry.generation == self.token
                self.model.entries[name] = entry
                hashed = self.model.hashes.get(entry.task_id)
                if hashed and hashed.place == "ready" and hashed.run == entry.run:
                    hashed.entry = name
        assert sorted(made) == sorted(expected)

    async def ready(self):
        async with self.broker.raw.pipeline(transaction=False) as pipe:
            for lane in self.broker.keys.lanes:
                pipe.xrange(lane)
            return await pipe.execute()

    @step(task_id=TASKS)
    def mark_cancel(self, task_id):
        hashed = self.model.hashes.get(task_id)
        found = self.run(self.broker.intake.mark_cancel(self.token, task_id))
        if hashed is None:
            assert found is None
            return
        assert found == (hashed.run, hashed.digest, hashed.place != "")
        if hashed.place != "":
            hashed.cancel = True
            self.cancelled.add((task_id, hashed.run, hashed.digest))

    @step(when=lambda self: self.cancelled)
    def record_cancel(self):
        marked = self.random.choice(sorted(self.cancelled))
        self.cancelled.discard(marked)
        self.ledger.finish(*marked, S.CANCELLED)

    # --- workers

    @step(
        consumer=CONSUMERS,
        count=(1, 2, 3),
        own=(False, False, True),
    )
    def fetch(self, consumer, count, own):
        fetched = self.run(self.broker.fetch(consumer, count=count, own=own))
        if not own:
            free = [e for e in self.model.entries.values() if e.owner is None]
            assert len(fetched) == min(count, len(free))
        for entry in fetched:
            known = self.model.entries[place_of(entry)]
            assert known.owner == (consumer if own else None)
            assert (entry.task_id, entry.run, entry.lane) == (
                known.task_id,
                known.run,
                known.lane,
            )
            assert (entry.fresh, entry.generation) == (known.fresh, known.generation)
            known.owner = consumer
            self.claim(entry, consumer)

    def claim(self, entry, consumer):
        for each in self.claims:
            if (place_of(each.entry), each.consumer) == (place_of(entry), consumer):
                return
        self.claims.append(Claim(entry, consumer))

    @step(consumer=CONSUMERS, lane=(1, 2))
    def reclaim(self, consumer, lane):
        _, entries = self.run(self.broker.delivery.reclaim(self.token, consumer, lane, 0, 100))
        owned = {
            entry_id
            for entry_id, known in self.model.entries.items()
            if known.owner is not None and known.lane == lane
        }
        assert {place_of(entry) for entry in entries} == owned
        for entry in entries:
            self.model.entries[place_of(entry)].owner = consumer
            self.claim(entry, consumer)

    def claims_where(self, *, started):
        return [each for each in self.claims if each.started == started]

    @step(when=lambda self: self.claims_where(started=False), twice=(False, True))
    def start(self, twice):
        self.begin(self.random.choice(self.claims_where(started=False)), twice=twice)

    def begin(self, claim, *, twice=False):
        """What a worker does before a handler runs: ask where it must, start, note doubt."""
        entry = claim.entry
        record_digest = start_of(entry).request_digest
        must_ask = (
            entry.reclaimed or not entry.fresh or entry.run > 1 or entry.generation != self.token
        )
        started = None
        if not must_ask:
            started = self.try_start(claim, asked=False, twice=twice)
        if must_ask or started.verdict == "ask":
            must_ask = True
            if self.ledger.is_anothers(entry.task_id, record_digest):
                self.drop(claim, record_digest)
                return
            if self.ledger.is_finished(entry.task_id, entry.run, record_digest):
                record = self.ledger.records[entry.task_id]
                self.settle_claim(claim, record.finished_state)
                return
            started = self.try_start(claim, asked=True, twice=twice)
        self.after_start(claim, started, record_digest)

    def try_start(self, claim, *, asked, twice):
        entry = claim.entry
        attempts, far = self.ledger.open_of(entry.task_id, entry.run) if asked else (0, False)
        wish = start_of(
            entry,
            asked=asked,
            ledger_attempt=attempts,
            ledger_due_ms=FAR_MS if far else 0,
            attempts_max=ATTEMPTS_MAX,
            nonce=new_token(),
        )
        first = None
        for _ in range(1 + twice):
            expected = self.model.start(place_of(entry), claim.consumer, wish, far)
            (found,) = self.run(self.broker.delivery.start(self.token, claim.consumer, [wish]))
            if expected[0] == "gone":
                assert found.verdict == "gone"
                # What "later" took away is gone for the same wish again.
                return first or found
            assert (found.verdict, found.attempt, found.suspect) == expected
            if found.verdict == "later":
                self.jumped.add(entry.task_id)
            first = found
        return first

    def state_of(self, task_id):
        hashed = self.model.hashes.get(task_id)
        return hashed.state if hashed else None

    def after_start(self, claim, started, digest):
        entry = claim.entry
        if started.verdict == "run":
            assert not self.ledger.is_finished(entry.task_id, entry.run, digest), "a zombie"
            assert started.attempt <= ATTEMPTS_MAX
            doubtful = started.suspect or entry.reclaimed
            if doubtful and not self.ledger.note(
                entry.task_id, entry.run, digest, started.attempt, "started"
            ):
                self.claims.remove(claim)
                return
            claim.attempt = started.attempt
        elif started.verdict in ("cancel", "exhausted"):
            state = S.CANCELLED if started.verdict == "cancel" else S.DEAD
            self.ledger.finish(entry.task_id, entry.run, digest, state)
            self.settle_claim(claim, state)
        else:
            assert started.verdict in ("gone", "later")
            self.claims.remove(claim)

    def drop(self, claim, digest):
        """Another request owns the id (rule 10): the quarantine keeps this one."""
        entry = claim.entry
        known = self.model.entries.get(place_of(entry))
        owned = known is not None and known.owner == claim.consumer
        found = self.run(self.broker.delivery.drop(self.token, claim.consumer, [entry]))
        assert found == [owned]
        if owned:
            del self.model.entries[place_of(entry)]
            hashed = self.model.hashes.get(entry.task_id)
            if hashed and hashed.entry == place_of(entry):
                del self.model.hashes[entry.task_id]
        self.kept.pop((entry.task_id, digest), None)
        self.claims.remove(claim)

    def settle_claim(self, claim, state):
        entry = claim.entry
        self.run(
            self.broker.settle(
                Settle(entry.task_id, entry.lane, entry.entry_id, entry.run, TaskState(state))
            )
        )
        self.model.settle(entry.task_id, entry.run, state, place_of(entry))
        self.jumped.add(entry.task_id)
        if claim in self.claims:
            self.claims.remove(claim)

    @step(
        when=lambda self: self.claims_where(started=True),
        state=(S.SUCCEEDED, S.SUCCEEDED, S.DEAD),
        crash=(False, True),
    )
    def finish(self, state, crash):
        claim = self.random.choice(self.claims_where(started=True))
        entry = claim.entry
        self.ledger.finish(entry.task_id, entry.run, start_of(entry).request_digest, state)
        if crash:
            self.claims.remove(claim)
            return
        record = self.ledger.records[entry.task_id]
        self.settle_claim(claim, record.finished_state or state)

    @step(when=lambda self: self.claims_where(started=True), far=(False, True), crash=(False, True))
    def fail(self, far, crash):
        claim = self.random.choice(self.claims_where(started=True))
        entry = claim.entry
        digest = start_of(entry).request_digest
        self.claims.remove(claim)
        noted = self.ledger.note(
            entry.task_id, entry.run, digest, claim.attempt, "failed", due_far=far
        )
        if crash or not noted:
            return
        expected = self.model.put_off(place_of(entry), claim.consumer, entry.run, claim.attempt)
        wish = PutOff(entry, claim.attempt, FAR_MS if far else PAST_MS)
        assert self.run(self.broker.delivery.put_off(self.token, claim.consumer, [wish])) == [
            expected
        ]
        if expected == "ok":
            self.model.delayed[entry.task_id] = not far
        elif expected == "cancel":
            self.ledger.finish(entry.task_id, entry.run, digest, S.CANCELLED)
            self.claims.append(claim)
            self.settle_claim(claim, S.CANCELLED)

    @step(when=lambda self: self.claims)
    def give_back(self):
        claim = self.random.choice(self.claims)
        self.claims.remove(claim)
        given, new = self.model.give_back(
            place_of(claim.entry), claim.consumer, self.token, started=claim.started
        )
        assert self.run(
            self.broker.delivery.give_back(
                self.token, claim.consumer, [(claim.entry, claim.started)]
            )
        ) == [given]
        self.absorb(*([new] if new else []))

    @step(when=lambda self: self.claims)
    def renew(self):
        for consumer in CONSUMERS:
            held = [claim for claim in self.claims if claim.consumer == consumer]
            answers = self.run(
                self.broker.delivery.renew(self.token, consumer, [c.entry for c in held])
            )
            for claim, answer in zip(held, answers, strict=True):
                known = self.model.entries.get(place_of(claim.entry))
                hashed = self.model.hashes.get(claim.entry.task_id)
                if known is None or known.owner != consumer:
                    assert answer == "lost"
                else:
                    assert answer == ("cancel" if hashed and hashed.cancel else "held")

    @step(consumer=CONSUMERS)
    def crash(self, consumer):
        self.claims = [claim for claim in self.claims if claim.consumer != consumer]

    @step(when=lambda self: self.zombies)
    def zombie_finishes(self):
        """A handler begun under an earlier generation comes to its end; its outcome is recorded."""
        claim = self.random.choice(self.zombies)
        self.zombies.remove(claim)
        entry = claim.entry
        self.ledger.finish(entry.task_id, entry.run, start_of(entry).request_digest, S.SUCCEEDED)

    @step(task_id=TASKS)
    def time_passes(self, task_id):
        self.run(self.broker.make_due(task_id))
        if task_id in self.model.delayed:
            self.model.delayed[task_id] = True
        record = self.ledger.records.get(task_id)
        if record and record.open:
            record.open = (*record.open[:3], False)

    @step()
    def promote(self):
        ids, _ = self.run(self.broker.delivery.due(self.token, 100))
        assert sorted(ids) == sorted(t for t, due in self.model.delayed.items() if due)
        answers, made = [], []
        for task_id in TASKS:
            answer, new = self.model.promote(task_id, self.token)
            answers.append(answer)
            made += [new] if new else []
        assert self.run(self.broker.delivery.promote(self.token, TASKS)) == answers
        self.absorb(*made)

    # --- mirror

    @step(count=(1, 2, 3), confirmed=(False, True))
    def mirror(self, count, confirmed):
        entries, _ = self.run(self.broker.journal.read(self.token, None, count))
        assert [(e.journal_id, e.task_id) for e in entries] == self.model.journal[:count]
        for entry in entries:
            task = self.envelopes[entry.journal_id]
            assert entry.envelope == task.raw
            self.copies.append(MirrorCopy(task, self.token, entry.journal_id))
        if not entries or not confirmed:
            return
        marked = 0
        for entry in entries:
            task = self.envelopes[entry.journal_id]
            hashed = self.model.hashes.get(entry.task_id)
            if hashed and hashed.jid == entry.journal_id:
                marked += 1
                hashed.mirrored, hashed.refreshing = True, False
                key = (task.task_id, task.request_digest)
                self.kept[key] = max(self.kept.get(key, 0), task.run)
        assert self.run(self.broker.journal.trim(self.token, entries)) == marked
        del self.model.journal[: len(entries)]

    # --- rehydrator

    @step(when=lambda self: self.copies)
    def look_at_copy(self):
        self.look_at(self.random.choice(self.copies))

    def look_at(self, held):
        task = held.envelope
        task_id, digest = task.task_id, task.request_digest
        standing = self.run(self.broker.inspect(task_id))
        assert standing.standing == self.model.standing(task_id)
        if self.ledger.is_anothers(task_id, digest):
            self.quarantine(held)
            return
        if self.ledger.is_finished(task_id, task.run, digest):
            record = self.ledger.records[task_id]
            if standing.standing in ("present", "displaced"):
                self.settle_recorded(task_id, record)
            self.copies.remove(held)
            return
        attempts, far = self.ledger.open_of(task_id, task.run)
        far = far or (task.not_before_ms == FAR_MS and not attempts)
        lane = 1 if task.priority == "high" else 2
        # The envelope's own due time has passed once an attempt was made.
        wish = task if far or not task.not_before_ms else replace(task, options={})
        answer, new = self.model.restore(task, lane, attempts, far)
        due = FAR_MS if far else 0
        if wish is not task:
            wish = replace(wish, options={k: v for k, v in task.options.items() if k == "priority"})
        assert self.run(self.broker.restore(wish, attempts_ended=attempts, due_ms=due)) == answer
        if answer == "restored":
            self.jumped.add(task_id)
        elif answer == "conflict":
            self.quarantine(held)
        self.absorb(*([new] if new else []))

    def quarantine(self, held):
        self.copies.remove(held)
        self.kept.pop((held.envelope.task_id, held.envelope.request_digest), None)

    def settle_recorded(self, task_id, record):
        state = TaskState(record.finished_state)
        self.run(self.broker.settle(settle_unseen(task_id, record.finished_run, state)))
        self.model.settle(task_id, record.finished_run, record.finished_state)
        self.jumped.add(task_id)

    @step(when=lambda self: self.copies)
    def refresh(self):
        held = self.random.choice(self.copies)
        task = held.envelope
        expected = self.model.refreshes(held, self.token)
        found = self.run(
            self.broker.refresh(
                task.task_id,
                run=task.run,
                generation=held.generation,
                journal_id=held.journal_id,
            )
        )
        if expected == "new":
            hashed = self.model.hashes[task.task_id]
            assert found not in (None, held.journal_id, hashed.jid)
            hashed.fresh = hashed.fresh and hashed.jid_gen == self.token
            hashed.jid, hashed.jid_gen, hashed.refreshing = found, self.token, True
            self.note_journaled(found, task)
        else:
            assert found == expected
        if found:
            assert (held.generation, held.journal_id) != (self.token, found)
            self.copies.remove(held)
            self.copies.append(replace(held, awaited=(self.token, found)))

    @step()
    def let_refreshed_copies_go(self):
        reached = self.run(self.broker.recovery.watermark())
        if reached is None:
            return
        for held in list(self.copies):
            task, awaited = held.envelope, held.awaited
            if not awaited or not awaited[0] == reached[0] == self.token:
                continue
            wait = (task.task_id, task.run, awaited[1])
            (confirmed,) = self.run(self.broker.recovery.refreshed(self.token, [wait]))
            if confirmed and order(awaited[1]) <= order(reached[1]):
                self.copies.remove(held)

    @step(task_id=TASKS)
    def redrive(self, task_id):
        """A dead run is followed by the next one, which comes in by way of RabbitMQ."""
        record = self.ledger.records.get(task_id)
        if record is None or record.finished_state != S.DEAD:
            return
        task = envelope(task_id, run=record.finished_run + 1, digest=record.digest)
        self.copies.append(MirrorCopy(task, "", ""))
        self.kept[task_id, record.digest] = task.run

    @step(task_id=TASKS)
    def redrive_in_redis(self, task_id):
        """A dead run is followed by the next one, made here: at risk until it is mirrored."""
        record = self.ledger.records.get(task_id)
        if record is None or record.finished_state != S.DEAD:
            return
        task = envelope(task_id, run=record.finished_run + 1, digest=record.digest)
        outcome, entry = self.model.redrive(task, 2)
        (answer,) = self.run(self.broker.intake.redrive(self.token, [Submission(task, False)]))
        hashed = self.model.hashes[task_id]
        assert (answer.outcome, answer.run) == (outcome, hashed.run)
        if outcome == "created":
            hashed.jid, hashed.jid_gen = answer.journal_id, self.token
            self.note_journaled(answer.journal_id, task)
            self.absorb(entry)

    # --- losses

    @step(
        loss=("hash", "lane", "delayed", "journal", "everything", "history"),
        task_id=TASKS,
        lane=(1, 2),
    )
    def lose(self, loss, task_id, lane):
        if loss == "hash":
            self.run(self.broker.lose_hash(task_id))
            self.model.hashes.pop(task_id, None)
        elif loss == "lane":
            self.run(self.broker.lose_lane(lane))
            for entry_id in [i for i, e in self.model.entries.items() if e.lane == lane]:
                del self.model.entries[entry_id]
        elif loss == "delayed":
            self.run(self.broker.raw.delete(self.broker.keys.delayed))
            self.model.delayed.clear()
        elif loss == "journal":
            self.run(self.broker.lose_journal())
            self.model.journal.clear()
        elif loss == "everything":
            self.run(self.broker.lose_everything())
            self.model = Redis()
            self.forget()
        else:
            self.run(self.broker.restart())
            self.forget()

    @step()
    def a_replica_falls_behind(self):
        self.checkpoint = (copy.deepcopy(self.model), self.run(self.broker.snapshot()))

    @step(when=lambda self: self.checkpoint)
    def fail_over(self):
        model, dumps = self.checkpoint
        self.run(self.take_over(dumps))
        self.model = copy.deepcopy(model)
        self.jumped.update(TASKS)
        self.forget()

    async def take_over(self, dumps):
        raw = self.broker.raw
        for name in await self.broker.snapshot():
            await raw.delete(name)
        for name, dump in dumps.items():
            await raw.restore(name, 0, dump)
        await self.broker.restart()

    def forget(self):
        """Rule 1: claims of another generation are void; what runs, runs on."""
        self.zombies += self.claims_where(started=True)
        self.claims = []

    # --- what must hold

    @invariant()
    def redis_is_as_the_model_says(self):
        hashes, pending, delayed = self.run(self.observed())
        expected = {
            task_id: {
                "state": str(hashed.state),
                "run": str(hashed.run),
                "attempt": str(hashed.attempt),
                "place": hashed.place,
                "digest": hashed.digest,
                "mirrored": str(int(hashed.mirrored)),
                "suspect": "1" if hashed.suspect else None,
                "cancel": "1" if hashed.cancel else None,
                "jid": hashed.jid,
                "entry": hashed.entry.split("/")[1] if hashed.place == "ready" else None,
            }
            for task_id, hashed in self.model.hashes.items()
        }
        assert hashes == expected
        assert delayed == set(self.model.delayed)
        assert pending == {entry_id: entry.owner for entry_id, entry in self.model.entries.items()}

    async def observed(self):
        keys, hashes, owners = self.broker.keys, {}, {}
        async with self.broker.raw.pipeline(transaction=False) as pipe:
            for task_id in TASKS:
                pipe.hmget(keys.task(task_id), COMPARED)
            pipe.zrange(keys.delayed, 0, -1)
            for lane in keys.lanes:
                pipe.xrange(lane)
                pipe.xpending_range(lane, "workers", "-", "+", 100)
            replies = await pipe.execute(raise_on_error=False)
        for task_id, values in zip(TASKS, replies[: len(TASKS)], strict=True):
            found = [None if value is None else value.decode() for value in values]
            if found[0] is not None:
                hashes[task_id] = dict(zip(COMPARED, found, strict=True))
                # Left out where a task was restored without any: the scripts take it so.
                hashes[task_id]["attempt"] = hashes[task_id]["attempt"] or "0"
        for lane in range(3):
            entries, held = replies[len(TASKS) + 1 + 2 * lane : len(TASKS) + 3 + 2 * lane]
            at = f"{lane + 1}/"
            owners |= {at + entry_id.decode(): None for entry_id, _ in entries}
            if not isinstance(held, Exception):
                owners |= {at + e["message_id"].decode(): e["consumer"].decode() for e in held}
        return hashes, owners, {each.decode() for each in replies[len(TASKS)]}

    @invariant()
    def states_move_as_the_table_says(self):
        for task_id in TASKS:
            old, new = self.seen_states.get(task_id), self.state_of(task_id)
            self.seen_states[task_id] = new
            if old is None or new is None or old == new or task_id in self.jumped:
                continue
            assert new in MOVES[TaskState(old)], (task_id, old, new)
        self.jumped.clear()

    @invariant()
    def what_was_mirrored_is_finished_or_has_a_copy(self):
        for (task_id, digest), run in self.kept.items():
            if self.ledger.is_finished(task_id, run, digest):
                continue
            assert any(
                held.envelope.task_id == task_id
                and held.envelope.request_digest == digest
                and held.envelope.run >= run
                for held in self.copies
            ), (task_id, run)

    def come_to_rest(self):
        """Every fault is over: what was mirrored comes to its end, and nothing stays open."""
        self.claims, self.zombies = [], []
        for _ in range(12):
            if not (self.copies or self.model.entries or self.model.delayed):
                break
            for lane in (1, 2):
                self.reclaim("w1", lane)
            self.fetch("w1", 3, False)
            for claim in list(self.claims):
                if not claim.started:
                    self.begin(claim)
            for claim in self.claims_where(started=True):
                digest = start_of(claim.entry).request_digest
                self.ledger.finish(claim.entry.task_id, claim.entry.run, digest, S.SUCCEEDED)
                self.settle_claim(claim, S.SUCCEEDED)
            for held in list(self.copies):
                self.look_at(held)
            for task_id in TASKS:
                self.time_passes(task_id)
            self.promote()
            self.redis_is_as_the_model_says()
        for (task_id, digest), run in self.kept.items():
            assert self.ledger.is_finished(task_id, run, digest), (task_id, run)
        assert self.copies == []
        assert self.model.entries == {}
        assert self.model.delayed == {}


STEPS = {name: method.step for name, method in vars(TaskLives).items() if hasattr(method, "step")}


def place_of(entry):
    """Ids are unique in their stream alone."""
    return f"{entry.lane}/{entry.entry_id}"


def order(stream_id):
    milliseconds, sequence = stream_id.split("-")
    return int(milliseconds), int(sequence)


@pytest.mark.timeout(600)
def test_tasks_live_as_the_model_says(redis_url):
    run_state_machine_as_test(
        lambda: TaskLives(redis_url),
        settings=settings(
            max_examples=40,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            # Shrinking would outlast the test's time limit; the steps as they came tell enough.
            phases=(Phase.explicit, Phase.generate),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
