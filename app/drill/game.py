"""One game: private servers, Lifeboat's processes, the world outside, and what is done to them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from app.clock import monotonic_ms, now_ms
from app.drill import checker, commands
from app.drill.ends import Fault
from app.drill.keys import queue_prefix
from app.drill.load import QUEUE, tasks
from app.drill.producers import Producers
from app.settings import load
from app.stack.network import Network
from app.stack.process import ChildProcess, StackError, free_port, until
from app.stack.servers import Server
from app.stack.sources import Images
from app.stack.stack import DATABASE, VHOST, Stack
from app.stack.system import Service, System, names_of

MIRROR: Final = f"lifeboat.mirror.{QUEUE}"
ALL_KINDS: Final = ("queued", "running", "scheduled", "retrying")
WORKERS_NETWORKED: Final = 2
"""One may lose its tasks to the other."""
RECEIVER_WITHIN_MS: Final = 15_000
IN_FLIGHT_WITHIN_MS: Final = 20_000
ALL_WITHIN_MS: Final = 1_000
QUEUE_ON_DISK_WITHIN_MS: Final = 30_000
QUIET_LOOKS: Final = 3
"""A broker's counts are some seconds old: nothing is left only if so many looks in a row say so."""
COUNTED: Final = ("seen", "restored", "present", "finished", "quarantined")
SETTINGS: Final = {
    # Loopback is where the drill's receiver lives.
    "LIFEBOAT_DELIVER_ALLOW": "127.0.0.1",
    # Few slots, short leases: there is always work that waits, and nobody waits long for the dead.
    "LIFEBOAT_CONCURRENCY": "20",
    "LIFEBOAT_LEASE_MS": "5000",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played."""

    scenario: str
    tasks: int
    seed: int
    durability: str
    keep: bool = False
    """Whether all goes on running afterwards, for a look around."""
    seconds: float | None = None
    """How long the faults of ``random`` go on; None: its usual time."""


class Game:
    """The board. ``say`` tells a person what happens."""

    def __init__(
        self,
        plan: Plan,
        images: Images,
        folder: Path,
        say: Callable[[str], None],
        *,
        clustered: bool = False,
        replicated: bool = False,
        electing: bool = False,
        networked: bool = False,
        given: Stack | None = None,
    ) -> None:
        """``clustered``: RabbitMQ has three nodes; ``replicated``: Redis has a replica.

        ``electing``: MongoDB has three members.
        ``networked``: there are two workers, and every process speaks to every server through a
        line of its own that can be broken.
        ``given`` takes the place of private servers.
        """
        self.plan = plan
        self.say = say
        self.folder = folder
        self.stack = given or Stack(
            folder / "servers",
            images=images,
            detached=plan.keep,
            clustered=clustered,
            replicated=replicated,
            electing=electing,
        )
        self.environment = {**self.stack.environment(), **SETTINGS}
        self.network = Network(folder, detached=plan.keep) if networked else None
        workers = WORKERS_NETWORKED if networked else 1
        self.system = System(
            folder / "lifeboat",
            self.environment,
            workers=workers,
            detached=plan.keep,
            own=self._own_addresses(workers),
        )
        self.restored_by_dead = 0
        """What killed rehydrators had brought back, by their own count."""
        self.planned_faults: int | None = None
        """How many are to come, where the scenario itself cannot know."""
        self.faults: list[Fault] = []
        self.rpo: tuple[int, float] = (0, 0.0)
        self.reports: list[dict[str, Any]] = []
        self.arrivals_file = folder / "receiver.jsonl"
        self._receiver_port = free_port()
        self.receiver = self._receiver_process()
        self._unsubmitted = tasks(plan.tasks, plan.seed, self.receiver_url)
        self.producers = Producers(self.system.api.url, plan.durability, folder / "producers.jsonl")

    @property
    def receiver_url(self) -> str:
        """Where tasks are delivered to."""
        return f"http://127.0.0.1:{self._receiver_port}/hook"

    @property
    def sqlite_path(self) -> Path:
        """The ledger's file where there is no MongoDB."""
        return Path(self.environment.get("LIFEBOAT_SQLITE_PATH", ""))

    @property
    def keys_prefix(self) -> str:
        """Of the drill's queue in Redis."""
        settings = load()
        env = self.environment.get("LIFEBOAT_ENV", settings.env)
        return queue_prefix(env, settings.tenant, QUEUE)

    async def start(self) -> None:
        """Servers, receiver, processes."""
        for server in self.stack.servers:
            self.say(f"Starting {server.source} ...")
        self.receiver.start()
        await self.stack.start()
        await until(self._receiver_answers, RECEIVER_WITHIN_MS, "the receiver to answer")
        if self.stack.servers:
            self.say(
                f"RabbitMQ dashboard: {self.stack.rabbitmq.dashboard_url} (guest / guest): watch"
                f" {MIRROR} fill and drain."
            )
        if self.network:
            await self.network.start()
        self.say("Starting Lifeboat: API, worker, mirror, rehydrator ...")
        await self.system.start()
        self.producers.use_api(self.system.api.url)

    async def stop(self) -> None:
        """Everything ends; nothing that ran here is needed again."""
        await self.system.stop()
        if self.network:
            self.network.end()
        self.stack.discard()
        self.receiver.kill9()

    def _own_addresses(self, workers: int) -> dict[str, dict[str, str]]:
        """By process, a line to each server; nothing without a network."""
        if self.network is None:
            return {}
        servers = {"redis": ("LIFEBOAT_REDIS_URL", self.stack.redis.url)}
        servers["rabbitmq"] = (
            "LIFEBOAT_RABBITMQ_URL",
            self.stack.rabbitmq.vhost_url(self.stack.vhost),
        )
        servers["management"] = (
            "LIFEBOAT_RABBITMQ_MANAGEMENT_URL",
            self.stack.rabbitmq.management_url,
        )
        if self.stack.mongo:
            # Else the set would tell its members' own addresses, past every line.
            servers["mongo"] = ("LIFEBOAT_MONGO_URL", self.stack.mongo.direct_url(DATABASE))
        return {
            process: {
                variable: self.network.line(process, server, url)
                for server, (variable, url) in servers.items()
            }
            for process in names_of(workers)
        }

    def submit(self, count: int) -> None:
        """Have the producers submit the next ``count`` tasks."""
        self.producers.give(islice(self._unsubmitted, count))

    def submit_rest(self) -> None:
        """Have them submit all that are left."""
        self.producers.give(self._unsubmitted)

    async def until_accepted(self, count: int) -> None:
        """Wait for so many receipts that held what was asked."""
        await until(
            lambda: len(self.producers.book.accepted) >= count,
            60_000 + 20 * count,
            f"{count} accepted tasks",
        )

    async def at_work(self, share: int, needed: Sequence[str] = ("running",)) -> Mapping[str, int]:
        """Submit ``share`` more tasks and come back in their midst; what was in flight then."""
        accepted = len(self.producers.book.accepted)
        self.submit(share)
        await self.until_accepted(accepted + share // 2)
        in_flight = await self._work_in_flight(needed)
        # What has died by itself cannot be killed, and must not be healed unseen.
        self._all_live(servers=True)
        return in_flight

    async def _work_in_flight(self, needed: Sequence[str]) -> Mapping[str, int]:
        """Wait until there are tasks in each of these states; the depth then. Notes the RPO.

        Before all are done some must do: a fault with nothing in flight proves nothing.
        """
        depth: dict[str, int] = {}
        patient_until: int | None = None

        async def seen() -> bool:
            nonlocal patient_until
            try:
                found, _ = await checker.redis_depth(self.stack, self.keys_prefix)
                rpo = await checker.unmirrored(self.stack.redis.url, f"{self.keys_prefix}journal")
            except RedisError:
                # Of given servers somebody else may break the connection.
                return False
            depth.update(found)
            self.rpo = rpo
            # Until its workers have found the queue nobody has seen what is to be lost.
            if patient_until is None and (depth["running"] or self._has_arrivals()):
                patient_until = monotonic_ms() + ALL_WITHIN_MS
            if all(depth[state] for state in needed):
                return True
            is_late = patient_until is not None and monotonic_ms() > patient_until
            return is_late and any(depth.values())

        try:
            await until(seen, IN_FLIGHT_WITHIN_MS, f"tasks that are {', '.join(needed)}")
        except TimeoutError as error:
            self.say(f"{error} Going on with what there is: {depth}.")
        return depth

    def _has_arrivals(self) -> bool:
        return self.arrivals_file.exists() and self.arrivals_file.stat().st_size > 0

    async def inject(
        self, name: str, in_flight: Mapping[str, int], action: Callable[[], Awaitable[None]]
    ) -> None:
        """Do a fault and note it."""
        self.say(f"Fault: {name}, with work in flight: {_words(in_flight)}.")
        before, at = await self._history(), now_ms()
        await action()
        done, after = now_ms(), await self._history()
        anew = (
            all(before)
            and all(after)
            and any(b.isdisjoint(a) for b, a in zip(before, after, strict=True))
        )
        self.faults.append(Fault(name, at, done, in_flight, anew))

    async def _history(self) -> tuple[set[str], set[str]]:
        """Which Redis and which workers there are; an empty set where one cannot be told."""
        run_id = await checker.run_id(self.stack)
        workers = [each for name, each in self.system.services.items() if name.startswith("worker")]
        return {run_id} if run_id else set(), {str(each.pid) for each in workers}

    async def until_restored(self, most: int) -> Mapping[str, int]:
        """Wait until the run under way is half-way, or has restored ``most``: what it says then.

        Raises:
            TimeoutError: it is not in time.
        """
        said: dict[str, int] = {}

        async def is_half_way() -> bool:
            run = await checker.newest_run(self.system.api.url)
            if run is None or run["state"] != "running":
                return False
            restored, total = int(run["restored"]), int(run["total"])
            said.update(restored=restored, left=total - restored)
            return 0 < min(most, total // 2) <= restored

        await until(is_half_way, IN_FLIGHT_WITHIN_MS, "a rehydrate that is half-way")
        return said

    async def until_copies_have_a_home(self) -> None:
        """Wait until RabbitMQ would find the mirror queue again after being killed."""
        self.submit(1)
        await until(
            lambda: all(each.has_on_disk(f"{VHOST}_{MIRROR}") for each in self.stack.brokers),
            QUEUE_ON_DISK_WITHIN_MS,
            "RabbitMQ to write the mirror queue down",
        )

    async def restart(self, name: str) -> None:
        """Kill -9 a process of Lifeboat and start another in its place.

        Raises:
            StackError: it did not come.
        """
        service = self.system.services[name]
        service.process.kill9()
        await service.start()

    async def rehydrate(self) -> None:
        """``lifeboat rehydrate --json``; its progress is passed on, its report kept.

        Raises:
            StackError: it failed.
        """
        report = await self.run("rehydrate")
        self.reports.append(report)
        self.say(f"The command: {_words({name: report[name] for name in COUNTED})}.")
        service = await checker.restored_by_service(self.system.services["rehydrator"].url)
        self.say(f"The standing rehydrator, which was there first, had restored {service:,}.")

    async def run(self, command: str) -> dict[str, Any]:
        """Run a command of ``lifeboat`` with ``--json``; its document.

        Raises:
            StackError: it failed or took too long.
        """
        self.say(f"Running: lifeboat {command}")
        return await commands.run(command, self.environment)

    async def start_command(self, command: str, *options: str) -> asyncio.subprocess.Process:
        """One, under way."""
        return await commands.start(command, self.environment, *options)

    async def settle(self, within_ms: int) -> bool:
        """Wait until every accepted task is recorded and nothing is left; False: it was not.

        Raises:
            StackError: a process of Lifeboat has ended that nobody killed.
        """
        deadline, quiet = monotonic_ms() + within_ms, 0
        while True:
            self._all_live()
            recorded = await checker.read_records(self.stack, self.sqlite_path, QUEUE)
            left = await checker.copies_left(self.stack, QUEUE)
            open_left = await checker.open_left(self.stack, self.keys_prefix)
            accepted = self.producers.book.accepted
            missing = sum(1 for task_id in accepted if task_id not in recorded)
            self.say(
                f"accepted {len(accepted):,} · recorded {len(recorded):,} · copies in RabbitMQ"
                f" {'?' if left is None else format(left, ',')}"
                f" · answers so far: {_words(self.producers.book.answers)}"
            )
            done = len(accepted) == self.plan.tasks and not missing and left == open_left == 0
            quiet = quiet + 1 if done else 0
            if quiet >= QUIET_LOOKS or monotonic_ms() > deadline:
                return done
            await asyncio.sleep(1)

    def _all_live(self, *, servers: bool = False) -> None:
        every: list[Service | Server] = [*self.system.services.values()]
        for each in [*every, *(self.stack.servers if servers else ())]:
            if not each.process.running:
                raise StackError(
                    f"{each.name} ended by itself. Its log ends: {each.process.tail()}"
                )

    async def _receiver_answers(self) -> bool:
        return bool(await checker.read_text(f"http://127.0.0.1:{self._receiver_port}/ready"))

    def _receiver_process(self) -> ChildProcess:
        command = [sys.executable, "-m", "app.drill.receiver"]
        command += ["--port", str(self._receiver_port), "--file", str(self.arrivals_file)]
        log = self.folder / "receiver.log"
        return ChildProcess("receiver", command, log=log, detached=self.plan.keep)


def _words(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
