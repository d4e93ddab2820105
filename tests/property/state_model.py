"""What Redis should hold, step by step: the documented verdicts of the scripts, in Python."""

from dataclasses import dataclass, field

from app.state import TaskState

S = TaskState
ATTEMPTS_MAX = 3


@dataclass
class Hash:
    """A task's hashed; ``jid_gen`` is the generation its journal id was given in."""

    state: str
    run: int
    digest: str
    lane: int
    place: str
    attempt: int = 0
    entry: str | None = None
    mirrored: bool = False
    suspect: bool = False
    cancel: bool = False
    fresh: bool = False
    jid: str | None = None
    jid_gen: str = ""
    refreshing: bool = False
    nonce: str = ""


@dataclass
class ReadyEntry:
    task_id: str
    run: int
    lane: int
    fresh: bool
    generation: str
    owner: str | None = None


@dataclass
class Redis:
    """The model's Redis: what a checkpoint copies and a failover brings back."""

    hashes: dict = field(default_factory=dict)
    entries: dict = field(default_factory=dict)
    delayed: dict = field(default_factory=dict)  # task id -> whether it is due
    journal: list = field(default_factory=list)  # (journal id, task id)

    def placed(self, task_id):
        hashed = self.hashes[task_id]
        if hashed.place == "delayed":
            return task_id in self.delayed
        return hashed.entry in self.entries

    def standing(self, task_id):
        hashed = self.hashes.get(task_id)
        if hashed is None:
            return "absent"
        if hashed.place == "":
            return "settled"
        return "present" if self.placed(task_id) else "displaced"

    def is_first(self, hashed, token):
        return hashed.fresh and hashed.jid_gen == token and hashed.attempt == 0

    def settle(self, task_id, run, state, entry_id=None):
        if entry_id:
            self.entries.pop(entry_id, None)
        hashed = self.hashes.get(task_id)
        if hashed is None or hashed.run > run or hashed.place == "":
            return
        self.unplace(task_id)
        hashed.state, hashed.run, hashed.place, hashed.entry = state, run, "", None
        hashed.suspect = hashed.cancel = False
        hashed.nonce = ""

    def unplace(self, task_id):
        hashed = self.hashes[task_id]
        if hashed.place == "ready":
            self.entries.pop(hashed.entry, None)
        else:
            self.delayed.pop(task_id, None)

    def start(self, entry_id, consumer, wish, due_far):  # noqa: PLR0911 - one for each verdict
        """(verdict, attempt, suspect) and what it does."""
        entry = self.entries.get(entry_id)
        if entry is None or entry.owner != consumer:
            return "gone", 0, False
        hashed = self.hashes.get(entry.task_id)
        if hashed and (hashed.place, hashed.entry, hashed.run) != ("ready", entry_id, entry.run):
            del self.entries[entry_id]
            return "gone", 0, False
        suspect = hashed is None or hashed.suspect
        known = hashed.attempt if hashed else 0
        attempt = max(known, wish.ledger_attempt)
        if hashed and hashed.cancel:
            return "cancel", attempt, suspect
        if suspect and not wish.asked:
            return "ask", attempt, suspect
        if hashed and hashed.nonce == wish.nonce and hashed.state == S.RUNNING:
            return "run", attempt, suspect
        if attempt >= wish.attempts_max:
            return "exhausted", attempt, suspect
        if hashed is None:
            hashed = self.hashes[entry.task_id] = Hash(
                "", entry.run, wish.request_digest, entry.lane, "ready", entry=entry_id
            )
            hashed.suspect = True
        if due_far and wish.ledger_attempt >= known:
            self._delay(entry.task_id, attempt)
            return "later", attempt, suspect
        hashed.state, hashed.attempt, hashed.nonce = S.RUNNING, attempt + 1, wish.nonce
        return "run", attempt + 1, suspect

    def _delay(self, task_id, attempt):
        hashed = self.hashes[task_id]
        del self.entries[hashed.entry]
        self.delayed[task_id] = False
        hashed.state, hashed.place, hashed.entry, hashed.attempt = (
            S.RETRYING,
            "delayed",
            None,
            attempt,
        )

    def put_off(self, entry_id, consumer, run, attempt):
        entry = self.entries.get(entry_id)
        hashed = self.hashes.get(entry.task_id) if entry else None
        if entry is None or entry.owner != consumer or hashed is None:
            return "gone"
        if (hashed.entry, hashed.run, hashed.attempt, hashed.state) != (
            entry_id,
            run,
            attempt,
            S.RUNNING,
        ):
            return "gone"
        if hashed.cancel:
            return "cancel"
        self._delay(entry.task_id, attempt)
        hashed.nonce = ""
        return "ok"

    def give_back(self, entry_id, consumer, token, *, started):
        """(whether given back, the (task id, run, fresh) of its new entry or None)."""
        entry = self.entries.get(entry_id)
        if entry is None or entry.owner != consumer:
            return False, None
        del self.entries[entry_id]
        hashed = self.hashes.get(entry.task_id)
        if hashed is None:
            return True, (entry.task_id, entry.run, False)
        if (hashed.entry, hashed.run) != (entry_id, entry.run):
            return False, None
        fresh = not started and self.is_first(hashed, token)
        hashed.state, hashed.fresh, hashed.nonce = S.QUEUED, fresh, ""
        hashed.attempt -= int(started)
        return True, (entry.task_id, entry.run, fresh)

    def promote(self, task_id, token):
        """(answer, the new entry or None)."""
        if not self.delayed.get(task_id):
            return 0, None
        del self.delayed[task_id]
        hashed = self.hashes.get(task_id)
        if hashed is None or hashed.place != "delayed":
            return -1, None
        hashed.state, hashed.place = S.QUEUED, "ready"
        return 1, (task_id, hashed.run, self.is_first(hashed, token))

    def restore(self, envelope, lane, attempts_ended, due_far):
        """(answer, the new entry or None)."""
        task_id, hashed = envelope.task_id, self.hashes.get(envelope.task_id)
        attempt, cancel = attempts_ended, False
        if hashed:
            if hashed.digest != envelope.request_digest:
                return "conflict", None
            if hashed.run > envelope.run:
                return ("present" if hashed.place else "settled"), None
            if hashed.run == envelope.run:
                if hashed.place == "":
                    return "settled", None
                if self.placed(task_id):
                    return "present", None
                attempt, cancel = max(attempt, hashed.attempt), hashed.cancel
            if hashed.place == "ready":
                self.entries.pop(hashed.entry, None)
            self.delayed.pop(task_id, None)
        new = Hash(S.QUEUED, envelope.run, envelope.request_digest, lane, "ready")
        new.attempt, new.cancel, new.suspect, new.mirrored = attempt, cancel, True, True
        self.hashes[task_id] = new
        if due_far:
            new.state, new.place = (S.RETRYING if attempt else S.SCHEDULED), "delayed"
            self.delayed[task_id] = False
            return "restored", None
        return "restored", (task_id, envelope.run, False)

    def redrive(self, envelope, lane):
        """The answer, and the new entry or None."""
        task_id, hashed = envelope.task_id, self.hashes.get(envelope.task_id)
        attempt, cancel = 0, False
        if hashed:
            if hashed.digest != envelope.request_digest:
                return "conflict", None
            here = hashed.place == "" or self.placed(task_id)
            if hashed.run > envelope.run or (hashed.run == envelope.run and here):
                return "duplicate", None
            if hashed.run == envelope.run:
                attempt, cancel = hashed.attempt, hashed.cancel
            if hashed.place == "ready":
                self.entries.pop(hashed.entry, None)
        self.delayed.pop(task_id, None)
        new = Hash(S.QUEUED, envelope.run, envelope.request_digest, lane, "ready")
        new.attempt, new.cancel = attempt, cancel
        self.hashes[task_id] = new
        return "created", (task_id, envelope.run, False)

    def refreshes(self, copy, token):
        """The journal id to wait for, None where not open here, ``new`` where one is made."""
        hashed = self.hashes.get(copy.envelope.task_id)
        if hashed is None or hashed.run != copy.envelope.run or hashed.place == "":
            return None
        here = hashed.jid_gen == token
        own = copy.generation == token and hashed.jid == copy.journal_id
        unconfirmed = not hashed.mirrored or hashed.refreshing
        lost = unconfirmed and all(hashed.jid != each[0] for each in self.journal)
        if hashed.jid and here and not own and not lost:
            return hashed.jid
        if hashed.place == "ready" and hashed.entry not in self.entries:
            return None
        return "new"


@dataclass
class Record:
    """A task in the model's ledger."""

    digest: str
    finished_run: int = 0
    finished_state: str = ""
    open: tuple | None = None  # (run, attempt, phase, whether due far ahead)


class Ledger:
    """Finished runs, once each, and the open part of the others."""

    def __init__(self):
        self.records = {}

    def is_finished(self, task_id, run, digest):
        record = self.records.get(task_id)
        return bool(record) and record.digest == digest and record.finished_run >= run

    def is_anothers(self, task_id, digest):
        record = self.records.get(task_id)
        return bool(record) and record.digest != digest

    def finish(self, task_id, run, digest, state):
        record = self.records.setdefault(task_id, Record(digest))
        if record.digest == digest and record.finished_run < run:
            record.finished_run, record.finished_state = run, state
            if record.open and record.open[0] <= run:
                record.open = None

    def note(self, task_id, run, digest, attempt, phase, *, due_far=False):
        """Whether the open part was taken: never behind what is recorded."""
        record = self.records.setdefault(task_id, Record(digest))
        if record.digest != digest or record.finished_run >= run:
            return False
        rank = (run, attempt, phase == "failed")
        if record.open and (record.open[0], record.open[1], record.open[2] == "failed") >= rank:
            return False
        record.open = (run, attempt, phase, due_far)
        return True

    def open_of(self, task_id, run):
        """(attempts, whether the due time is far ahead) of an unfinished run."""
        record = self.records.get(task_id)
        if record is None or record.open is None or record.open[0] != run:
            return 0, False
        _, attempt, _, due_far = record.open
        return attempt, due_far
