"""``rehydrate``: one run over all queues, exclusive, recorded in the ledger, told as it goes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

from app.amqp.declare import has_mirror_queue
from app.clock import now_ms
from app.errors import LifeboatError, RehydrationRunning, Unavailable, UnknownQueue
from app.names import QueueName, is_queue, new_task_id
from app.settings import Settings
from app.task_queue import rehydrations
from mirror.topology import Topology
from rehydrator.lease import Lease
from rehydrator.reaching import reach
from rehydrator.redis_queue import Stores
from rehydrator.report import Report
from rehydrator.run import Incomplete, Patience, QueueRun, RunRequest
from rehydrator.stores import open_stores

log = logging.getLogger(__name__)

RUN_LEASE: Final = rehydrations.RUN_LEASE
RUN_LEASE_MS: Final = 5_000
"""Short: a run that was killed must not keep the next one waiting."""
CHECKPOINT_S: Final = 1.0
POLL_S: Final = 0.2

Told = Callable[[Report], None]


async def rehydrate(
    settings: Settings,
    request: RunRequest,
    on_progress: Told,
    *,
    patience: Patience | None = None,
    id: str | None = None,
) -> Report:
    """Look at every copy once, restore what Redis lost, let go what is finished; the report.

    ``id``: of the record that was made for this run.

    Raises:
        SettingsError: a store is not configured.
        RehydrationRunning: another run is under way.
        UnknownQueue: there is no queue of the name asked for.
        Fatal: a store is not the one it must be; nothing was done.
        Unavailable: a store cannot be reached.
    """
    patience = patience or Patience()
    async with AsyncExitStack() as closing:
        stores, topology = open_stores(settings, closing, process="rehydrate")
        await reach(patience.stores_s, stores.ledger.open, stores.redis.ping, topology.declare)
        async with exclusive(stores):
            run = _Run(stores, topology, request, on_progress, patience, id or new_task_id())
            return await run.run()


class _Run:
    """The state of one run."""

    def __init__(
        self,
        stores: Stores,
        topology: Topology,
        request: RunRequest,
        on_progress: Told,
        patience: Patience,
        id: str,
    ) -> None:
        self._stores = stores
        self._topology = topology
        self._request = request
        self._on_progress = on_progress
        self._patience = patience
        self._runs: list[QueueRun] = []
        self._report = Report(
            id=id,
            state="running",
            started_at_ms=now_ms(),
            dry_run=request.dry_run,
            queue=request.queue,
            tenant=request.tenant,
            since_ms=request.since_ms,
            task_ids=tuple(sorted(request.task_ids)),
            rate=request.rate,
        )

    async def run(self) -> Report:
        """Queue by queue."""
        # A run of a queue that there is not is none: nothing is recorded.
        queues = await self._queues()
        checkpoints = asyncio.create_task(self._checkpoint(), name="checkpoints")
        problems: list[str] = []
        try:
            for queue, names in queues.items():
                problems += await self._run_queue(queue, names)
        except BaseException as error:
            checkpoints.cancel()
            why = str(error) if isinstance(error, LifeboatError) else "It was stopped half-way."
            failed = replace(self._now(), state="failed", finished_at_ms=now_ms(), problems=(why,))
            await self._record(failed)
            raise
        checkpoints.cancel()
        report = self._now().ended(now_ms(), tuple(problems))
        await self._record(report)
        self._on_progress(report)
        return report

    async def _queues(self) -> Mapping[str, Sequence[QueueName]]:
        wanted = self._request.queue
        found: dict[str, list[QueueName]] = {wanted: []} if wanted else {}
        for record in await self._stores.ledger.queues():
            if wanted in (None, record.queue):
                found.setdefault(record.queue, []).append(QueueName(record.tenant, record.queue))
        if wanted and not found[wanted] and not await self._has_copies(wanted):
            raise UnknownQueue(
                f"There is no queue {wanted}, neither recorded nor in RabbitMQ: `lifeboat queue ls`"
                " shows those there are."
            )
        return found

    async def _has_copies(self, queue: str) -> bool:
        return is_queue(queue) and await has_mirror_queue(
            self._stores.rabbitmq_url, queue, "rehydrate-look"
        )

    async def _run_queue(self, queue: str, names: Sequence[QueueName]) -> list[str]:
        run = QueueRun(
            self._stores,
            self._topology,
            queue,
            self._request,
            told=lambda: self._on_progress(self._now()),
            patience=self._patience,
        )
        self._runs.append(run)
        for name in names:
            run.meet(name)
        try:
            await run.run()
        except Incomplete as incomplete:
            return [str(incomplete)]
        return []

    def _now(self) -> Report:
        total = sum(max(run.total, sum(run.tally.counts().values())) for run in self._runs)
        return self._report.counted([run.tally for run in self._runs], total)

    async def _checkpoint(self) -> None:
        while True:
            await self._record(self._now())
            await asyncio.sleep(CHECKPOINT_S)

    async def _record(self, report: Report) -> None:
        try:
            self._stores.crashes.reach("rehydrator.before_checkpoint")
            await self._stores.ledger.put_rehydration(report.record(now_ms()))
            self._stores.crashes.reach("rehydrator.after_checkpoint")
        except Unavailable as error:
            log.warning("The run's record was not written (%s).", error.detail)


@asynccontextmanager
async def exclusive(stores: Stores) -> AsyncIterator[None]:
    """One run at a time.

    Raises:
        RehydrationRunning: another one lives.
    """
    lease = Lease(stores.ledger, RUN_LEASE, RUN_LEASE_MS)
    deadline_s = time.monotonic() + RUN_LEASE_MS / 1_000 + 1
    while not await lease.acquire():
        if time.monotonic() > deadline_s:
            raise RehydrationRunning(
                "A rehydrate or reconcile run is under way already; wait for its end. Nothing was"
                " done."
            )
        # One that was killed does not renew it.
        await asyncio.sleep(POLL_S)
    async with lease.kept(yields=False):
        yield
