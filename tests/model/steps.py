"""The steps that histories are made of: some thousands, each with all it needs to be done.

A step says who does what and what becomes of the calls it makes. It holds no matter what came
before, so that a history stays one with any of its steps taken out; where there is nothing to do it
does nothing.
"""

import random
from dataclasses import dataclass

from tests.model.world import KEYS, World

TASKS = ("a", "b")
WORKERS = ("w1", "w2")
MIRRORS = ("m1", "m2")
REHYDRATORS = ("r1", "r2")
EVERYBODY = (*WORKERS, *MIRRORS, *REHYDRATORS, "api")
INDEX = (0, 1, 2)
NO_OR_YES = (False, True)
HOLDS = tuple((*("answer",) * n, "hold") for n in range(8))
FAULTS = tuple((*("answer",) * n, fate) for fate in ("lose", "fail", "late") for n in range(5))
PLANS = (*((),) * 24, *HOLDS * 2, *FAULTS)
CALM_PLANS = (*((),) * len(HOLDS), *HOLDS)
PUBLISHES = (
    *((),) * 8,
    *((each,) for each in ("arrive", "later", "lost", "nack", "return")),
    ("confirm", "return"),
    ("return", "confirm"),
    ("arrive", "return"),
)
HOW = ("succeed", "succeed", "fail", "fail", "raise", "discard", "suspend")

KINDS = {
    "submit": (
        8,
        {
            "task_id": TASKS,
            "variant": (*(1,) * 9, 2),
            "fresh": NO_OR_YES,
            "plan": PLANS,
            "publish": PUBLISHES,
        },
    ),
    "redrive": (2, {"task_id": TASKS, "plan": PLANS}),
    "cancel": (2, {"task_id": TASKS, "plan": PLANS}),
    "discard": (1, {"task_id": TASKS, "plan": PLANS}),
    "fetch": (12, {"who": WORKERS, "plan": PLANS}),
    "reclaim": (6, {"who": WORKERS, "plan": PLANS}),
    "promote": (4, {"who": WORKERS, "plan": PLANS}),
    "renew": (2, {"who": WORKERS, "plan": PLANS}),
    "stop": (1, {"who": WORKERS, "plan": PLANS}),
    "end_handler": (10, {"index": INDEX, "how": HOW, "plan": PLANS}),
    "mirror": (10, {"who": MIRRORS, "most": (1, 2, 3), "plan": PLANS, "publish": PUBLISHES}),
    "rehydrate": (
        12,
        {
            "who": REHYDRATORS,
            "ask_all": NO_OR_YES,
            "plan": PLANS,
            "acks_are_lost": (False, False, False, True),
        },
    ),
    "lose_connection": (1, {"who": REHYDRATORS, "turned": NO_OR_YES, "behind": NO_OR_YES}),
    "resolve": (
        9,
        {"index": INDEX, "fate": (*("answer",) * 3, "lose", "fail", "late"), "plan": PLANS},
    ),
    "arrive_late": (3, {"index": INDEX}),
    "publish_arrives_late": (2, {"index": INDEX}),
    "pass_time": (8, {"seconds": (0.3, 2.5, 2.5, 31.0, 31.0, 301.0)}),
    "crash": (2, {"who": EVERYBODY}),
    "pause": (2, {"who": EVERYBODY}),
    "wake": (2, {"plan": PLANS}),
    "leave": (1, {"store": ("redis", "ledger", "rabbitmq")}),
    "come_back": (1, {}),
    "wipe": (3, {}),
    "snapshot": (2, {}),
    "fail_over": (3, {}),
    "restart": (1, {}),
    "lose": (3, {"what": ("a", "b", "lane", "delayed", "journal")}),
}


CALM = {"plan": CALM_PLANS, "fate": ("answer",), "acks_are_lost": (False,)}


@dataclass(frozen=True)
class Step:
    """``given`` are the arguments of the method of this name."""

    name: str
    given: tuple

    def __repr__(self):
        said = ", ".join(f"{name}={value!r}" for name, value in self.given if value not in ((), 0))
        return f"{self.name}({said})"

    def _repr_pretty_(self, printer, _cycle):
        printer.text(repr(self))

    @property
    def weight(self):
        """How much there is to it: simple steps first."""
        return (len(dict(self.given).get("plan", ())), len(repr(self)), repr(self))


def table(size, kinds=tuple(KINDS), *, seed=1, calm=False):
    """Steps of these kinds, as often as their weights say, the simple ones first.

    ``calm``: calls may wait, and no more becomes of them.
    """
    chance = random.Random(seed)
    names, weights = list(kinds), [KINDS[kind][0] for kind in kinds]
    steps = []
    for name in chance.choices(names, weights, k=size):
        given = KINDS[name][1]
        if calm:
            given = {**given, **{each: of for each, of in CALM.items() if each in given}}
        given = given.items()
        steps.append(Step(name, tuple((each, chance.choice(of)) for each, of in given)))
    return sorted(steps, key=lambda step: step.weight)


STEPS = table(4_000)


def step(name, **given):
    """One step by hand; what is not given is the plainest there is."""
    every = {each: given.get(each, of[0]) for each, of in KINDS[name][1].items()}
    return Step(name, tuple(every.items()))


class History:
    """A world and what is done in it, one method for each kind of step."""

    def __init__(self, without=frozenset()):
        self.world = World(without)
        self._submitted = set()

    def do(self, step):
        getattr(self, step.name)(**dict(step.given))

    def end(self):
        """Let everything come to rest; then nothing may be left open."""
        try:
            self.world.come_to_rest()
        finally:
            self.close()

    def close(self):
        self.world.close()

    # --- producers and operators

    def submit(self, task_id, variant, fresh, plan, publish):
        if self._is_secret(task_id):
            return
        # An id is fresh in the very submit that made it; whoever has it from there gives it.
        fresh = fresh and task_id not in self._submitted
        self._submitted.add(task_id)
        self.world.submit(task_id, variant, fresh=fresh, plan=plan, publish=publish)

    def _is_secret(self, task_id):
        """Whether nobody knows the id yet: the submit that made it has not answered."""
        return task_id in self.world.secret_ids

    def _operate(self, verb, task_id, plan):
        if not self._is_secret(task_id):
            self.world.step(self.world.api, getattr(self.world.api, verb)(task_id), plan)

    def redrive(self, task_id, plan):
        self._operate("redrive", task_id, plan)

    def cancel(self, task_id, plan):
        self._operate("cancel", task_id, plan)

    def discard(self, task_id, plan):
        self._operate("discard", task_id, plan)

    # --- workers

    def _turn(self, who, name, plan, publish=(), **how):
        process = self.world.process(who)
        if not process.busy:
            self.world.step(process, getattr(process, name)(**how), plan, publish)

    def fetch(self, who, plan):
        self._turn(who, "fetch", plan)

    def reclaim(self, who, plan):
        self._turn(who, "reclaim", plan)

    def promote(self, who, plan):
        self._turn(who, "promote", plan)

    def renew(self, who, plan):
        self._turn(who, "renew", plan)

    def stop(self, who, plan):
        self._turn(who, "stop", plan)

    def end_handler(self, index, how, plan):
        running = [
            (worker, place)
            for worker in self.world.workers.values()
            for place in range(len(worker.running))
        ]
        if running:
            worker, place = running[index % len(running)]
            self.world.fates.plan.extend(plan)
            worker.end_handler(place, how)
            self.world.settle()

    # --- mirrors and rehydrators

    def mirror(self, who, most, plan, publish):
        self._turn(who, "turn", plan, publish, most=most)

    def rehydrate(self, who, ask_all, plan, acks_are_lost):
        self.world.fates.acks_are_lost = acks_are_lost
        self._turn(who, "turn", plan, ask_all=ask_all)
        self.world.fates.acks_are_lost = False

    def lose_connection(self, who, turned, behind):
        self.world.process(who).lose_connection(turned=turned, behind=behind)

    # --- calls under way, time, faults

    def resolve(self, index, fate, plan):
        if self.world.fates.waiting:
            self.world.resolve(index, fate, plan)

    def arrive_late(self, index):
        if self.world.fates.late:
            self.world.fates.arrive_late(index)
            self.world.settle()

    def publish_arrives_late(self, index):
        if self.world.broker.late:
            self.world.broker.let_in(index)
            self.world.settle()

    def pass_time(self, seconds):
        self.world.advance(seconds)

    def crash(self, who):
        self.world.crash(who)

    def pause(self, who):
        self.world.process(who).faults.pause(self.world.loop)

    def wake(self, plan):
        self.world.fates.plan.extend(plan)
        for each in self.world.processes:
            each.faults.wake()
        self.world.settle()

    def leave(self, store):
        self.world.fates.away.add(store)

    def come_back(self):
        self.world.fates.away.clear()

    def wipe(self):
        self.world.redis.wipe()
        self.world.settle()

    def snapshot(self):
        self.world.take_snapshot()

    def fail_over(self):
        if self.world.snapshot is not None:
            self.world.fail_over()

    def restart(self):
        self.world.redis.restart()
        self.world.settle()

    def lose(self, what):
        key = {"lane": KEYS.lanes[1], "delayed": KEYS.delayed, "journal": KEYS.journal}.get(what)
        self.world.redis.lose(key or KEYS.task(what))
        # Within one run of the server the clock goes on: a stream made anew has later ids.
        self.world.advance(0.001)
