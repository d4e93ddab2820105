"""Listing open tasks page by page: where a page ends and the next one goes on.

A page is what Redis held at that moment. Tasks move between pages: one may come twice, and one that
changed its state between two pages may come in neither.
"""

import re
from typing import Final

from app.broker.connection import RedisConnection
from app.broker.keys import QueueKeys
from app.cursors import no_cursor
from app.names import TASK_ID_PATTERN
from app.state import TaskState

LOOKED_AT: Final = 1_000

_READY = re.compile(r"([123]):(\d{1,20}-\d{1,20})")
_DELAYED = re.compile(rf"(\d{{1,16}}):({TASK_ID_PATTERN})")
_HANDED: Final = {TaskState.QUEUED: 0, TaskState.RUNNING: 1}
_TRIED: Final = {TaskState.SCHEDULED: 0, TaskState.RETRYING: 1}


async def list_open(
    redis: RedisConnection, keys: QueueKeys, token: str, state: TaskState, cursor: str, limit: int
) -> tuple[list[str], str]:
    """Ids of a queue's tasks in one open state and the next page's cursor ('' = the end).

    Raises:
        InvalidTask: not a cursor that such a list gave.
    """
    if state in _HANDED:
        lane, entry = _parsed(_READY, cursor) if cursor else ("1", "")
        ids, lane_after, entry_after = await redis.script(
            "list_ready",
            [keys.generation, *keys.lanes],
            [token, _HANDED[state], limit, lane, entry],
        )
        after = f"{lane_after}:{entry_after.decode()}" if lane_after else ""
    else:
        due, task_id = _parsed(_DELAYED, cursor) if cursor else ("", "")
        ids, due_after, id_after = await redis.script(
            "list_delayed",
            [keys.generation, keys.delayed, keys.retrying],
            [token, _TRIED[state], limit, LOOKED_AT, due, task_id],
        )
        after = f"{due_after.decode()}:{id_after.decode()}" if id_after else ""
    return [each.decode() for each in ids], after


def _parsed(pattern: re.Pattern[str], cursor: str) -> tuple[str, str]:
    match = pattern.fullmatch(cursor)
    if match is None:
        raise no_cursor()
    return match[1], match[2]
