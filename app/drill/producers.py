"""Producers: submit each task until its receipt holds what was asked, and keep their own book."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp
import orjson

from app.clock import now_ms
from app.drill.receiver import digest_of

PRODUCERS: Final = 16
ANSWER_WITHIN_S: Final = 10.0
REPEAT_AFTER_S: Final = 0.25
LEVELS: Final = ("fast", "fsync", "mirrored")


@dataclass(slots=True)
class Book:
    """What the producers know: nothing from inside Lifeboat."""

    submitted: dict[str, int] = field(default_factory=dict)
    """Task id -> ms of the first try."""
    digests: dict[str, str] = field(default_factory=dict)
    """Task id -> digest of the body that is to be delivered."""
    accepted: dict[str, int] = field(default_factory=dict)
    """Task id -> ms of the receipt that held what was asked."""
    last_word: dict[str, str] = field(default_factory=dict)
    """Task id -> accepted, refused or unknown."""
    answers: dict[str, int] = field(default_factory=dict)
    """How often each kind of answer came."""
    fallback: set[str] = field(default_factory=set)
    """Tasks whose receipt says that RabbitMQ took them for want of Redis."""
    possible: dict[str, int] = field(default_factory=dict)
    """Task id -> ms of the first try that was not firmly refused: only from then on may it run."""

    def count(self, word: str) -> int:
        """How many tasks were last answered so."""
        return sum(1 for each in self.last_word.values() if each == word)


@dataclass(frozen=True, slots=True)
class Answer:
    """``word``: accepted, refused or unknown. ``firm``: a no after which the task must not run."""

    word: str
    firm: bool = False


class Producers:
    """Submits over HTTP, a few at a time."""

    def __init__(self, api: str, durability: str, log: Path) -> None:
        self.book = Book()
        self._api = api
        self._durability = durability
        self._log = log
        self.on_degraded = "refuse"
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def use_api(self, url: str) -> None:
        """Submit there; call before ``run``."""
        self._api = url

    def give(self, bodies: Iterable[dict[str, Any]]) -> None:
        """Have these submitted next."""
        for body in bodies:
            self._waiting.put_nowait(body)

    async def run(self) -> None:
        """Submit what is given, each task until it is accepted; ends by being cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        connector = aiohttp.TCPConnector(limit=PRODUCERS)
        with self._log.open("a", encoding="utf-8") as log:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(PRODUCERS):
                    group.create_task(self._produce(session, log))

    async def _produce(self, session: aiohttp.ClientSession, log: TextIO) -> None:
        while True:
            await self._submit(session, log, await self._waiting.get())

    async def _submit(
        self, session: aiohttp.ClientSession, log: TextIO, body: dict[str, Any]
    ) -> None:
        book, task_id = self.book, body["taskId"]
        wanted = {"durability": self._durability, "onDegraded": self.on_degraded}
        book.submitted[task_id] = now_ms()
        book.digests[task_id] = digest_of(orjson.dumps(body["payload"]["json"]))
        while True:
            _note(log, task_id, "invoke")
            # Until an answer is seen nobody knows: a drill that ends here must say so.
            book.last_word[task_id] = "unknown"
            first = task_id not in book.possible
            book.possible.setdefault(task_id, now_ms())
            answer = await self._answer(session, body | wanted)
            _note(log, task_id, answer.word)
            book.last_word[task_id] = answer.word
            book.answers[answer.word] = book.answers.get(answer.word, 0) + 1
            if first and answer.firm:
                del book.possible[task_id]
            if answer.word == "accepted":
                book.accepted[task_id] = now_ms()
                return
            await asyncio.sleep(REPEAT_AFTER_S)

    async def _answer(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Answer:
        try:
            async with session.post(f"{self._api}/v1/tasks", json=body) as response:
                document = await response.json(content_type=None)
                answer = answer_of(response.status, document, self._durability)
                if answer.word == "accepted" and took_rabbitmq(document):
                    self.book.fallback.add(document["taskId"])
                return answer
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return Answer("unknown")


def answer_of(status: int, document: Mapping[str, Any], wanted: str) -> Answer:
    """What an answer of the API says of a task submitted at ``wanted``."""
    if status in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        reached = LEVELS.index(document["durability"]["reached"])
        return Answer("accepted" if reached >= LEVELS.index(wanted) else "refused")
    # A problem of the server's that names the task: it is kept, or nobody knows.
    perhaps = status >= HTTPStatus.INTERNAL_SERVER_ERROR and "taskId" in document
    return Answer("refused", firm=not perhaps and status != HTTPStatus.INTERNAL_SERVER_ERROR)


def took_rabbitmq(receipt: Mapping[str, Any]) -> bool:
    """Whether RabbitMQ took the task in Redis's place."""
    return bool(receipt["acceptedBy"] == "rabbitmq" and receipt["degraded"])


def _note(log: TextIO, task_id: str, word: str) -> None:
    line = orjson.dumps({"task": task_id, "op": word, "at": now_ms()}).decode()
    log.write(line + "\n")
