"""Mutants of the way out of RabbitMQ: what is judged, restored, let go, and when it is complete."""

from tests.mutants.mutant import Mutant

TESTS = "tests/integration/rehydrator"
DECISION = "tests/unit/rehydrator/test_decision.py"

MUTANTS = (
    Mutant(
        name="a-copy-leaves-on-redis-word-alone",
        rule="P4",
        file="rehydrator/decision.py",
        old='    if redis.run > run or (redis.run == run and redis.standing in ("present", "settled")):\n',
        new='    if redis.standing == "settled" and redis.run >= run:\n'
        '        return Ack(run, "succeeded", settle=False)\n'
        '    if redis.run > run or (redis.run == run and redis.standing == "present"):\n',
        tests=(
            f"{DECISION}::test_no_copy_is_let_go_without_the_ledgers_word",
            f"{TESTS}/test_service.py::test_settled_in_redis_proves_nothing",
        ),
    ),
    Mutant(
        name="no-answer-is-no-record",
        rule="P4",
        file="rehydrator/decision.py",
        old="        return Hold(known=not needs_ledger(run, request_digest, redis))\n",
        new="        ledger = Asked(None)\n",
        tests=(f"{DECISION}::test_without_the_ledger_nothing_is_done",),
    ),
    Mutant(
        name="a-copy-of-a-later-run-is-finished-with-the-earlier",
        rule="2",
        file="rehydrator/decision.py",
        old="if recorded is not None and recorded.is_finished(run):",
        new="if recorded is not None and recorded.finished_run:",
        tests=(
            f"{DECISION}::test_a_run_the_ledger_has_finished_is_acked",
            f"{DECISION}::test_an_unfinished_run_is_restored_unless_redis_knows_it",
        ),
    ),
    Mutant(
        name="ended-attempts-come-back",
        rule="4",
        file="rehydrator/decision.py",
        old="    if part is None:\n",
        new="    if True:\n",
        tests=(
            f"{DECISION}::test_restoring_brings_attempt_and_due_time_from_the_open_record",
            f"{TESTS}/test_service.py::test_ended_attempts_and_due_times_survive_the_wipe",
        ),
    ),
    Mutant(
        name="another-request-is-acked-as-finished",
        rule="10",
        file="rehydrator/decision.py",
        old="    if recorded is not None and _differs(recorded, request_digest):\n",
        new="    if False:\n",
        tests=(f"{DECISION}::test_another_request_in_the_ledger_is_a_conflict",),
    ),
    Mutant(
        name="another-request-in-redis-is-this-one",
        rule="10",
        file="rehydrator/decision.py",
        old="    if _differs(redis, request_digest):\n",
        new="    if False:\n",
        tests=(f"{DECISION}::test_another_request_in_redis_is_a_conflict",),
    ),
    Mutant(
        name="a-loss-of-the-journal-is-nothing",
        rule="3",
        file="rehydrator/redis_queue.py",
        old="if mark is False]",
        new="if mark is None]",
        tests=(f"{TESTS}/test_losses.py::test_a_lost_journal_is_journaled_again_and_nothing_else",),
    ),
    Mutant(
        name="an-old-copy-leaves-before-the-new-one-is-confirmed",
        rule="6",
        file="rehydrator/refreshing.py",
        old="safe = [copy for copy, yes in zip(part, confirmed, strict=True) if yes]",
        new="safe = list(part)",
        tests=(
            f"{TESTS}/test_refreshing.py::test_an_entry_that_was_lost_is_never_confirmed_however_far_the_watermark",
        ),
    ),
    Mutant(
        name="the-last-fence-of-anybody-counts",
        rule="11",
        file="rehydrator/fence.py",
        old="if not self.waiting or fence_id != self._current:",
        new="if not self.waiting:",
        tests=(f"{TESTS}/test_fence.py::test_the_fence_of_an_earlier_opening_counts_for_nothing",),
    ),
    Mutant(
        name="one-fence-for-every-connection",
        rule="11",
        file="rehydrator/fence.py",
        old="        self._current = new_token()\n",
        new="        self._current = self._queue\n",
        tests=(f"{TESTS}/test_fence.py::test_the_fence_of_an_earlier_opening_counts_for_nothing",),
    ),
    Mutant(
        name="complete-although-a-copy-was-not-judged",
        rule="11",
        file="rehydrator/opening.py",
        old="and self.holdings.settled\n",
        new="and True\n",
        tests=(
            f"{TESTS}/test_fence.py::test_a_fence_does_not_pass_over_copies_nobody_could_judge",
            f"{TESTS}/test_fence.py::test_a_fence_does_not_pass_over_what_is_not_yet_in_the_quarantine",
        ),
    ),
    Mutant(
        name="the-fence-overtakes-other-channels",
        rule="11",
        file="rehydrator/opening.py",
        old="self._must_catch_up = self.source.lanes > 1",
        new="self._must_catch_up = False",
        tests=(
            f"{TESTS}/test_fence.py::test_on_several_channels_what_came_before_the_fence_is_waited_for",
        ),
    ),
    Mutant(
        name="the-window-does-not-grow",
        rule="11",
        file="rehydrator/opening.py",
        old="            await source.grow()\n",
        new="            pass\n",
        tests=(f"{TESTS}/test_fence.py::test_the_fence_of_an_earlier_opening_counts_for_nothing",),
    ),
    Mutant(
        name="a-copy-leaves-before-redis-is-settled",
        rule="12",
        file="rehydrator/acting.py",
        old="            for queue, group in by_queue(verdicts).items():\n",
        new="            await self._source.ack(verdicts)\n"
        "            for queue, group in by_queue(verdicts).items():\n",
        tests=(f"{TESTS}/test_service.py::test_a_copy_waits_until_redis_takes_the_settling",),
    ),
    Mutant(
        name="a-hash-left-open-stays-open",
        rule="12",
        file="rehydrator/acting.py",
        old="        if ack.settle\n",
        new="        if False\n",
        tests=(
            f"{TESTS}/test_service.py::test_a_hash_left_open_is_settled_before_its_copy_leaves",
        ),
    ),
    Mutant(
        name="an-ack-covers-copies-that-are-not-safe",
        rule="P4",
        file="rehydrator/acks.py",
        old="            break\n",
        new="            continue\n",
        tests=("tests/unit/rehydrator/test_acks.py::test_exactly_the_chosen_tags_are_acked",),
    ),
    Mutant(
        name="the-quarantine-keeps-no-record",
        rule="quarantine",
        file="rehydrator/quarantine.py",
        old="        await ledger.put_quarantine(record_of(suspect, now_ms()))\n",
        new="        pass\n",
        tests=(
            f"{TESTS}/test_quarantine.py::test_nothing_is_lost_while_the_ledger_takes_no_record",
        ),
    ),
    Mutant(
        name="into-the-quarantine-without-a-confirm",
        rule="quarantine",
        file="rehydrator/quarantine.py",
        old="        if outcome is PublishOutcome.CONFIRMED\n",
        new="        if outcome\n",
        tests=(f"{TESTS}/test_quarantine.py::test_without_a_confirm_the_copy_stays",),
    ),
    Mutant(
        name="a-suspect-leaves-before-its-record",
        rule="quarantine",
        file="rehydrator/acting.py",
        old="        safe = suspects if",
        new="        await self._source.ack([each.delivery for each in suspects])\n"
        "        safe = suspects if",
        tests=(
            f"{TESTS}/test_quarantine.py::test_nothing_is_lost_while_the_ledger_takes_no_record",
        ),
    ),
    Mutant(
        name="a-rehydrator-without-its-lease-goes-on",
        rule="lease",
        file="rehydrator/lease.py",
        old='                log.warning("The lease %s was lost.", self.name)\n                self.ended.set()\n',
        new='                log.warning("The lease %s was lost.", self.name)\n',
        tests=(f"{TESTS}/test_service.py::test_whoever_lost_its_lease_gives_back_what_it_held",),
    ),
    Mutant(
        name="copies-of-another-ledger-are-taken",
        rule="another system",
        file="rehydrator/arrivals.py",
        old="            check_origin(message.origin, home)\n",
        new="",
        tests=(f"{TESTS}/test_foreign.py::test_a_foreign_copy_stops_the_service",),
    ),
    Mutant(
        name="a-loss-is-not-noticed",
        rule="loss",
        file="rehydrator/watching.py",
        old='        if loss.kind != "same":\n',
        new="        if False:\n",
        tests=(f"{TESTS}/test_losses.py::test_a_lost_journal_is_journaled_again_and_nothing_else",),
    ),
    Mutant(
        name="alert-brings-back-all-the-same",
        rule="loss",
        file="rehydrator/watching.py",
        old="return self._alert and known is not None and known.loss is not None",
        new="return False",
        tests=(f"{TESTS}/test_losses.py::test_alert_only_tells",),
    ),
    Mutant(
        name="a-run-brings-back-what-is-finished",
        rule="P3",
        file="rehydrator/decision.py",
        old=" or recorded.is_finished(run):",
        new=":",
        tests=(
            f"{DECISION}::test_the_ledger_alone_has_a_copy_restored_just_where_an_empty_redis_would",
        ),
    ),
    Mutant(
        name="a-run-brings-back-another-request",
        rule="10",
        file="rehydrator/decision.py",
        old="    if _differs(recorded, request_digest) or ",
        new="    if ",
        tests=(
            f"{DECISION}::test_the_ledger_alone_has_a_copy_restored_just_where_an_empty_redis_would",
        ),
    ),
    Mutant(
        name="a-run-brings-back-what-nobody-could-judge",
        rule="P3",
        file="rehydrator/decision.py",
        old="    if ledger is None:\n        return None\n",
        new="    if ledger is None:\n        return _AS_NEW\n",
        tests=(f"{DECISION}::test_the_ledger_alone_has_nothing_restored_unless_it_answers",),
    ),
)
