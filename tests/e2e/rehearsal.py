"""A queue on a real Redis and a real ledger, and workers on it that are processes."""

import os
import signal
import sys

from app.stack.process import ChildProcess
from tests.integration.worker.house import House
from tests.support.envelopes import envelope
from tests.support.eventually import eventually

LEASE_MS = 1_000
RETRY = {"delaysMs": [10] * 6, "jitter": 0}


class Rehearsal(House):
    def __init__(self, redis_url, env, folder):
        super().__init__(redis_url, env, folder / "ledger.sqlite")
        self._folder = folder
        self._processes = []

    @property
    def noted(self):
        """(task id, run, attempt) of each call of a handler."""
        file = self._folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(task_id, int(run), int(n)) for task_id, run, n in map(str.split, lines)]

    def task(self, task_id, *, type="mail.send", **payload):
        payload = {"to": str(self._folder / "calls"), **payload}
        return envelope(task_id, type=type, payload=payload, retry=RETRY, timeoutMs=60_000)

    def process(self, *, crash_at="", grace_ms=0, lease_ms=LEASE_MS):
        """A worker as ``lifeboat worker`` starts it."""
        name = f"worker-{len(self._processes)}"
        mine = {key: value for key, value in os.environ.items() if "LIFEBOAT" not in key}
        process = ChildProcess(
            name,
            [
                sys.executable,
                "-m",
                "app.cli",
                "worker",
                "--app",
                "tests.e2e.rehearsed_tasks:registry",
            ],
            log=self._folder / f"{name}.log",
            environment={
                **mine,
                "LIFEBOAT_REDIS_URL": self.redis_url,
                "LIFEBOAT_SQLITE_PATH": str(self.sqlite_path),
                "LIFEBOAT_ENV": self.env,
                "LIFEBOAT_LEASE_MS": str(lease_ms),
                "LIFEBOAT_GRACE_MS": str(grace_ms),
                "LIFEBOAT_WORKER_PORT": "0",
                "LIFEBOAT_SPOOL_DIR": str(self._folder / "spool" / name),
                "LIFEBOAT_CRASH_AT": crash_at,
            },
        )
        process.start()
        self._processes.append(process)
        return process

    async def dies(self, process):
        """Wait until it did so by itself, as a rehearsal has it."""
        await eventually(lambda: not process.running, within_s=60)
        assert process.exit_code == 137, process.tail()

    def signal(self, process):
        os.kill(process.pid, signal.SIGTERM)

    async def leaves(self, process, within_s=60):
        """Wait until it ended in peace."""
        await eventually(lambda: not process.running, within_s=within_s)
        assert process.exit_code == 0, process.tail()

    async def close(self):
        for process in self._processes:
            process.kill9()
        await super().close()
