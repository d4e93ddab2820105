"""A search of finished records as SQL. Pure.

One ordered select for each state, merged: SQLite walks the index of each and sorts nothing.
"""

from typing import Any

from app.ledger.paging import place_of
from app.ledger.records import RecordQuery
from app.state import PARKED

ONLY_PARKED = "finished_state IN ('dead', 'suspended')"
"""Word for word the condition of the partial index, or SQLite does not use it."""
PARKED_COUNTS = (
    "SELECT finished_state AS state, count(*) AS n FROM records WHERE tenant = ? AND queue = ?"
    " AND finished_state IN ('dead', 'suspended') AND redriven = 0 GROUP BY finished_state"
)


def select(query: RecordQuery, *, include_redriven: bool, rows_max: int) -> tuple[str, list[Any]]:
    """The statement and its variables.

    Raises:
        InvalidTask: no cursor of ours.
    """
    merged, variables = _merged("*", query, include_redriven=include_redriven)
    return f"{merged} ORDER BY finished_at DESC, id DESC LIMIT ?", [*variables, rows_max]


def select_end(
    query: RecordQuery, *, include_redriven: bool, rows_max: int
) -> tuple[str, list[Any]]:
    """When the task of the row behind the first ``rows_max`` ended.

    Raises:
        InvalidTask: no cursor of ours.
    """
    merged, variables = _merged("finished_at", query, include_redriven=include_redriven)
    return f"{merged} ORDER BY finished_at DESC LIMIT 1 OFFSET ?", [*variables, rows_max]


def _merged(columns: str, query: RecordQuery, *, include_redriven: bool) -> tuple[str, list[Any]]:
    terms, values = _terms(query)
    arms: list[str] = []
    variables: list[Any] = []
    for state in query.wanted_states:
        parked = [ONLY_PARKED] if state in PARKED else []
        for redriven in (0, 1) if include_redriven else (0,):
            conditions = " AND ".join([*terms, "finished_state = ?", "redriven = ?", *parked])
            arms.append(f"SELECT {columns} FROM records WHERE {conditions}")  # noqa: S608 - names of ours alone
            variables += [*values, state, redriven]
    return " UNION ALL ".join(arms), variables


def _terms(query: RecordQuery) -> tuple[list[str], list[Any]]:
    wanted = {
        "tenant = ?": query.tenant,
        "queue = ?": query.queue,
        "type = ?": query.type,
        "json_extract(error, '$.type') = ?": query.error,
        "channel = ?": query.channel,
        "user = ?": query.user,
        "chat_id = ?": query.chat_id,
        "finished_at >= ?": query.since_ms,
        "finished_at < ?": query.until_ms,
    }
    given = {term: value for term, value in wanted.items() if value is not None}
    after = place_of(query.cursor)
    terms, values = [*given], [*given.values()]
    return ([*terms, "(finished_at, id) < (?, ?)"], [*values, *after]) if after else (terms, values)
