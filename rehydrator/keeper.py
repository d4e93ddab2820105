"""The keeper of the quarantine: holds what lies there until a person has dealt with its record.

One per env, by a lease in the ledger. It acks a message once its record is resolved, and nothing
else; it shows how many records wait.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from app.amqp.connection import (
    broker_call,
    close_connection,
    describe,
    open_connection,
    was_closed_by_operator,
)
from app.amqp.topology import QUARANTINE
from app.clock import now_ms
from app.errors import Unavailable
from app.ledger.ledger import Ledger
from app.lifecycle import cancel
from app.metrics import Metrics
from app.names import is_queue
from rehydrator.holdings import parts
from rehydrator.lease import Lease
from rehydrator.quarantine import id_of_message, record_of_message
from rehydrator.redis_queue import Stores

log = logging.getLogger(__name__)

LEASE: Final = "quarantine"
PROCESS: Final = "rehydrator-quarantine"
PREFETCH: Final = 500
PART: Final = 500


@dataclass(frozen=True, slots=True)
class KeeperPace:
    """How often what is done; seconds."""

    look_s: float = 2.0
    """Between two looks at what became of the records."""
    retry_s: float = 1.0
    lease_s: float = 1.0
    hold_s: float = 1_200.0
    """The broker tears away what is held for 30 minutes."""
    operator_away_s: float = 300.0
    """After a person closed the connection, to look at the queue by hand."""


class QuarantineKeeper:
    """Keeps the quarantine while it holds its lease."""

    def __init__(self, stores: Stores, pace: KeeperPace | None = None) -> None:
        self._stores = stores
        self._pace = pace or KeeperPace()
        self._lease = Lease(stores.ledger, LEASE, stores.settings.rehydrator_lease_ms)
        self._shown = Shown(stores.metrics)
        self._warned = False

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            # The ledger tells nobody when a lease is free: it must be asked.
            while not await self._lease.acquire():  # noqa: ASYNC110
                await asyncio.sleep(self._pace.lease_s)
            async with self._lease.kept(yields=False):
                keeping = asyncio.create_task(self._keep(), name="quarantine")
                showing = asyncio.create_task(self._show(), name="quarantine figures")
                ended = asyncio.create_task(self._lease.ended.wait())
                try:
                    await asyncio.wait(
                        {keeping, showing, ended}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    failed = [each for each in (keeping, showing) if each.done()]
                    await cancel(keeping, showing, ended)
                    self._shown.clear()
            for each in failed:
                each.result()

    async def _show(self) -> None:
        while True:
            try:
                self._shown.show(await self._stores.ledger.quarantine_counts())
            except Unavailable as error:
                log.debug("The quarantine was not counted (%s).", error.detail)
            await asyncio.sleep(self._pace.look_s)

    async def _keep(self) -> None:
        while True:
            away_s = self._pace.retry_s
            try:
                connection = await open_connection(self._stores.rabbitmq_url, PROCESS)
                try:
                    away_s = await self._hold(connection)
                finally:
                    await close_connection(connection)
            except Unavailable as error:
                if not self._warned:
                    log.warning("Cannot keep the quarantine (%s); trying again.", error)
                self._warned = True
            await asyncio.sleep(away_s)

    async def _hold(self, connection: AbstractConnection) -> float:
        """Hold what lies there; for how many seconds to stay away then.

        Raises:
            Unavailable: the broker is away.
        """
        async with broker_call():
            channel = connection.channel()
            await channel.initialize()
            closing = (await channel.get_underlay_channel()).closing
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.get_queue(QUARANTINE, ensure=False)
        holding = asyncio.create_task(self._look(_Held(channel, queue)), name="hold")
        self._warned = False
        try:
            await asyncio.wait(
                {holding, closing},
                timeout=self._pace.hold_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            failed = holding.done()
            await cancel(holding)
        if closing.done():
            error = None if closing.cancelled() else closing.exception()
            if was_closed_by_operator(error):
                log.warning("An operator closed the connection: the quarantine is left alone.")
                return self._pace.operator_away_s
            raise Unavailable(
                "rabbitmq", "the channel was closed" if not error else describe(error)
            )
        if failed:
            holding.result()
        return 0.0

    async def _look(self, held: "_Held") -> None:
        while True:
            try:
                while await held.take(self._stores.ledger, self._pace.look_s):
                    pass
                await held.let_go(self._stores.ledger)
            except Unavailable as error:
                if error.store != "ledger":
                    raise
                log.debug("What became of the quarantine is not known (%s).", error.detail)
                await asyncio.sleep(self._pace.retry_s)


class _Held:
    """The messages in hand on one channel: their tags, and whose record they are."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._ids: dict[int, str] = {}
        self._window = 0

    async def take(self, ledger: Ledger, within_s: float) -> bool:
        """Take in what arrives, a record for each; whether anything came.

        Raises:
            Unavailable: a store is away; what arrived is taken in later.
        """
        if len(self._ids) >= self._window and self._arrived.empty():
            # Behind a full window there may lie what somebody resolved.
            async with broker_call():
                await self._queue.consume(self._arrived.put)
            self._window += PREFETCH
        try:
            async with asyncio.timeout(within_s):
                message = await self._arrived.get()
        except TimeoutError:
            return False
        try:
            await self._take_in(ledger, message)
        except BaseException:
            self._arrived.put_nowait(message)
            raise
        return True

    async def _take_in(self, ledger: Ledger, message: AbstractIncomingMessage) -> None:
        headers, body = message.headers, message.body
        record_id = id_of_message(headers, body, message.message_id)
        if record_id not in await ledger.resolutions([record_id]):
            # The record first: without one nobody would ever see the message.
            await ledger.put_quarantine(
                record_of_message(record_id, headers, body, message.type, now_ms())
            )
            log.warning("A message of %s had no record: it is %s now.", QUARANTINE, record_id)
        self._ids[message.delivery_tag or 0] = record_id

    async def let_go(self, ledger: Ledger) -> None:
        """Ack those whose record is resolved.

        Raises:
            Unavailable: a store is away.
        """
        for part in parts(list(self._ids.items()), PART):
            found = await ledger.resolutions([record_id for _, record_id in part])
            async with broker_call():
                below = await self._channel.get_underlay_channel()
                for tag, record_id in part:
                    if found.get(record_id) is not None:
                        await below.basic_ack(tag)
                        del self._ids[tag]
                        log.info("The quarantine let %s go: %s.", record_id, found[record_id])


class Shown:
    """The figure of each queue, while this process keeps the quarantine."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.quarantined_tasks
        self._labels: set[tuple[str, str]] = set()

    def show(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Records that wait, by (tenant, queue)."""
        now: Counter[tuple[str, str]] = Counter()
        for (tenant, queue), n in counts.items():
            # What a broken message claims must not become a label of its own.
            now[_label(tenant), _label(queue)] += n
        self._labels |= now.keys()
        for labels in self._labels:
            self._gauge.labels(*labels).set(now[labels])

    def clear(self) -> None:
        """Another process shows them."""
        for labels in self._labels:
            self._gauge.remove(*labels)
        self._labels.clear()


def _label(name: str) -> str:
    return name if is_queue(name) else "unknown"
