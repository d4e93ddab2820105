"""RabbitMQ's management API: what AMQP cannot say, each call with a deadline.

Its counters lag by about 5 s and may be missing just after a start or a lost node; use
``app.amqp.declare.ready_count`` for a fresh count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp

from app.amqp.connection import CALL_TIMEOUT_MS, STORE, place_of
from app.amqp.topology import differences, mismatch_sentence
from app.errors import TopologyMismatch, Unavailable
from app.settings import addresses_of


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the management API says about a queue; None: it does not know (yet)."""

    name: str
    arguments: Mapping[str, Any]
    members: tuple[str, ...]
    online: tuple[str, ...]
    leader: str | None
    ready: int | None
    unacked: int | None
    policy: Mapping[str, Any]
    """What a policy adds to the arguments, by its own names (``delivery-limit``)."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node of the broker; sizes in bytes."""

    name: str
    running: bool
    memory_alarm: bool
    disk_alarm: bool
    disk_free: int
    disk_limit: int
    partitioned: bool


class Management:
    """Reads one vhost over HTTP. Close it."""

    def __init__(self, url: str, vhost: str, *, timeout_ms: int = CALL_TIMEOUT_MS) -> None:
        """``url`` like ``http://user:password@host:15672``; several nodes separated by commas."""
        self._urls = [each.rstrip("/") for each in addresses_of(url)]
        """Who answered last is asked first."""
        self._vhost = quote(vhost, safe="")
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000 / len(self._urls))
        )

    async def close(self) -> None:
        """Let go of the HTTP connections."""
        await self._session.close()

    async def queue(self, name: str) -> QueueFacts | None:
        """One queue; None: there is none.

        Raises:
            Unavailable: the API is away, slow or refuses.
        """
        found = await self._get(f"/api/queues/{self._vhost}/{quote(name, safe='')}")
        return None if found is None else _facts(found)

    async def queues(self) -> list[QueueFacts]:
        """Every queue of the vhost.

        Raises:
            Unavailable: the API is away, slow or refuses.
        """
        return [_facts(each) for each in await self._get(f"/api/queues/{self._vhost}") or ()]

    async def nodes(self) -> list[NodeFacts]:
        """Every node of the cluster; needs a user who may monitor.

        Raises:
            Unavailable: the API is away, slow or refuses.
        """
        return [_node(each) for each in await self._get("/api/nodes") or ()]

    async def verify_queue(self, name: str) -> QueueFacts:
        """Read the queue back and compare its arguments with ours.

        Raises:
            TopologyMismatch: it is missing or its arguments differ; the sentence names them.
            Unavailable: the API is away, slow or refuses.
        """
        facts = await self.queue(name)
        if facts is None:
            raise TopologyMismatch(f"The RabbitMQ queue {name} is missing: declare it first.")
        if found := differences(name, facts.arguments):
            raise TopologyMismatch(mismatch_sentence(name, found, ""))
        return facts

    async def _get(self, path: str) -> Any:
        failures: list[Unavailable] = []
        for url in tuple(self._urls):
            try:
                found = await self._ask(url, path)
            except Unavailable as error:
                failures.append(error)
            else:
                self._urls.sort(key=lambda each: each != url)
                return found
        raise Unavailable(STORE, "; ".join(each.detail for each in failures)) from failures[-1]

    async def _ask(self, url: str, path: str) -> Any:
        place = f"its management API at {place_of(url)}"
        try:
            async with self._session.get(url + path) as response:
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                if response.status != HTTPStatus.OK:
                    raise Unavailable(STORE, f"{place} answered {response.status}")
                return await response.json()
        except TimeoutError as error:
            raise Unavailable(STORE, f"{place} gave no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(STORE, f"{place} cannot be asked: {error}") from error


def _facts(found: Mapping[str, Any]) -> QueueFacts:
    return QueueFacts(
        name=found["name"],
        arguments=found.get("arguments") or {},
        members=tuple(found.get("members") or ()),
        online=tuple(found.get("online") or ()),
        leader=found.get("leader"),
        ready=found.get("messages_ready"),
        unacked=found.get("messages_unacknowledged"),
        policy=found.get("effective_policy_definition") or {},
    )


def _node(found: Mapping[str, Any]) -> NodeFacts:
    return NodeFacts(
        name=found["name"],
        running=bool(found.get("running")),
        memory_alarm=bool(found.get("mem_alarm")),
        disk_alarm=bool(found.get("disk_free_alarm")),
        disk_free=_bytes(found.get("disk_free")),
        disk_limit=_bytes(found.get("disk_free_limit")),
        partitioned=bool(found.get("partitions")),
    )


def _bytes(value: object) -> int:
    # RabbitMQ says "disk_free_monitoring_disabled" where it does not look.
    return value if isinstance(value, int) else 0
