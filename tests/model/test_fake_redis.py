"""The fake Redis beside a real one: the same operations, the same answers, the same data.

Ids of streams and tokens are told apart by their order alone, so they are compared up to renaming.
"""

import dataclasses
import random
import time
from types import SimpleNamespace

import pytest

from app.broker.delivery import PutOff
from app.broker.history import pend, sight
from app.broker.intake import Submission
from app.broker.recovery import Refresh, Restore
from app.broker.survey import START, Survey
from app.names import new_token
from app.state import TaskState
from tests.model.fakes_redis import FakeConnection, FakeRedis
from tests.support.broker import FAR_MS, Broker, connect, settle_of, settle_unseen, start_of
from tests.support.envelopes import envelope

STEPS = 150
TASKS = ("a", "b", "c")
CONSUMERS = ("w1", "w2")
PAST_MS = 1
RENAMED = {
    *("jid", "journal_id", "entry", "entry_id", "watermark", "streams", "ids"),
    *("gen", "generation", "token", "previous"),
}
OWN = {"started", "now_ms", "accepted", "cursors", "first", "since", "before", "touched", "run_id"}
"""What each has of its own: its clock's word, and what only counts."""


class Pair:
    """A fake and a real Redis; ``names`` leads from the fake's ids and tokens to the real ones."""

    def __init__(self, redis, env):
        self._now_ms = 0
        self.store = FakeRedis(self._clock_ms)
        faults = SimpleNamespace(who="x", call=self._call)
        link = FakeConnection(self.store, faults, SimpleNamespace(started=lambda *_: None))
        link.redis = None
        self.fake, self.real = Broker(link, env), Broker(redis, env)
        self.names = {}
        self.claims = []
        self.copies = []
        self.read = []

    def _clock_ms(self):
        # Never the same twice, so that an id of the fake's is one of one stream alone.
        self._now_ms = max(self._now_ms + 1, time.time_ns() // 1_000_000)
        return self._now_ms

    async def _call(self, store, name, apply):
        return apply()

    async def both(self, call):
        """The answers of both, compared; ``call`` gets the broker, and what makes ids its own."""
        fake = await call(self.fake, lambda name: name)
        real = await call(self.real, lambda name: self.names.get(name, name))
        self.compare(fake, real)
        return fake, real

    def compare(self, fake, real, of=""):
        if of in OWN:
            return
        if hasattr(fake, "_asdict"):
            fake, real = fake._asdict(), real._asdict()
        elif dataclasses.is_dataclass(fake):
            fake, real = vars_of(fake), vars_of(real)
        if isinstance(fake, dict):
            fake, real = without_own(fake), without_own(real)
            assert fake.keys() == real.keys(), (of, fake, real)
            for each in fake:
                self.compare(fake[each], real[each], each if of not in RENAMED else of)
        elif isinstance(fake, list | tuple):
            assert len(fake) == len(real), (of, fake, real)
            for one, other in zip(fake, real, strict=True):
                self.compare(one, other, of)
        elif of in RENAMED and isinstance(fake, str) and fake:
            assert self.names.setdefault(fake, real) == real, (of, fake, real)
        else:
            assert fake == real, (of, fake, real)

    # --- the data

    async def check(self):
        self.compare(self.fake_data(), await self.real_data())

    def fake_data(self):
        keys, store = self.fake.keys, self.store
        hashes = {each: dict(store.fields(keys.task(each))) for each in TASKS}
        return {
            "hashes": {each: text(fields) for each, fields in hashes.items()},
            "generation hash": text(store.fields(keys.generation)),
            "delayed": sorted(store.zset(keys.delayed)),
            "lanes": [self._fake_stream(each) for each in keys.lanes],
            "journal": self._fake_stream(keys.journal),
        }

    def _fake_stream(self, key):
        stream = self.store.stream(key)
        owners = {each: owner[0] for each, owner in stream.owners.items()}
        return [
            {**text(fields), "ids": f"{each[0]}-{each[1]}", "owner": owners.get(each)}
            for each, fields in sorted(stream.entries.items())
        ]

    async def real_data(self):
        keys, raw = self.real.keys, self.real.raw
        return {
            "hashes": {each: text(await raw.hgetall(keys.task(each))) for each in TASKS},
            "generation hash": text(await raw.hgetall(keys.generation)),
            "delayed": sorted(each.decode() for each in await raw.zrange(keys.delayed, 0, -1)),
            "lanes": [await self._real_stream(n) for n in (1, 2, 3)],
            "journal": await self._real_stream(None),
        }

    async def _real_stream(self, lane):
        key = self.real.keys.lanes[lane - 1] if lane else self.real.keys.journal
        owners = {}
        if lane and await self.real.raw.exists(key) and await self.real.raw.xinfo_groups(key):
            owners = await self.real.pending(lane)
        return [
            {**text(fields), "ids": each.decode(), "owner": owners.get(each.decode())}
            for each, fields in await self.real.raw.xrange(key)
        ]

    async def lose(self, key):
        self.store.lose(key)
        await self.real.raw.delete(key)
        self.read.clear()

    async def attach(self):
        self.names[await self.fake.attach()] = await self.real.attach()
        self.claims.clear()
        self.read.clear()


def vars_of(value):
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


def without_own(fields):
    return {name: value for name, value in fields.items() if name not in OWN}


def text(fields):
    decoded = (
        tuple(each.decode() if isinstance(each, bytes) else str(each) for each in pair)
        for pair in fields.items()
    )
    return dict(decoded)


class Operations:
    """One random operation after another; each method is one."""

    def __init__(self, pair, chance):
        self.pair = pair
        self.chance = chance

    def pick(self, of):
        return self.chance.choice(of)

    def claim(self):
        return self.pick(self.pair.claims) if self.pair.claims else None

    async def submit(self):
        options = {"notBefore": FAR_MS} if self.pick((0, 0, 1)) else {}
        task = envelope(self.pick(TASKS), payload={"n": self.pick((1, 1, 1, 2))}, **options)
        given = [Submission(task, self.pick((True, False)))]
        await self.pair.both(lambda broker, _: broker.intake.enqueue(broker.token, given))

    async def redrive(self):
        task = envelope(self.pick(TASKS), payload={"n": 1}, run=self.pick((1, 2, 3)))
        given = [Submission(task, False)]
        await self.pair.both(lambda broker, _: broker.intake.redrive(broker.token, given))

    async def look(self):
        await self.pair.both(lambda broker, _: broker.intake.look(broker.token, TASKS))
        asked = [(each, 1) for each in TASKS]
        digests = [envelope(each, payload={"n": 1}).request_digest for each in TASKS]
        await self.pair.both(lambda broker, _: broker.intake.mirrored(broker.token, asked, digests))
        await self.pair.both(lambda broker, _: broker.recovery.inspect(broker.token, TASKS))

    async def cancel(self):
        task_id = self.pick(TASKS)
        await self.pair.both(lambda broker, _: broker.intake.mark_cancel(broker.token, task_id))

    async def fetch(self):
        who, count, own = self.pick(CONSUMERS), self.pick((1, 2, 3)), self.pick((False, True))
        fake, real = await self.pair.both(lambda broker, _: broker.fetch(who, count, own=own))
        self.pair.claims += [(*each, who) for each in zip(fake, real, strict=True)]

    async def reclaim(self):
        who, lane = self.pick(CONSUMERS), self.pick((1, 2, 3))

        async def call(broker, _):
            return (await broker.delivery.reclaim(broker.token, who, lane, 0, 100))[1]

        fake, real = await self.pair.both(call)
        self.pair.claims += [(*each, who) for each in zip(fake, real, strict=True)]

    async def start(self):
        if claim := self.claim():
            how = {
                "nonce": self.pick((new_token(), "again")),
                "asked": self.pick((True, False)),
                "ledger_attempt": self.pick((0, 0, 1)),
                "ledger_due_ms": self.pick((0, 0, FAR_MS)),
                "attempts_max": 3,
            }
            await self._with(
                claim,
                lambda broker, entry, who: broker.delivery.start(
                    broker.token, who, [start_of(entry, **how)]
                ),
            )

    async def put_off(self):
        if claim := self.claim():
            attempt, due_ms = self.pick((1, 1, 2)), self.pick((PAST_MS, FAR_MS))
            await self._with(
                claim,
                lambda broker, entry, who: broker.delivery.put_off(
                    broker.token, who, [PutOff(entry, attempt, due_ms)]
                ),
            )

    async def settle(self):
        if claim := self.claim():
            await self._with(claim, lambda broker, entry, _: broker.settle(settle_of(entry)))

    async def settle_unseen(self):
        given = settle_unseen(self.pick(TASKS), self.pick((1, 2)), TaskState.DEAD)
        await self.pair.both(lambda broker, _: broker.settle(given))

    async def give_back(self):
        if claim := self.claim():
            started = self.pick((True, False))
            await self._with(
                claim,
                lambda broker, entry, who: broker.delivery.give_back(
                    broker.token, who, [(entry, started)]
                ),
            )

    async def drop(self):
        if claim := self.claim():
            await self._with(
                claim,
                lambda broker, entry, who: broker.delivery.drop(broker.token, who, [entry]),
            )

    async def renew(self):
        if claim := self.claim():
            await self._with(
                claim,
                lambda broker, entry, who: broker.delivery.renew(broker.token, who, [entry]),
            )

    async def _with(self, claim, call):
        fake, real, who = claim
        entries = {self.pair.fake: fake, self.pair.real: real}
        await self.pair.both(lambda broker, _: call(broker, entries[broker], who))

    async def promote(self):
        task_id = self.pick(TASKS)
        if task_id in self.pair.store.zset(self.pair.fake.keys.delayed):
            self.pair.store.zset(self.pair.fake.keys.delayed)[task_id] = PAST_MS
            await self.pair.real.make_due(task_id)
        await self.pair.both(lambda broker, _: broker.delivery.promote(broker.token, TASKS))

    async def mirror(self):
        pair = self.pair
        if not pair.read or self.pick((True, False)):

            async def read(broker, _):
                return (await broker.journal.read(broker.token, None, 3))[0]

            fake, real = await pair.both(read)
            pair.read = list(zip(fake, real, strict=True))
            pair.copies += [each[0] for each in pair.read]
        elif prefix := pair.read[: self.pick((1, 2, 3))]:
            read = {pair.fake: [each[0] for each in prefix], pair.real: [e[1] for e in prefix]}
            await pair.both(lambda broker, _: broker.journal.trim(broker.token, read[broker]))
            del pair.read[: len(prefix)]

    async def restore(self):
        task = envelope(
            self.pick(TASKS), payload={"n": self.pick((1, 1, 2))}, run=self.pick((1, 2))
        )
        wish = [Restore(task, self.pick((0, 1)), self.pick((0, 0, FAR_MS)))]
        await self.pair.both(lambda broker, _: broker.recovery.restore(broker.token, wish))

    async def refresh(self):
        task_id, run = self.pick(TASKS), self.pick((1, 1, 2))
        held = self.pair.store.fields(self.pair.fake.keys.task(task_id)).get("jid", "0-1")
        copy = self.pick((held, "0-1"))

        async def call(broker, own):
            given = Refresh(task_id, run, broker.token, own(copy))
            (jid,) = await broker.recovery.refresh(broker.token, [given])
            return {"jid": jid}

        fake, _ = await self.pair.both(call)
        if fake["jid"]:
            await self.pair.both(
                lambda broker, own: broker.recovery.refreshed(
                    broker.token, [(task_id, run, own(fake["jid"]))]
                )
            )

    async def survey(self):
        async def walk(broker, _):
            ids, cursor = [], START
            while cursor is not None:
                found, cursor = await Survey(broker.redis, broker.keys).walk(broker.token, cursor)
                ids += found
            return sorted(ids)

        async def rejournal(broker, _):
            return await Survey(broker.redis, broker.keys).rejournal(broker.token, TASKS)

        await self.pair.both(walk)
        await self.pair.both(rejournal)

    async def history(self):
        await self.pair.both(lambda broker, _: sight(broker.redis, broker.keys, broker.token))
        if self.pick((True, False)):
            await self.pair.both(lambda broker, _: pend(broker.redis, broker.keys, broker.token))

    async def lose_one(self):
        keys = self.pair.real.keys
        await self.pair.lose(self.pick((keys.task("a"), keys.task("b"), keys.lanes[1])))

    async def lose_more(self):
        keys = self.pair.real.keys
        await self.pair.lose(self.pick((keys.delayed, keys.journal)))

    async def restart(self):
        self.pair.store.restart()
        await self.pair.real.raw.hset(self.pair.real.keys.generation, "run_id", "another")
        await self.pair.attach()


COMMON = ("submit", "fetch", "start", "mirror", "submit", "fetch", "start", "start")


@pytest.mark.parametrize("seed", range(6))
async def test_both_answer_the_same_and_hold_the_same(redis_url, env_name, seed):
    redis = connect(redis_url)
    pair = Pair(redis, env_name)
    await pair.attach()
    operations = Operations(pair, random.Random(seed))
    names = [name for name, each in vars(Operations).items() if is_operation(name, each)]
    done = []
    try:
        for _ in range(STEPS):
            done.append(operations.pick((*names, *COMMON)))
            await getattr(operations, done[-1])()
            await pair.check()
    except AssertionError as error:
        error.add_note(f"after {done[-12:]}")
        raise
    finally:
        await redis.close()


def is_operation(name, value):
    return callable(value) and not name.startswith("_") and name not in ("pick", "claim")
