"""The work of a drill: webhook events to deliver, some slow, late or failing. Pure."""

import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

QUEUE: Final = "drill"
SLOW_SHARE, LATE_SHARE, FAILING_SHARE = 0.10, 0.08, 0.08
SLOW_MS: Final = 400
LATE_MS: Final = (2_000, 9_000)
RETRY: Final = {"maxAttempts": 8, "baseDelayMs": 2_000, "maxDelayMs": 5_000}


@cache
def _events() -> tuple[bytes, ...]:
    return tuple((files("app.drill") / "events.jsonl").read_bytes().splitlines())


def tasks(count: int, seed: int, receiver: str) -> Iterator[dict[str, Any]]:
    """``count`` submit bodies; the same for the same seed.

    ``receiver`` is the URL the tasks are delivered to.
    """
    random_ = random.Random(seed)
    events = _events()
    for number in range(count):
        body: dict[str, Any] = {
            "taskId": f"drill-{seed}-{number:06d}",
            "queue": QUEUE,
            "type": "http.deliver",
            "context": {"channel": "outbox"},
            "retry": RETRY,
        }
        url = receiver
        draw = random_.random()
        if draw < SLOW_SHARE:
            url = f"{receiver}?slow_ms={SLOW_MS}"
        elif draw < SLOW_SHARE + LATE_SHARE:
            body["delayMs"] = random_.randint(*LATE_MS)
        elif draw < SLOW_SHARE + LATE_SHARE + FAILING_SHARE:
            url = f"{receiver}?fail={random_.randint(1, 2)}"
        body["payload"] = {"url": url, "json": orjson.loads(events[number % len(events)])}
        yield body
