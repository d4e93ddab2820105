"""The report of a rehydrate run: what was found, in numbers, and the exit code. Pure."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from app.ledger.records import RehydrationRecord
from app.names import TaskKey
from app.task_queue.rehydrations import shown

State = Literal["running", "complete", "partial", "failed"]

COMPLETE: Final = 0
RESTORED: Final = 10
PARTIAL: Final = 20
REFUSED: Final = 30

OUTCOMES: Final = ("restored", "present", "finished", "cancelled", "expired", "quarantined")


@dataclass(frozen=True, slots=True)
class Report:
    """One run. ``total`` is an estimate while it is running; times in ms.

    ``problems`` are the sentences that tell why it is partial.
    """

    id: str
    state: State
    started_at_ms: int
    dry_run: bool = False
    queue: str | None = None
    tenant: str | None = None
    since_ms: int | None = None
    task_ids: tuple[str, ...] = ()
    rate: float | None = None
    total: int = 0
    restored: int = 0
    present: int = 0
    finished: int = 0
    cancelled: int = 0
    expired: int = 0
    quarantined: int = 0
    finished_at_ms: int | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def seen(self) -> int:
        """Copies looked at to the end."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Copies by outcome."""
        return {name: getattr(self, name) for name in OUTCOMES}

    def counted(self, tallies: Iterable["Tally"], total: int) -> "Report":
        """With the numbers of now."""
        sums: Counter[str] = Counter()
        for tally in tallies:
            sums.update(tally.counts())
        report = replace(
            self,
            restored=sums["restored"],
            present=sums["present"],
            finished=sums["finished"],
            cancelled=sums["cancelled"],
            expired=sums["expired"],
            quarantined=sums["quarantined"],
        )
        return replace(report, total=max(total, report.seen))

    def ended(self, finished_at_ms: int, problems: tuple[str, ...]) -> "Report":
        """Over: complete where nothing stood in the way."""
        state: State = "partial" if problems else "complete"
        total = self.total if problems else self.seen
        return replace(
            self, state=state, finished_at_ms=finished_at_ms, problems=problems, total=total
        )

    def document(self) -> dict[str, Any]:
        """As the API shows it too."""
        return shown(self.record(self.started_at_ms))

    def record(self, updated_at_ms: int) -> RehydrationRecord:
        """As the ledger keeps it."""
        return RehydrationRecord(
            id=self.id,
            state=self.state,
            started_at_ms=self.started_at_ms,
            finished_at_ms=self.finished_at_ms,
            dry_run=self.dry_run,
            queue=self.queue,
            tenant=self.tenant,
            counts={"seen": self.seen, "total": self.total, **self.counts()},
            since_ms=self.since_ms,
            task_ids=list(self.task_ids),
            rate=self.rate,
            problems=list(self.problems),
            updated_at_ms=updated_at_ms,
        )


def exit_code(report: Report, *, detailed: bool) -> int:
    """0 all accounted for, 20 partial; ``detailed``: 10 where something was restored.

    Of a dry run 10 means that something would be.
    """
    if report.state != "complete":
        return PARTIAL
    return RESTORED if detailed and report.restored else COMPLETE


class Tally:
    """What became of the copies of one queue, over all passes.

    A pass begins with each opening of the source. What has left the queue is counted for good;
    what stays in it comes again in the next pass, and a task restored in an earlier one is not
    called present then. ``dry``: nothing leaves and nothing is restored, so each pass counts anew,
    and a second copy of a task comes as the first did.
    """

    def __init__(self, *, dry: bool = False) -> None:
        self._dry = dry
        self._left: Counter[str] = Counter()
        # Hashes of the tasks' names: eight bytes each, where a million names would take 200 MB.
        self._restored = array("q")
        self._earlier: set[int] = set()
        self._again: set[int] = set()
        self._present = 0

    def begin_pass(self) -> None:
        """Everything that is in the queue comes anew."""
        self._present = 0
        if self._dry:
            self._left.clear()
            self._restored = array("q")
        self._earlier = set(self._restored)
        self._again = set(self._earlier)

    def note(self, keys: Sequence[TaskKey], outcome: str) -> None:
        """Copies of these tasks were looked at to the end."""
        if outcome == "restored":
            self._note_restored([hash(key) for key in keys])
        elif outcome == "present":
            for key in keys:
                if hash(key) in self._again:
                    self._again.discard(hash(key))
                else:
                    self._present += 1
        else:
            self._left[outcome] += len(keys)

    def _note_restored(self, numbers: Sequence[int]) -> None:
        if not (self._dry or self._earlier):
            self._restored.extend(numbers)
            return
        for number in numbers:
            if number not in self._earlier:
                self._restored.append(number)
            elif self._dry:
                self._present += 1
            self._again.discard(number)
            if self._dry:
                self._earlier.add(number)

    def counts(self) -> Mapping[str, int]:
        """Copies by outcome."""
        return {**self._left, "restored": len(self._restored), "present": self._present}
