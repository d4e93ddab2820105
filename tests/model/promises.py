"""What must hold after every step, kept beside the fakes and never shown to the code under test.

P1  what was answered ``mirrored`` is finished, or has a copy, or is before a person
P2  a run is not executed that the ledger had as finished when its worker asked (where it recorded
    the start: when it did; where it need not ask: when it started); an outcome is recorded once
P3  an attempt that the ledger has as failed is not made again, nor the next one before it is due
P4  a copy is acked only if the ledger has its run as finished, or another copy is there; an entry
    leaves the journal only if its copy is there
"""

from app.envelope import decode

FAILED = ("failed", "timeout")


class Broken(AssertionError):
    """A promise is broken."""


class Promises:
    """``world`` is looked at, never changed."""

    def __init__(self, world):
        self.world = world
        self.kept = {}  # (key, request digest) -> run
        self.aside = set()  # (key, request digest) before a person
        self.outcomes = {}  # (key, run) -> (state, when)
        self.failed = {}  # (key, run) -> (attempt, due ms, when)
        self.cancelled = set()
        self.asks = {}  # (who, key) -> when, each
        self.starts = {}
        self.claims = {}
        self.recorded_at = {}  # by nonce: when an attempt was recorded as started
        self.executed = []
        self.broken = None
        self._now = 0

    def _break(self, what):
        """Noted, not raised: the code under test must not get to see it."""
        self.broken = self.broken or Broken(what)

    def tick(self):
        self._now += 1
        return self._now

    # --- what happened

    def accepted(self, key, digest, run=1):
        self.kept[key, digest] = max(run, self.kept.get((key, digest), 0))

    def redriven(self, key, run):
        standing = self.world.ledger.standings.get(key)
        if standing is not None:
            self.accepted(key, standing.request_digest, run)

    def put_aside(self, record):
        envelope = decode(record.body)
        self.aside.add((envelope.key, envelope.request_digest))

    def recorded(self, write):
        key, done = write.key, write.finished
        for (other, run), (state, _) in self.outcomes.items():
            if other == key and run >= done.run:
                self._break(f"P2: {key.full} run {done.run} ended again, was {run} {state}")
        self.outcomes[key, done.run] = (str(done.state), self.tick())

    def opened(self, write):
        attempt = write.attempt
        if write.part.phase == "started":
            self.recorded_at[write.part.by] = self.tick()
        if attempt is not None and attempt.outcome in FAILED:
            self.failed[write.key, write.part.run] = (
                attempt.attempt,
                write.part.due_ms,
                self.tick(),
            )

    def asked(self, who, keys):
        for key in keys:
            self.asks.setdefault((who, key), []).append(self.tick())

    def started(self, who, names):
        """A start script was run; ``names`` are its KEYS."""
        for name in names:
            if ":task:" in name:
                key = self.world.name.task(name.partition(":task:")[2])
                self.starts.setdefault((who, key), []).append(self.tick())

    def claimed(self, who, claim):
        self.claims[claim] = (who, self.tick())

    def launched(self, claim):
        """A handler is about to run."""
        key, run = claim.task_key, claim.envelope.run
        who, since = self.claims[claim]
        moments = (self.asks if claim.asked else self.starts).get((who, key), [])
        judged = next((each for each in moments if each > since), since)
        if claim.recorded is not None:
            judged = self.recorded_at.get(claim.nonce, judged)
        for (other, ended), (state, when) in self.outcomes.items():
            if other == key and ended >= run and when < judged:
                self._break(f"P2: {key.full} run {run} runs, and was {state}")
        self._must_be_next(claim, key, run, judged)
        self.executed.append((key, run, claim.attempt))

    def _must_be_next(self, claim, key, run, judged):
        if claim.attempt > claim.policy.max_attempts:
            self._break(f"P3: {key.full} has attempt {claim.attempt}")
        attempt, due_ms, when = self.failed.get((key, run), (0, 0, judged))
        if when >= judged:
            return
        if claim.attempt <= attempt:
            self._break(f"P3: attempt {claim.attempt} of {key.full} again; {attempt} has failed")
        if self.world.now_ms() < due_ms:
            self._break(f"P3: {key.full} runs {due_ms - self.world.now_ms()} ms early")

    def acked(self, message):
        copy = message.copy.envelope
        others = [each for each in self.world.broker.messages if each is not message]
        if not self._is_safe(copy.key, copy.run, copy.request_digest, others):
            self._break(f"P4: the copy of {copy.key.full} run {copy.run} is acked")

    def trimmed(self, entries):
        for fields in entries:
            envelope = decode(fields["envelope"])
            messages = self.world.broker.messages
            if not self._is_safe(envelope.key, envelope.run, envelope.request_digest, messages):
                self._break(f"P4: {envelope.key.full} leaves the journal without a copy")

    # --- what must hold

    def check(self):
        self._check_kept()
        if self.broken is not None:
            raise self.broken

    def _check_kept(self):
        messages = self.world.broker.messages
        for (key, digest), run in self.kept.items():
            if not self._is_safe(key, run, digest, messages):
                self._break(f"P1: {key.full} run {run} is mirrored and has no copy")
        for key, run in self.cancelled:
            if self.outcomes.get((key, run), ("",))[0] != "cancelled":
                self._break(f"{key.full} run {run} was said to be cancelled")

    def check_at_rest(self):
        """Every fault is over and everything was looked at again."""
        world = self.world
        for (key, digest), run in self.kept.items():
            if (key, digest) not in self.aside and not self._is_finished(key, run, digest):
                self._break(f"P1: {key.full} run {run} never ends")
        left = {
            "copies": world.broker.copies,
            "journal entries": world.stream_of("journal"),
            "entries": [each for lane in range(3) for each in world.stream_of(lane)],
            "delayed tasks": world.delayed(),
            "spooled outcomes": [each for disk in world.disks.values() for each in disk],
        }
        for what, found in left.items():
            if found:
                self._break(f"at rest there are {what}: {found}")
        self.check()

    def _is_safe(self, key, run, digest, messages):
        return (
            (key, digest) in self.aside
            or self._is_finished(key, run, digest)
            or any(
                m.copy is not None
                and m.copy.envelope.key == key
                and m.copy.envelope.request_digest == digest
                and m.copy.envelope.run >= run
                for m in messages
            )
        )

    def _is_finished(self, key, run, digest):
        standing = self.world.ledger.standings.get(key)
        return (
            standing is not None
            and standing.request_digest == digest
            and standing.finished_run >= run
        )
