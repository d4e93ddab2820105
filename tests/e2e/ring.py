"""All of Lifeboat's processes in one env, of which one is told to die; and what the stores say.

They are children of a fork server that has imported everything, so each is there at once: a file
of rehearsals may start dozens of them.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import uuid
from contextlib import asynccontextmanager

import aiohttp

from app.amqp.message import Origin, copy_publication
from app.amqp.topology import QUARANTINE, mirror_queue
from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.ledger.opening import ledger_of
from app.names import QueueName
from app.settings import Settings
from app.stack.process import die_with_parent, free_port
from tests.support.envelopes import QUEUE, TENANT, envelope
from tests.support.eventually import eventually
from tests.support.vhosts import remove_vhost

NAME = QueueName(TENANT, QUEUE)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.e2e.ring_processes"])
WITHIN_S = 60
DIED = 137


class Child:
    """One process of Lifeboat."""

    def __init__(self, process, settings, log):
        self.name, self._log = process, log
        self.url = f"http://127.0.0.1:{settings['http_port']}"
        self._process = CONTEXT.Process(target=enter, args=(process, settings, log), daemon=True)
        self._process.start()

    @property
    def running(self):
        return self._process.is_alive()

    @property
    def exit_code(self):
        return self._process.exitcode

    def kill9(self):
        self._process.kill()
        self._process.join()

    def ask_to_stop(self):
        os.kill(self._process.pid, signal.SIGTERM)

    def tail(self):
        return self._log.read_text()[-2_000:] if self._log.exists() else ""

    async def dies(self):
        """Wait until it did so by itself, as it was told."""
        try:
            await eventually(lambda: not self.running, within_s=WITHIN_S)
        except AssertionError as error:
            raise AssertionError(f"{self.name} lives on: {self.tail()}") from error
        assert self.exit_code == DIED, self.tail()


def enter(process, settings, log):
    """In the child: be that process to its end."""
    die_with_parent()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from tests.e2e.ring_processes import be  # noqa: PLC0415 - the parent needs none of it

    sys.exit(be(process, settings))


class Ring:
    """The processes of one env."""

    def __init__(self, folder, redis_url, rabbitmq):
        self.env = f"t{uuid.uuid4().hex[:12]}"
        self.calls_file = folder / "calls"
        self._folder = folder
        self._rabbitmq = rabbitmq
        self._number = 0
        self._children = []
        self.here = {}
        """Those that live all the time, by name."""
        url = asyncio.run(rabbitmq.create_vhost(self.env))
        self.settings = {
            "env": self.env,
            "tenant": TENANT,
            "redis_url": redis_url,
            "rabbitmq_url": url,
            "sqlite_path": folder / "ledger.sqlite",
            "lease_ms": 2_000,
            "mirror_lease_ms": 1_000,
            "rehydrator_lease_ms": 1_000,
            "grace_ms": 0,
            "worker_port": 0,
            "mirror_port": 0,
            "rehydrator_port": 0,
        }

    def start(self, process, crash_at="", **changes):
        """A process from now on."""
        self._number += 1
        mine = {
            **self.settings,
            "http_port": free_port(),
            "spool_dir": self._folder / f"spool-{self._number}",
            "crash_at": crash_at,
            **changes,
        }
        child = Child(process, mine, self._folder / f"{process}-{self._number}.log")
        self._children.append(child)
        return child

    def keep(self, *processes, **changes):
        """Have these live while others die."""
        for process in processes:
            self.here[process] = self.start(process, **changes)

    def close(self):
        for child in self._children:
            child.kill9()
        asyncio.run(remove_vhost(self._rabbitmq, self.env))

    async def publish(self, publication):
        """By hand, as over the dashboard."""
        await self._rabbitmq.manage(
            "POST",
            f"/api/exchanges/{self.env}/{publication.exchange}/publish",
            {
                "routing_key": publication.routing_key,
                "payload": publication.body.decode(),
                "payload_encoding": "string",
                "properties": {
                    "headers": publication.headers,
                    "type": publication.type,
                    "delivery_mode": 2,
                    "message_id": uuid.uuid4().hex,
                },
            },
        )

    async def messages(self, queue):
        """How many RabbitMQ has, ready or held."""
        found = await self._rabbitmq.manage("GET", f"/api/queues/{self.env}/{queue}")
        return found.get("messages")

    @asynccontextmanager
    async def rehearsal(self):
        settings = Settings(_env_file=None, **self.settings)
        ledger, redis = ledger_of(settings), RedisConnection.from_settings(settings)
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        try:
            await ledger.open()
            await ledger.ensure_queue(TENANT, QUEUE, 10)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                yield Rehearsal(self, ledger, redis, session)
        finally:
            for child in self._children:
                if child not in self.here.values():
                    child.kill9()
            await redis.close()
            await ledger.close()


class Rehearsal:
    """What one test does to a ring and asks of its stores."""

    def __init__(self, ring, ledger, redis, session):
        self.ring, self.ledger, self.redis, self._session = ring, ledger, redis, session
        self.keys = QueueKeys(ring.env, NAME)
        tag = uuid.uuid4().hex[:8]
        self.ids = [f"{tag}-{n}" for n in range(3)]

    def body(self, task_id, *, payload=None, **more):
        payload = {"to": str(self.ring.calls_file), **(payload or {})}
        return {"type": "mail.send", "queue": QUEUE, "taskId": task_id, "payload": payload, **more}

    async def post(self, path, body=None, *, api=None):
        """(status, document)."""
        api = api or self.ring.here["api"]
        async with self._session.post(f"{api.url}/v1{path}", json=body) as response:
            return response.status, await response.json()

    async def submit(self, *, ids=None, **more):
        """Accept the tasks, where nothing dies; their receipts."""
        bodies = [self.body(each, **more) for each in ids or self.ids]
        status, document = await self.post("/tasks/batch", bodies)
        assert status == 202, document
        return document["items"]

    async def mirror_all(self):
        """Submit the tasks again and again until a mirror has come that copies them."""

        async def reached():
            receipts = await self.submit(durability="mirrored")
            return all(each["durability"]["reached"] == "mirrored" for each in receipts)

        await eventually(reached, within_s=WITHIN_S, every_s=0.1)

    async def kills(self, api, path, body=None):
        """Ask an API what it dies of."""
        try:
            answer = await self.post(path, body, api=api)
        except (aiohttp.ClientError, ConnectionError):
            await api.dies()
        else:
            raise AssertionError(f"It answered {answer}.")

    async def answers(self, api, *stores):
        """Wait until an API has reached these stores; none named: all."""
        wanted = stores or ("redis", "rabbitmq", "ledger")

        async def ready():
            try:
                async with self._session.get(f"{api.url}/readyz") as response:
                    checks = (await response.json())["checks"]
                    return all(checks[store] == "ok" for store in wanted)
            except (aiohttp.ClientError, ConnectionError):
                assert api.running, api.tail()
                return False

        await eventually(ready, within_s=WITHIN_S)

    async def records(self):
        return [await self.ledger.get(NAME.task(each)) for each in self.ids]

    async def recorded(self, run=1):
        """Wait until the ledger has this run of all finished."""

        async def over():
            found = await self.records()
            return all(each and each.finished and each.finished.run == run for each in found)

        await eventually(over, within_s=WITHIN_S, every_s=0.1)

    async def end(self, state="succeeded", run=1):
        """Wait until all are recorded so, once, and no store has anything left of them."""
        await self.recorded(run)
        for record in await self.records():
            assert (record.finished.state, record.finished.run) == (state, run)
            assert record.open is None
            won = [(each.run, each.attempt) for each in record.attempts if each.outcome == state]
            assert len(won) == len(set(won)) <= run, record.attempts
        await self.nothing_left()

    async def nothing_left(self):
        """Wait until neither the journal nor RabbitMQ nor a place in Redis holds a task."""

        async def gone():
            raw = self.redis.redis
            copies = await self.ring.messages(mirror_queue(QUEUE))
            waiting = await raw.xlen(self.keys.journal), await raw.zcard(self.keys.delayed)
            ready = [await raw.xlen(lane) for lane in self.keys.lanes]
            return (copies, *waiting, *ready) == (0, 0, 0, 0, 0, 0)

        await eventually(gone, within_s=WITHIN_S, every_s=0.2)

    def calls(self):
        """(task number, run, attempt) of each call of the handler."""
        file = self.ring.calls_file
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        numbers = {each: n for n, each in enumerate(self.ids)}
        return sorted(
            (numbers[task_id], int(run), int(attempt))
            for task_id, run, attempt in lines
            if task_id in numbers
        )

    def each_once(self, run=1):
        """Whether every task was run once in this run."""
        return [n for n, r, _ in self.calls() if r == run] == list(range(len(self.ids)))

    async def pause(self):
        """What is submitted now waits in Redis until ``unpause``."""
        assert (await self.post(f"/queues/{QUEUE}/pause"))[0] == 200

    async def unpause(self):
        assert (await self.post(f"/queues/{QUEUE}/unpause"))[0] == 200

    async def copies_are(self, n):
        return await self.ring.messages(mirror_queue(QUEUE)) == n

    async def set_aside_are(self, n):
        """Whether so many messages lie in the quarantine."""
        return await self.ring.messages(QUARANTINE) == n

    async def spoil(self, task_id):
        """Put a copy of a task into RabbitMQ whose digest is another's."""
        payload = {"to": str(self.ring.calls_file)}
        task = envelope(task_id, payload=payload)
        message = copy_publication(task, Origin(self.ring.env, self.ledger.identity), 7)
        await self.ring.publish(message._replace(headers={**message.headers, "x-digest": "0"}))

    async def quarantined(self, task_id):
        """The records of a task's copies there."""
        return [each for each in await self.ledger.quarantined(100) if each.task_id == task_id]

    async def lose_redis(self):
        """Everything of this env goes."""
        raw = self.redis.redis
        names = [name async for name in raw.scan_iter(f"lb:{{{self.ring.env}.*")]
        await raw.delete(*names)
