"""Which entries must be asked about, and what the answer means (rules 2, 4, 7, 10). Pure."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from app.broker.delivery import Entry
from app.envelope import Envelope
from app.ledger.records import AttemptRecord, OpenPart, Standing
from app.state import TaskState


class Verdict(StrEnum):
    """What an ask brought about one entry."""

    RUN = "run"
    FINISHED = "finished"
    """This run, or a later one, is recorded as over: it must not run again."""
    CONFLICT = "conflict"
    """Another request is recorded under this id."""


def needs_ask(entry: Entry, token: str) -> bool:
    """Rule 7: all but the first delivery of a run 1 with a fresh id, made in this generation.

    Whether the hash is there and without a suspect mark, ``start.lua`` says: it answers ``ask``.
    """
    return entry.reclaimed or not entry.fresh or entry.run != 1 or entry.generation != token


def is_suspect(entry: Entry, token: str, *, marked: bool) -> bool:
    """Rule 4: whether an open record must be written before this entry runs.

    ``marked``: ``start.lua`` found the suspect mark, or no hash.
    """
    return marked or entry.reclaimed or entry.generation != token


def judge(envelope: Envelope, standing: Standing | None) -> Verdict:
    """What the ledger says of this entry."""
    if standing is None:
        return Verdict.RUN
    if standing.request_digest != envelope.request_digest:
        return Verdict.CONFLICT
    if standing.is_finished(envelope.run):
        return Verdict.FINISHED
    return Verdict.RUN


def open_part(envelope: Envelope, standing: Standing | None) -> OpenPart | None:
    """How far this very run got, by the ledger."""
    return standing.open_of(envelope.run) if standing is not None else None


def losses(
    part: OpenPart | None,
    seen: AttemptRecord | None,
    run: int,
    living: Collection[str],
    now_ms: int,
) -> tuple[int, AttemptRecord | None]:
    """How many attempts of a run ended with their worker lost, and the latest if not recorded yet.

    ``part`` is the run's open part before this claim's own, ``seen`` what Redis shows of an attempt
    whose worker went silent. One of a worker in ``living`` is lost but did not cost its worker.
    """
    count, latest = _losses(part, seen, run, now_ms)
    return count - (latest is not None and latest.worker in living), latest


def was_lost_with_redis(envelope: Envelope, standing: Standing | None) -> bool:
    """Whether an attempt began of which only the ledger knows: its worker may live on."""
    part = open_part(envelope, standing)
    return part is not None and part.phase == "started"


def _losses(
    part: OpenPart | None, seen: AttemptRecord | None, run: int, now_ms: int
) -> tuple[int, AttemptRecord | None]:
    if part is None:
        return int(seen is not None), seen
    if part.phase == "failed":
        # One that is recorded as failed has its outcome, whatever became of its worker after that.
        new = seen if seen is not None and seen.attempt > part.attempt else None
        return part.lost + (new is not None), new
    if seen is not None and seen.attempt >= part.attempt:
        # One more that started and left no word, if it is not the same one.
        return part.lost + 1 + (seen.attempt > part.attempt), seen
    # The worker was lost, or Redis with whatever the worker had to say.
    latest = AttemptRecord(
        run=run,
        attempt=part.attempt,
        worker=worker_of(part.by),
        started_at=part.due_ms,
        finished_at=max(part.due_ms, now_ms),
        outcome="lost",
    )
    return part.lost + 1, latest


def nonce_of(worker: str, number: int) -> str:
    """A nonce that tells whose it is."""
    return f"{worker}#{number}"


def worker_of(nonce: str) -> str:
    """The worker that made a nonce, '' where it does not tell."""
    return nonce.rpartition("#")[0]


def lost_attempt(
    fields: Mapping[str, str], entry: Entry, nonce: str, now_ms: int
) -> AttemptRecord | None:
    """The attempt that a task's hash shows as running although its worker went silent, if any.

    ``fields`` is the hash before this claim's start, ``now_ms`` when it was taken over.
    """
    running = fields.get("state") == TaskState.RUNNING and fields.get("nonce") != nonce
    if not running or fields.get("entry") != entry.entry_id or "started" not in fields:
        return None
    started_at = int(fields["started"])
    return AttemptRecord(
        run=entry.run,
        attempt=int(fields["attempt"]),
        worker=fields.get("worker", ""),
        started_at=started_at,
        finished_at=max(started_at, now_ms),
        outcome="lost",
    )
