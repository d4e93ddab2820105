"""Mutants of the worker: what it asks, what it records, and in which order."""

from tests.mutants.mutant import Mutant

TESTS = "tests/integration/worker"
ASKED = f"{TESTS}/test_ledger_asked.py"
LEASES = f"{TESTS}/test_leases.py"
OUTCOMES = f"{TESTS}/test_outcomes.py"
SPOOL = f"{TESTS}/test_spool.py"
VERDICT = "tests/unit/app/worker/test_verdict.py"

MUTANTS = (
    Mutant(
        name="claims-outlive-their-generation",
        rule="1",
        file="app/worker/claim.py",
        old="            claim.lose()\n",
        new="            pass\n",
        tests=(f"{LEASES}::test_after_another_generation_claims_are_forgotten_and_work_goes_on",),
    ),
    Mutant(
        name="a-restored-task-runs-unrecorded",
        rule="4",
        file="app/worker/admission.py",
        old="                suspects.append(claim)\n",
        new="                ready.append(claim)\n",
        tests=(f"{ASKED}::test_a_restored_task_is_recorded_as_started_before_it_runs",),
    ),
    Mutant(
        name="what-was-started-late-runs-unasked",
        rule="5",
        file="app/worker/admission.py",
        old="claim.held_until_ms > now]",
        new="True]",
        tests=(f"{LEASES}::test_what_was_lost_while_its_start_was_awaited_does_not_run",),
    ),
    Mutant(
        name="whoever-was-beaten-runs-too",
        rule="4",
        file="app/worker/admission.py",
        old="            if won:\n",
        new="            if True:\n",
        tests=(f"{ASKED}::test_a_claim_is_dropped_when_somebody_else_started_the_run_meanwhile",),
    ),
    Mutant(
        name="a-retry-is-put-off-unrecorded",
        rule="4",
        file="app/worker/settler.py",
        old="in_force = await self._ledger.record_open([self._failed(each) for each in retries])",
        new="in_force = [True for _ in retries]",
        tests=(f"{OUTCOMES}::test_a_failed_task_is_tried_again_after_its_delay_and_succeeds",),
    ),
    Mutant(
        name="poison-runs-for-ever",
        rule="4",
        file="app/worker/claim.py",
        old="0 if self.is_poison else self.policy.max_attempts",
        new="self.policy.max_attempts",
        tests=(f"{TESTS}/test_poison.py::test_losses_are_counted_over_lost_redises",),
    ),
    Mutant(
        name="a-worker-without-its-lease-goes-on",
        rule="5",
        file="app/worker/heartbeat.py",
        old='            elif answer == "lost":\n                self._lost([claim])\n',
        new='            elif answer == "lost":\n                claim.held_until_ms = deadline_ms\n',
        tests=(f"{LEASES}::test_a_run_whose_lease_is_lost_is_stopped_and_writes_nothing",),
    ),
    Mutant(
        name="a-late-outcome-is-written-on-a-doubtful-lease",
        rule="5",
        file="app/worker/settler.py",
        old="        if doubtful:\n",
        new="        return batch, []\n        if doubtful:\n",
        tests=(f"{LEASES}::test_the_late_outcome_of_a_paused_worker_writes_nothing",),
    ),
    Mutant(
        name="nobody-asks-the-ledger",
        rule="7",
        file="app/worker/verdict.py",
        old="return entry.reclaimed or not entry.fresh or entry.run != 1 or entry.generation != token",
        new="return False",
        tests=(f"{ASKED}::test_a_repeat_after_redis_forgot_the_id_is_settled_unrun",),
    ),
    Mutant(
        name="reclaimed-entries-are-not-asked-about",
        rule="7",
        file="app/worker/verdict.py",
        old="return entry.reclaimed or not entry.fresh",
        new="return not entry.fresh",
        tests=(f"{VERDICT}::test_every_other_entry_must_be_asked_about",),
    ),
    Mutant(
        name="entries-of-another-generation-are-not-asked-about",
        rule="7",
        file="app/worker/verdict.py",
        old=" or entry.run != 1 or entry.generation != token",
        new=" or entry.run != 1",
        tests=(f"{VERDICT}::test_every_other_entry_must_be_asked_about",),
    ),
    Mutant(
        name="finished-runs-again",
        rule="P2",
        file="app/worker/verdict.py",
        old="    if standing.is_finished(envelope.run):\n",
        new="    if False:\n",
        tests=(f"{ASKED}::test_a_finished_task_that_was_restored_is_not_run_again",),
    ),
    Mutant(
        name="asked-of-a-ledger-whose-spool-is-not-drained",
        rule="P2",
        file="app/worker/spooling.py",
        old="if any(self._spool.holds(key) for key in keys):",
        new="if False:",
        tests=(
            f"{SPOOL}::test_a_neighbour_that_reclaimed_the_task_waits_for_the_spool_it_adopted",
        ),
    ),
    Mutant(
        name="a-cancel-mark-met-at-a-retry-is-let-lie",
        rule="8",
        file="app/worker/settler.py",
        old='if reply == "cancel" and not claim.lost:',
        new="if False:",
        tests=(f"{ASKED}::test_a_cancel_mark_met_at_a_retry_ends_the_task",),
    ),
    Mutant(
        name="a-running-task-does-not-hear-of-its-mark",
        rule="8",
        file="app/worker/heartbeat.py",
        old="                    claim.stop(StopReason.CANCEL)\n",
        new="                    pass\n",
        tests=(f"{ASKED}::test_a_running_task_is_cancelled_by_its_mark",),
    ),
    Mutant(
        name="another-request-runs-under-the-id",
        rule="10",
        file="app/worker/verdict.py",
        old="    if standing.request_digest != envelope.request_digest:\n",
        new="    if False:\n",
        tests=(f"{ASKED}::test_another_request_under_a_recorded_id_goes_to_the_quarantine",),
    ),
    Mutant(
        name="redis-is-settled-before-the-ledger",
        rule="12",
        file="app/worker/settler.py",
        old="            results = await self._ledger.finish([self._finish(each) for each in finishes])\n",
        new="            for each in finishes:\n"
        "                end = Leftover(each.claim.envelope.run, each.settlement.state)\n"
        "                await self._settle([Outgoing(each.claim, end)])\n"
        "            results = await self._ledger.finish([self._finish(each) for each in finishes])\n",
        tests=(f"{OUTCOMES}::test_the_ledger_has_the_outcome_before_redis_is_told",),
    ),
    Mutant(
        name="own-entries-are-not-read-again",
        rule="nothing skipped",
        file="app/worker/fetcher.py",
        old="            work.reread = True\n",
        new="            pass\n",
        tests=(f"{LEASES}::test_entries_fetched_by_a_call_whose_answer_was_lost_are_found_again",),
    ),
    Mutant(
        name="the-spool-is-not-synced",
        rule="durable",
        file="app/worker/spool_file.py",
        old="                view, at = view[written:], at + written\n            os.fdatasync(self._descriptor)\n",
        new="                view, at = view[written:], at + written\n",
        tests=(
            "tests/unit/app/worker/test_spool_file.py::test_an_append_counts_once_it_is_on_disk",
        ),
    ),
    Mutant(
        name="spooled-although-the-disk-failed",
        rule="durable",
        file="app/worker/spool.py",
        old="                    self._say_failing(error)\n                    return kept\n",
        new="                    self._say_failing(error)\n                    return len(writes)\n",
        tests=(
            f"{SPOOL}::test_a_worker_that_cannot_write_its_spool_says_so_and_keeps_outcomes_in_memory",
        ),
    ),
    Mutant(
        name="spooled-before-it-is-written",
        rule="durable",
        file="app/worker/spooling.py",
        old="        kept = await self._spool.put(writes)\n",
        new="        kept = len(writes)\n"
        "        self._writing = asyncio.create_task(self._spool.put(writes))\n",
        tests=(f"{SPOOL}::test_an_outcome_holds_its_slot_until_it_is_on_disk",),
    ),
)
