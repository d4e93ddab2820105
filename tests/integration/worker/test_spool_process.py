"""A worker process whose MongoDB is killed under it, and which is then killed itself."""

import os
import sys
from pathlib import Path

import pytest

from app.ledger.mongo import MongoLedger
from app.stack.process import ChildProcess, free_port
from app.stack.servers import MongoServer
from tests.integration.worker.house import House, WatchedLedger
from tests.integration.worker.test_process import get, status
from tests.integration.worker.test_spool import spools, submit_many
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]
WITHIN_S = 60
HANDLERS = """
import asyncio
import os

from pydantic import BaseModel

from app.registry import TaskRegistry

registry = TaskRegistry()


class Payload(BaseModel):
    to: str


@registry.task("mail.send", payload=Payload)
async def send(payload: Payload, context):
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    with open("ran", "a") as file:
        file.write(context.key.task_id + "\\n")
    return {"to": payload.to}
"""


class WithMongo(House):
    """Its ledger is a MongoDB of the test's own, and its workers are processes."""

    def __init__(self, redis_url, env, folder):
        super().__init__(redis_url, env, folder / "unused.sqlite")
        self.folder = folder
        self.mongo = MongoServer(folder / "mongo")
        self.mongo_url = self.mongo.database_url(env)
        self.ledger = WatchedLedger(
            MongoLedger(self.mongo_url, env=env, record_days=30, timeout_ms=10_000)
        )
        self.port = free_port()
        self.processes = []
        (folder / "handlers.py").write_text(HANDLERS)

    def start_worker(self):
        given = {
            "ENV": self.env,
            "REDIS_URL": self.redis_url,
            "MONGO_URL": self.mongo_url,
            "LEASE_MS": "2000",
            "STORE_TIMEOUT_MS": "500",
            "CONCURRENCY": "10",
            "WORKER_PORT": str(self.port),
            "SPOOL_DIR": str(self.folder / "spool"),
        }
        clean = {name: v for name, v in os.environ.items() if not name.startswith("LIFEBOAT_")}
        command = f"import os, sys; os.chdir({str(self.folder)!r}); sys.argv[0] = 'lifeboat'; "
        command += "from app.cli import main; main()"
        process = ChildProcess(
            "worker",
            [sys.executable, "-c", command, "worker", "--app", "handlers:registry"],
            log=self.folder / f"worker-{len(self.processes)}.log",
            environment={
                **clean,
                "PYTHONPATH": f"{ROOT}:{self.folder}",
                **{f"LIFEBOAT_{name}": value for name, value in given.items()},
            },
        )
        self.processes.append(process)
        process.start()
        return process

    def let_go(self):
        (self.folder / "go").touch()

    def ran(self):
        path = self.folder / "ran"
        return sorted(path.read_text().split()) if path.exists() else []

    async def all_end(self, ids):
        for task_id in ids:
            await eventually(lambda: self.finished(task_id), within_s=WITHIN_S)  # noqa: B023 - awaited here
            record = await self.ends(task_id, "succeeded")
            assert len(record.attempts) == 1

    async def says_spooled(self, count):
        code, text = await get(self.port, "/readyz")
        return code == 503 and f"{count} outcomes wait in" in text


@pytest.fixture
async def house(redis_url, env_name, tmp_path):
    house = WithMongo(redis_url, env_name, tmp_path)
    await house.mongo.start()
    try:
        await house.open()
        yield house
    finally:
        for process in house.processes:
            process.kill9()
            # Shown where a test fails.
            sys.stdout.write(process.tail())
        await house.close()
        house.mongo.kill9()


async def test_a_mongod_killed_while_tasks_run(house, tmp_path):
    worker = house.start_worker()
    await eventually(lambda: status(house.port, "/readyz", 200), within_s=WITHIN_S)
    ids = await submit_many(house, 60)
    await eventually(lambda: house.is_state(ids[0], "running"))
    house.mongo.kill9()
    house.let_go()
    await eventually(lambda: house.says_spooled(60), within_s=WITHIN_S)
    assert await status(house.port, "/livez", 200)
    _, exposition = await get(house.port, "/metrics")
    assert 'lifeboat_spooled_outcomes{queue="mail",tenant="acme"} 60.0' in exposition
    assert house.ran() == sorted(ids)
    assert {await house.state(task_id) for task_id in ids} == {"running"}
    await house.mongo.start()
    await house.all_end(ids)
    await eventually(lambda: status(house.port, "/readyz", 200), within_s=WITHIN_S)
    assert house.ran() == sorted(ids)
    await eventually(lambda: not spools(tmp_path / "spool"))
    assert await worker.stop() == 0


async def test_a_worker_killed_with_a_spool_is_followed_by_one_that_drains_it(house, tmp_path):
    house.let_go()
    killed = house.start_worker()
    await house.submit_one("first")
    await eventually(lambda: house.finished("first"), within_s=WITHIN_S)
    house.mongo.kill9()
    ids = await submit_many(house, 60)
    await eventually(lambda: house.says_spooled(60), within_s=WITHIN_S)
    killed.kill9()
    next_one = house.start_worker()
    await eventually(
        lambda: "Waiting for the ledger" in next_one.log.read_text(), within_s=WITHIN_S
    )
    assert len(spools(tmp_path / "spool")) == 1
    await house.mongo.start()
    await house.all_end(ids)
    assert house.ran() == sorted([*ids, "first"])
    await eventually(lambda: not spools(tmp_path / "spool"))
    assert await next_one.stop() == 0
