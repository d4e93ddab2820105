"""Accepting while Redis is away: the envelope goes straight into the quorum queue, with a confirm.

The rehydrator brings it into Redis. The connection is opened at start and not at the outage, and
the vhost is made ours before anything is published into it.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import Final

from app.amqp.connection import STORE, broker_errors, close_connection, open_connection
from app.amqp.declare import declare, declare_queue
from app.amqp.link import Link
from app.amqp.message import Origin, Publication, copy_publication
from app.amqp.publishing import PublishOutcome, publish
from app.clock import monotonic_ms, now_ms
from app.crashing import NOWHERE, CrashPoints
from app.envelope import Envelope
from app.errors import Unavailable
from app.lifecycle import wait_for
from app.names import TaskKey
from app.settings import Settings
from app.task_queue.ledger_gate import LedgerGate
from app.task_queue.places import rabbitmq_place

log = logging.getLogger(__name__)

NOT_CONFIGURED: Final = "not configured"
REMEMBERED: Final = 100_000
REMEMBERED_MS: Final = 600_000


class Fallback:
    """Publishes tasks that Redis could not take."""

    def __init__(
        self, link: Link, ledger: LedgerGate, settings: Settings, crashes: CrashPoints = NOWHERE
    ) -> None:
        self._link = link
        self._ledger = ledger
        self._settings = settings
        self._crashes = crashes
        self._url = settings.rabbitmq_url or ""
        self._within_s = settings.confirm_timeout_ms / 1_000
        self.is_prepared = False
        """Whether the vhost is known to be ours."""
        self._declaring = asyncio.Lock()
        self._declared: set[str] = set()
        self._taken: OrderedDict[TaskKey, int] = OrderedDict()

    @property
    def is_ready(self) -> bool:
        """Whether RabbitMQ would take a task now, as far as this side knows."""
        return self.is_prepared and self._link.connected and not self._link.blocked

    async def prepare(self) -> None:
        """Make the vhost ours, as soon as the broker is there.

        Raises:
            EnvMismatch: it is another env's.
            TopologyMismatch: something exists there with other arguments.
        """
        await wait_for(rabbitmq_place(self._settings), self._declare)
        self.is_prepared = True

    async def accept(self, envelope: Envelope, ledger_seen: str, *, is_known: bool) -> None:
        """Have a confirmed copy of a task; it is accepted then.

        ``ledger_seen`` names the ledger where this process has not reached it. ``is_known``: the
        queue exists; its mirror queue may be made then.

        Raises:
            Unavailable: RabbitMQ is away, refuses, or gave no answer: it may have the task.
        """
        if not self.is_ready:
            raise Unavailable(STORE, "not connected, or it takes no copies")
        origin = Origin(self._settings.env, self._ledger.identity or ledger_seen)
        publication = copy_publication(envelope, origin, now_ms() // 1_000)
        self._crashes.reach("api.before_publish")
        deadline = asyncio.get_running_loop().time() + self._within_s
        outcome = await self._publish(publication, deadline)
        if outcome is PublishOutcome.RETURNED:
            if not is_known:
                raise Unavailable(
                    "ledger", f"nobody can say now whether queue {envelope.queue} exists"
                )
            await self._declare_queue(envelope.queue)
            outcome = await self._publish(publication, deadline)
        if outcome is not PublishOutcome.CONFIRMED:
            raise Unavailable(STORE, f"the copy is {outcome}")
        self._crashes.reach("api.after_publish")
        self._remember(envelope.key)

    def remembers(self, key: TaskKey) -> bool:
        """Whether a task was taken here lately, so that it may be on its way into Redis."""
        return self._taken.get(key, 0) > monotonic_ms()

    async def _publish(self, publication: Publication, deadline: float) -> PublishOutcome:
        with broker_errors():
            async with asyncio.timeout_at(deadline):
                channel = await self._link.channel()
        outcome = await publish(channel, publication, deadline)
        if outcome is PublishOutcome.REFUSED:
            self._link.refused(channel)
        return outcome

    async def _declare(self) -> None:
        connection = await open_connection(self._url, "api-declare")
        try:
            await declare(connection, self._settings.env)
        finally:
            await close_connection(connection)

    async def _declare_queue(self, queue: str) -> None:
        # One at a time: a thousand submits of a new queue must not open as many connections.
        async with self._declaring:
            if queue in self._declared:
                return
            connection = await open_connection(self._url, "api-declare")
            try:
                await declare_queue(connection, queue)
            finally:
                await close_connection(connection)
            self._declared.add(queue)
        log.info("Declared the mirror queue of %s, which took its first task without Redis.", queue)

    def _remember(self, key: TaskKey) -> None:
        self._taken[key] = monotonic_ms() + REMEMBERED_MS
        self._taken.move_to_end(key)
        while len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)


async def check_rabbitmq(link: Link | None, fallback: Fallback | None) -> None:
    """Whether RabbitMQ takes copies from here.

    Raises:
        Unavailable: it does not, or is not configured; the detail says why.
    """
    if link is None:
        raise Unavailable(STORE, NOT_CONFIGURED)
    if not link.connected:
        raise Unavailable(STORE, "not connected")
    if link.blocked:
        raise Unavailable(STORE, "it has an alarm and takes no copies")
    if fallback is not None and not fallback.is_prepared:
        raise Unavailable(STORE, "its exchanges are not declared yet")
