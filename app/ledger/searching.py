"""Searching the records of either store, page by page.

Where not every record is wanted a search looks at so many and no more: it must end in time, however
many there are, and in SQLite nobody else is served meanwhile.
"""

import sqlite3

from app.ledger import documents, rows, searches, selects
from app.ledger.bulk import Documents
from app.ledger.paging import LOOKED_AT, bounded, page_of, unfiltered
from app.ledger.records import Page, RecordQuery


async def search_documents(
    records: Documents,
    query: RecordQuery,
    *,
    include_redriven: bool,
    most_ms: int,
    most: int = LOOKED_AT,
) -> Page:
    """One find along an index, one document further than asked for.

    ``most_ms``: what the server ends by itself; it does not see that a client gives up.

    Raises:
        InvalidTask: the cursor is none of this list.
    """
    end_ms = None
    if query.is_filtered:
        looked = searches.matching(unfiltered(query), include_redriven=include_redriven)
        times = records.find(looked, searches.TIME_ALONE).sort(searches.NEWEST_FIRST)
        for each in await times.skip(most).limit(1).max_time_ms(most_ms).to_list(None):
            end_ms = each["finished"]["at"]
    wanted = searches.matching(bounded(query, end_ms), include_redriven=include_redriven)
    found = records.find(wanted).sort(searches.NEWEST_FIRST).limit(query.limit + 1)
    items = [
        documents.record(documents.key(each), each)
        for each in await found.max_time_ms(most_ms).to_list(None)
    ]
    return page_of(items, query.limit, end_ms)


def search_rows(
    db: sqlite3.Connection,
    query: RecordQuery,
    *,
    include_redriven: bool,
    most: int = LOOKED_AT,
) -> Page:
    """One select along an index, one row further than asked for.

    Raises:
        InvalidTask: the cursor is none of this list.
    """
    end_ms = None
    if query.is_filtered:
        statement, variables = selects.select_end(
            unfiltered(query), include_redriven=include_redriven, rows_max=most
        )
        for row in db.execute(statement, variables):
            end_ms = row["finished_at"]
    statement, variables = selects.select(
        bounded(query, end_ms), include_redriven=include_redriven, rows_max=query.limit + 1
    )
    found = [rows.record(rows.key(row), row) for row in db.execute(statement, variables)]
    return page_of(found, query.limit, end_ms)
