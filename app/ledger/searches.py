"""A search of finished records as MongoDB reads it, and the indexes that carry it. Pure.

Every member before the order's own is a point or a short list of points: MongoDB then merges one
ordered scan for each instead of sorting what it found.
"""

from typing import Any

from app.ledger.paging import Place, place_of
from app.ledger.records import RecordQuery
from app.state import PARKED

NEWEST_FIRST = [("finished.at", -1), ("_id", -1)]
TIME_ALONE = {"finished.at": 1, "_id": 0}
"""What the indexes have: no document is read for it."""
BY_OUTCOME = [
    ("tenant", 1),
    ("queue", 1),
    ("finished.state", 1),
    ("redriven", 1),
    ("finished.at", 1),
    ("_id", 1),
]
BY_PARKED = [each for each in BY_OUTCOME if each[0] != "queue"]
"""Over all queues of a tenant; of parked records alone, so that no success pays for it."""
ONLY_PARKED = {"finished.state": {"$in": sorted(PARKED)}}


def matching(query: RecordQuery, *, include_redriven: bool) -> dict[str, Any]:
    """The filter of a search.

    Raises:
        InvalidTask: no cursor of ours.
    """
    wanted: dict[str, Any] = {
        "tenant": query.tenant,
        "queue": query.queue,
        "about.type": query.type,
        "finished.error.type": query.error,
        "about.channel": query.channel,
        "about.user": query.user,
        "about.chatId": query.chat_id,
    }
    after = place_of(query.cursor)
    return {
        **{name: {"$eq": value} for name, value in wanted.items() if value is not None},
        "finished.state": {"$in": query.wanted_states},
        "redriven": {"$in": [False, True]} if include_redriven else False,
        **_times(query, after),
        **({"$or": beyond("finished.at", after)} if after else {}),
    }


def _times(query: RecordQuery, after: Place | None) -> dict[str, Any]:
    # The cursor's time once more: only so does the scan begin there.
    bounds = {
        "$gte": query.since_ms,
        "$lt": query.until_ms,
        "$lte": after.at_ms if after else None,
    }
    given = {name: value for name, value in bounds.items() if value is not None}
    return {"finished.at": given} if given else {}


def beyond(time: str, after: Place) -> list[dict[str, Any]]:
    """Alternatives: behind a place in what is listed newest first by the member ``time``."""
    return [{time: {"$lt": after.at_ms}}, {time: after.at_ms, "_id": {"$lt": after.id}}]
