"""Records as SQLite rows: the two conditional writes and the way back."""

import sqlite3

import orjson

from app.ledger.records import (
    HISTORY_MAX,
    About,
    AttemptRecord,
    ErrorInfo,
    Finish,
    FinishedPart,
    FinishResult,
    LedgerRecord,
    OpenPart,
    OpenWrite,
    Standing,
    attempt_document,
    attempt_from,
    error_document,
    finish_verdict,
    open_verdict,
)
from app.names import TaskKey


def finish(db: sqlite3.Connection, write: Finish) -> FinishResult:
    """Record one outcome unless this run or a later one has one."""
    verdict = finish_verdict(_standing_of(db, write.key), write)
    if verdict is not None:
        return verdict
    row, finished = _row(db, write.key, write.request_digest), write.finished
    about = write.about
    db.execute(
        "UPDATE records SET request_digest = ?, envelope = ?, type = ?, channel = ?, user = ?,"
        " chat_id = ?, accepted_at = ?, finished_run = ?, finished_state = ?,"
        " finished_at = ?, finished_by = ?, finished_attempt = ?, result = ?, error = ?,"
        " redriven = 0, attempts = ?, open_run = CASE WHEN open_run > ? THEN open_run ELSE 0 END"
        " WHERE id = ?",
        (
            write.request_digest,
            write.envelope,
            about.type,
            about.channel,
            about.user,
            about.chat_id,
            about.accepted_at_ms,
            finished.run,
            finished.state,
            finished.at_ms,
            finished.by,
            finished.attempt,
            finished.result,
            _error(finished.error),
            _history(row["attempts"], write.attempt),
            finished.run,
            write.key.full,
        ),
    )
    return FinishResult(True, finished.run, finished.state)


def record_open(db: sqlite3.Connection, write: OpenWrite) -> bool:
    """Record how far a run got, if rule 4 lets it."""
    verdict = open_verdict(_standing_of(db, write.key), write)
    if verdict is not None:
        return verdict
    row, part = _row(db, write.key, write.request_digest), write.part
    db.execute(
        "UPDATE records SET open_run = ?, open_attempt = ?, open_phase = ?, open_due = ?,"
        " open_lost = ?, open_by = ?, attempts = ? WHERE id = ?",
        (
            part.run,
            part.attempt,
            part.phase,
            part.due_ms,
            part.lost,
            part.by,
            _history(row["attempts"], write.attempt),
            write.key.full,
        ),
    )
    return True


def note_redriven(db: sqlite3.Connection, key: TaskKey, run: int) -> None:
    """Note that ``run`` is open, beside the outcome of a lower one."""
    db.execute(
        "UPDATE records SET redriven = 1 WHERE id = ? AND finished_run BETWEEN 1 AND ?",
        (key.full, run - 1),
    )


def standing(row: sqlite3.Row) -> Standing:
    """What an ask needs of a row."""
    return Standing(
        request_digest=row["request_digest"],
        finished_run=row["finished_run"],
        finished_state=row["finished_state"],
        finished_by=row["finished_by"],
        open=_open(row),
    )


def key(row: sqlite3.Row) -> TaskKey:
    """Whose row it is."""
    return TaskKey(*row["id"].split("/", 2))


def record(key: TaskKey, row: sqlite3.Row) -> LedgerRecord:
    """Everything in a row."""
    return LedgerRecord(
        key=key,
        request_digest=row["request_digest"],
        envelope=row["envelope"],
        finished=_finished(row),
        open=_open(row),
        attempts=tuple(attempt_from(each) for each in orjson.loads(row["attempts"])),
        about=_about(row),
        redriven=bool(row["redriven"]),
    )


def _standing_of(db: sqlite3.Connection, key: TaskKey) -> Standing | None:
    row = db.execute("SELECT * FROM records WHERE id = ?", (key.full,)).fetchone()
    return standing(row) if row else None


def _row(db: sqlite3.Connection, key: TaskKey, digest: str) -> sqlite3.Row:
    db.execute(
        "INSERT INTO records (id, tenant, queue, request_digest) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (key.full, key.tenant, key.queue, digest),
    )
    row: sqlite3.Row = db.execute("SELECT * FROM records WHERE id = ?", (key.full,)).fetchone()
    return row


def _error(error: ErrorInfo | None) -> str | None:
    return orjson.dumps(error_document(error)).decode() if error else None


def _history(attempts: str, new: AttemptRecord | None) -> str:
    if new is None:
        return attempts
    history = [*orjson.loads(attempts), attempt_document(new)][-HISTORY_MAX:]
    return orjson.dumps(history).decode()


def _open(row: sqlite3.Row) -> OpenPart | None:
    if not row["open_run"]:
        return None
    return OpenPart(
        run=row["open_run"],
        attempt=row["open_attempt"],
        phase=row["open_phase"],
        due_ms=row["open_due"],
        lost=row["open_lost"],
        by=row["open_by"],
    )


def _about(row: sqlite3.Row) -> About | None:
    if not row["type"]:
        return None
    return About(
        type=row["type"],
        channel=row["channel"],
        user=row["user"],
        chat_id=row["chat_id"],
        accepted_at_ms=row["accepted_at"],
    )


def _finished(row: sqlite3.Row) -> FinishedPart | None:
    if not row["finished_run"]:
        return None
    return FinishedPart(
        run=row["finished_run"],
        state=row["finished_state"],
        at_ms=row["finished_at"],
        by=row["finished_by"],
        attempt=row["finished_attempt"],
        result=row["result"],
        error=ErrorInfo(**orjson.loads(row["error"])) if row["error"] else None,
    )
