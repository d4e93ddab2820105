"""A world: three stores that do their worst, two of each process, and the promises.

Every step starts something, lets everything run until it waits, and checks the promises. Nothing
here draws by chance: a history is the list of its steps.
"""

from contextlib import contextmanager
from unittest.mock import patch

import app.clock
import app.names
import rehydrator.fence
import rehydrator.opening
import rehydrator.refreshing
import rehydrator.service
import rehydrator.watching
from app.broker.keys import QueueKeys
from app.names import QueueName
from tests.model.actors import (
    ENV,
    ApiProcess,
    MirrorProcess,
    RehydratorProcess,
    WorkerProcess,
)
from tests.model.fakes_ledger import FakeLedger
from tests.model.fakes_rabbitmq import FakeBroker
from tests.model.fakes_redis import FakeRedis
from tests.model.faults import Fates
from tests.model.promises import Promises
from tests.model.stepped_loop import Clock, SteppedLoop
from tests.support.envelopes import QUEUE, TENANT, envelope

NAME = QueueName(TENANT, QUEUE)
KEYS = QueueKeys(ENV, NAME)
CLOCK = Clock()
TIMED = (
    app.clock,
    rehydrator.fence,
    rehydrator.opening,
    rehydrator.refreshing,
    rehydrator.service,
    rehydrator.watching,
)
ROUNDS_MAX = 40
LEASE_S = 31.0
BEGAN_MS = 1_000_000
DUE_MS = 5_000


class Secrets:
    """Tokens in their order: the same history has the same tokens."""

    def __init__(self):
        self.given = 0

    def token_hex(self, size):
        self.given += 1
        return f"{self.given:0{2 * size}x}"


@contextmanager
def patched():
    """The code under test reads the world's clock, and gets tokens that repeat with a history."""
    patches = [patch.object(module, "time", CLOCK) for module in TIMED]
    patches.append(patch.object(app.names, "secrets", Secrets()))
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


class World:
    """``without`` names the guards that the fakes leave out."""

    name = NAME

    def __init__(self, without=frozenset()):
        self.loop = CLOCK.loop = SteppedLoop(BEGAN_MS / 1_000)
        self.fates = Fates()
        self.promises = Promises(self)
        self.redis = FakeRedis(self.now_ms, without)
        self.redis.observers["trim"].append(self.promises.trimmed)
        self.broker = FakeBroker(self.promises, without)
        self.ledger = FakeLedger(self.promises, without)
        self.snapshot = None
        self.secret_ids = set()
        self.disks = {"w1": [], "w2": []}
        self.workers = {who: WorkerProcess(self, who, self.disks[who]) for who in self.disks}
        self.mirrors = {who: MirrorProcess(self, who) for who in ("m1", "m2")}
        self.rehydrators = {who: RehydratorProcess(self, who) for who in ("r1", "r2")}
        self.api = ApiProcess(self, "api")
        self.redis.living = self._living
        self.settle()

    # --- looking

    def now_ms(self):
        return round(self.loop.now_s * 1_000)

    def stream_of(self, which):
        key = KEYS.journal if which == "journal" else KEYS.lanes[which]
        return list(self.redis.stream(key).entries.values())

    def delayed(self):
        return dict(self.redis.zset(KEYS.delayed))

    def hashes(self):
        keys = [key for key in list(self.redis.data.hashes) if ":task:" in key]
        return {key: fields for key in keys if (fields := self.redis.hash(key))}

    def _living(self):
        """What ``list_workers`` answers: who has announced itself lately."""
        said = b'{"queues":[],"types":[],"concurrency":4,"running":0,"startedAt":0,"lastPollAt":0}'
        awake = [each for each in self.workers.values() if not each.faults.is_paused]
        return [part for each in awake for part in (each.worker.consumer.encode(), said)]

    # --- stepping

    def step(self, process, coroutine, plan=(), publish=()):
        """Start something, with the fates of its calls, and let everything run."""
        self.fates.plan.extend(plan)
        self.fates.publish_plan = list(publish)
        process.do(coroutine)
        self.settle()

    def settle(self):
        """Run until everything waits; the plan ends with the step."""
        self.loop.run_ready()
        self.fates.plan.clear()
        self.fates.publish_plan = []
        self._tell_watermarks()
        self._raise_surprises()
        self.promises.check()

    def _raise_surprises(self):
        for error in self.loop.errors:
            if isinstance(error, Exception):
                raise error
        self.loop.errors.clear()
        for process in self.processes:
            for each in process.ended:
                each.result()

    def _tell_watermarks(self):
        while self.redis.published:
            _, watermark = self.redis.published.pop()
            self.api.hear(watermark)
            self.loop.run_ready()

    def advance(self, seconds):
        self.loop.advance(seconds)
        self.settle()

    def resolve(self, index, fate, plan=()):
        call = self.fates.waiting.pop(index % len(self.fates.waiting))
        self.fates.plan.extend(plan)
        call.fate.set_result(fate)
        self.settle()

    # --- what is done to it

    def submit(self, task_id, variant=1, *, fresh=False, **how):
        """``variant``: another one is another request; the task ``b`` is due a little later."""
        options = {"notBefore": BEGAN_MS + DUE_MS} if task_id == "b" else {}
        task = envelope(task_id, payload={"variant": variant}, **options)
        process = self.api
        if fresh:
            self.secret_ids.add(task_id)
        self.step(process, process.submit(task, fresh=fresh), **how)

    def crash(self, who):
        old = self.process(who)
        old.die()
        if who in self.workers:
            self.workers[who] = WorkerProcess(self, who, self.disks[who])
        elif who in self.mirrors:
            self.mirrors[who] = MirrorProcess(self, who)
        elif who in self.rehydrators:
            self.rehydrators[who] = RehydratorProcess(self, who)
        else:
            self.api = ApiProcess(self, who)
        self.settle()

    @property
    def processes(self):
        return (
            *self.workers.values(),
            *self.mirrors.values(),
            *self.rehydrators.values(),
            self.api,
        )

    def process(self, who):
        return next(each for each in self.processes if each.who == who)

    def take_snapshot(self):
        self.snapshot = self.redis.snapshot()

    def fail_over(self):
        self.redis.come_back_as(self.snapshot)
        self.settle()

    # --- the end

    def close(self):
        self.fates.closed = True
        self.loop.close()

    def come_to_rest(self):
        """Every fault is over: everything under way comes to its end, and all is looked at."""
        self._heal()
        for _ in range(ROUNDS_MAX):
            before = self._moving()
            self._round()
            if not self._moving() and not before:
                break
        self.promises.check_at_rest()

    def _heal(self):
        self.fates.away.clear()
        self.fates.acks_are_lost = False
        for process in self.processes:
            process.faults.wake()
        while self.fates.waiting or self.fates.late or self.broker.late:
            while self.fates.waiting:
                self.resolve(0, "answer")
            while self.fates.late:
                self.fates.arrive_late(0)
            while self.broker.late:
                self.broker.let_in(0)
            self.settle()
        for process in self.rehydrators.values():
            process.lose_connection(turned=False, behind=True)

    def _moving(self):
        return bool(
            self.broker.messages
            or self.stream_of("journal")
            or any(self.stream_of(lane) for lane in range(3))
            or self.delayed()
            or any(self.disks.values())
        )

    def _round(self):
        for worker in self.workers.values():
            for turn in (worker.reclaim, worker.promote, worker.fetch):
                self.step(worker, turn())
            while worker.running:
                worker.end_handler(0, "succeed")
                self.settle()
        for process in (*self.mirrors.values(), *self.rehydrators.values()):
            self.step(process, process.turn())
        self.advance(LEASE_S)
