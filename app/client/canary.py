"""The canary: one task that does nothing, followed all the way round, leg by leg."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from app.canary import CANARY, new_canary_id
from app.client.client import Client
from app.client.errors import ClientError, NoAnswer, NotFound, Refused
from app.client.results import Canary, Receipt
from app.clock import monotonic_ms, now_ms
from app.state import FINISHED, TaskState

LEGS: Final = ("accepted", "mirrored", "finished", "retired")
LOOK_EVERY_S: Final = 0.02
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Flight:
    """How far one canary came: ``legs`` has ms from the submit on, None where it did not come."""

    task_id: str
    queue: str
    legs: dict[str, int | None]
    state: str | None
    missing: str | None
    next: str | None

    def document(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "taskId": self.task_id,
            "queue": self.queue,
            "verdict": "failed" if self.missing else "ok",
            "legs": [{"leg": leg, "ms": self.legs[leg]} for leg in LEGS],
            "state": self.state,
            "missing": self.missing,
            "next": self.next,
        }


async def fly(client: Client, queue: str, within_s: float) -> Flight:
    """Send a canary round, and say after ``within_s`` at the latest which leg it did not make.

    What Redis says of each leg counts, not what can be concluded: a task that has finished is as
    good as mirrored, and would hide a mirror that does nothing.

    Raises:
        NoAnswer: there is no API.
    """
    flying = _Flying(client, queue, within_s)
    try:
        await flying.follow()
        return await flying.landed()
    finally:
        await flying.clear_up()


class _Flying:
    def __init__(self, client: Client, queue: str, within_s: float) -> None:
        self._client = client
        self._queue = queue
        self._within_s = within_s
        self._task_id = new_canary_id()
        self._began_ms = monotonic_ms()
        self._legs: dict[str, int | None] = dict.fromkeys(LEGS)
        self._state: TaskState | None = None
        self._because = ""
        self._submitting = asyncio.create_task(self._submit())

    async def follow(self) -> None:
        """Note each leg as soon as it shows."""
        until_ms = self._began_ms + round(self._within_s * 1_000)
        while monotonic_ms() < until_ms and None in self._legs.values():
            try:
                self._see(await self._client.canary(self._queue, self._task_id))
            except NotFound:
                # Not accepted yet, or in RabbitMQ until Redis is back.
                pass
            except ClientError as error:
                self._because = error.detail
            if self._submitting.done() and self._refused is not None:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def landed(self) -> Flight:
        """What came of it, and what to do about the first leg that is missing.

        Raises:
            NoAnswer: there is no API.
        """
        if self._submitting.done() and isinstance(self._refused, NoAnswer):
            raise self._refused
        missing = next((leg for leg in LEGS if self._legs[leg] is None), None)
        return Flight(
            task_id=self._task_id,
            queue=self._queue,
            legs=self._legs,
            state=None if self._state is None else str(self._state),
            missing=missing,
            next=None if missing is None else await self._advice(missing),
        )

    async def clear_up(self) -> None:
        """Leave nothing that waits: whoever ran it later would prove nothing."""
        self._submitting.cancel()
        await asyncio.wait([self._submitting])
        if self._state in FINISHED:
            return
        try:
            await self._client.cancel(self._task_id, queue=self._queue)
        except ClientError:
            # It expires by itself.
            return

    async def _submit(self) -> Receipt:
        receipt = await self._client.submit(
            CANARY,
            {},
            task_id=self._task_id,
            queue=self._queue,
            durability="mirrored",
            on_degraded="accept",
            retry={"max_attempts": ATTEMPTS},
            expires_at=now_ms() + round(self._within_s * 1_000),
            context={"channel": "cli"},
        )
        self._note("accepted")
        if receipt.accepted_by == "rabbitmq":
            # Redis is away: the copy came first.
            self._note("mirrored")
        return receipt

    @property
    def _refused(self) -> BaseException | None:
        return self._submitting.exception()

    def _see(self, seen: Canary) -> None:
        self._note("accepted")
        self._state = seen.state
        if seen.mirrored:
            self._note("mirrored")
        if seen.state is TaskState.SUCCEEDED:
            self._note("finished")
        if seen.retired:
            self._note("retired")

    def _note(self, leg: str) -> None:
        if self._legs[leg] is None:
            self._legs[leg] = monotonic_ms() - self._began_ms

    async def _advice(self, missing: str) -> str:
        if missing == "accepted":
            refused = self._submitting.done() and self._refused
            if isinstance(refused, Refused):
                return refused.detail
            because = str(refused or self._because or "no answer came in time")
            return f"{because.rstrip('.')}. GET /readyz says which store is away."
        try:
            return await self._advice_on(missing)
        except ClientError as error:
            return f"The API cannot say why now: {error.detail}"

    async def _advice_on(self, missing: str) -> str:
        if missing == "mirrored":
            return await self._about_mirror()
        if missing == "finished":
            return await self._about_workers()
        return (
            f"Its copy still lies in RabbitMQ, in lifeboat.mirror.{self._queue}. Does that queue"
            " have a consumer? If not, start `lifeboat rehydrator`, or wait five minutes if"
            " somebody closed its connection in the dashboard. If it has one, the rehydrator's log"
            " says why: without the ledger nothing may leave."
        )

    async def _about_mirror(self) -> str:
        mirrors = [each for each in await self._client.mirror() if each.queue == self._queue]
        mirror = mirrors[0] if mirrors else None
        if mirror is None or mirror.leader is None:
            return (
                f"No mirror keeps the journal of {self._queue}: start `lifeboat mirror` with a"
                " LIFEBOAT_RABBITMQ_URL. Until then a loss of Redis loses what has no copy;"
                " `lifeboat queue coverage` shows how much."
            )
        if mirror.blocked:
            return (
                "RabbitMQ takes no copies: it is away or has a memory or disk alarm. Its dashboard"
                " shows which on the first page; `lifeboat doctor` says so too."
            )
        return (
            f"The mirror {mirror.leader} has not published it: {mirror.unmirrored_tasks:,} tasks of"
            f" {self._queue} have no copy. `lifeboat queue coverage {self._queue}` shows whether it"
            " is late or has left some out."
        )

    async def _about_workers(self) -> str:
        queue = await self._client.queue(self._queue)
        if queue.paused:
            return f"The queue is paused: `lifeboat queue unpause {self._queue}`."
        if not queue.workers:
            return f"No worker polls {self._queue}: start `lifeboat worker`."
        if self._state is TaskState.SUSPENDED:
            return "No worker knows the type lifeboat.canary: they are older than this command."
        return (
            f"{queue.workers} workers poll {self._queue} and did not end it in time (it is"
            f" {self._state}): {queue.depth.queued:,} tasks wait. `lifeboat worker ls` shows who is"
            " full; the workers' logs whether the ledger is away."
        )
