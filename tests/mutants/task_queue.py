"""Mutants of what producers and operators are told."""

from tests.mutants.mutant import Mutant

TESTS = "tests/integration/api"

MUTANTS = (
    Mutant(
        name="mirrored-without-a-mark",
        rule="3",
        file="app/task_queue/confirming.py",
        old="                    await self._look_for_marks(reached)\n",
        new="                    for each in reached:\n                        each.answer(True)\n",
        tests=(f"{TESTS}/test_evidence.py::test_a_watermark_past_the_entry_is_none",),
    ),
    Mutant(
        name="a-missing-hash-is-a-mark",
        rule="3",
        file="app/task_queue/confirming.py",
        old="            standing = standings.get(key)\n",
        new="            standing = standings.get(key)\n            waiter.answer(True)\n",
        tests=(f"{TESTS}/test_evidence.py::test_that_redis_knows_nothing_of_the_task_is_none",),
    ),
    Mutant(
        name="the-receipt-says-mirrored-in-any-case",
        rule="P1",
        file="app/task_queue/submitting.py",
        old='        return "mirrored" if reached else "fast"\n\n    async def _levels',
        new='        return "mirrored"\n\n    async def _levels',
        tests=(f"{TESTS}/test_submit.py::test_without_a_mirror_the_receipt_is_degraded",),
    ),
    Mutant(
        name="accepted-by-rabbitmq-without-a-confirm",
        rule="P1",
        file="app/task_queue/fallback.py",
        old="        if outcome is not PublishOutcome.CONFIRMED:\n",
        new="        if outcome is PublishOutcome.REFUSED:\n",
        tests=(f"{TESTS}/test_fallback.py::test_a_copy_without_a_confirm_is_not_accepted",),
    ),
    Mutant(
        name="a-repeat-is-told-as-new",
        rule="idempotent",
        file="app/task_queue/submitting.py",
        old='    if accepted.outcome == "duplicate":\n        return "duplicate"\n',
        new='    if accepted.outcome == "duplicate":\n        return "created"\n',
        tests=(
            f"{TESTS}/test_submit.py::test_a_repeat_is_a_duplicate_and_another_request_a_conflict",
        ),
    ),
    Mutant(
        name="a-cancel-that-came-second-is-promised",
        rule="8",
        file="app/task_queue/cancelling.py",
        old="        if not _is_in_force(write, result):\n            raise StateConflict(",
        new="        if False:\n            raise StateConflict(",
        tests=(
            f"{TESTS}/test_cancel.py::test_an_end_that_is_recorded_while_the_cancel_is_under_way_wins",
        ),
    ),
    Mutant(
        name="not-found-while-copies-are-looked-at",
        rule="P1",
        file="app/task_queue/finding.py",
        old="        return View(key, sighting, doubt, pending)\n",
        new="        return View(key, sighting, None, pending)\n",
        tests=(f"{TESTS}/test_cancel.py::test_a_task_that_may_be_in_a_copy_only_is_unavailable",),
    ),
    Mutant(
        name="unchecked-is-told-as-new",
        rule="P1",
        file="app/task_queue/submitting.py",
        old='"created" if prepared.fresh else "unchecked"',
        new='"created"',
        tests=(
            f"{TESTS}/test_fallback.py::test_an_id_that_could_not_be_checked_is_said_to_be_unchecked",
        ),
    ),
    Mutant(
        name="the-record-of-another-request",
        rule="10",
        file="app/task_queue/confirming.py",
        old="                and standing.request_digest == waiter.request_digest\n",
        new="",
        tests=(
            f"{TESTS}/test_evidence.py::test_the_finished_record_of_another_request_under_the_id_is_none",
        ),
    ),
)
