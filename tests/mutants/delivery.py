"""Mutants of the scripts that workers call."""

from tests.mutants.mutant import Mutant

LUA = "app/broker/lua"
TESTS = "tests/integration/broker"

MUTANTS = (
    Mutant(
        name="start-ignores-the-run",
        rule="2",
        file=f"{LUA}/start.lua",
        old=" or hash.run ~= a.run) then",
        new=") then",
        tests=(f"{TESTS}/test_start.py::test_an_entry_of_another_run_than_its_hash_is_a_leftover",),
    ),
    Mutant(
        name="a-lower-run-settles-a-higher-one",
        rule="2",
        file=f"{LUA}/settle.lua",
        old="tonumber(hash.run) <= tonumber(run) and ",
        new="",
        tests=(f"{TESTS}/test_settle.py::test_an_actor_of_a_lower_run_is_ignored",),
    ),
    Mutant(
        name="the-hash-expires-before-its-journal-entry",
        rule="3",
        file=f"{LUA}/settle.lua",
        old="if hash.mirrored == '1' or not hash.jid then",
        new="if true then",
        tests=(
            f"{TESTS}/test_settle.py::test_the_hash_does_not_expire_before_its_journal_entry_is_trimmed",
        ),
    ),
    Mutant(
        name="start-forgets-the-attempts-of-the-ledger",
        rule="4",
        file=f"{LUA}/start.lua",
        old="math.max(tonumber(hash.attempt or 0), tonumber(a.attempt))",
        new="tonumber(hash.attempt or 0)",
        tests=(
            f"{TESTS}/test_start.py::test_the_greater_attempt_of_ledger_and_hash_is_continued",
            f"{TESTS}/test_start.py::test_attempts_in_the_ledger_count_towards_the_most",
        ),
    ),
    Mutant(
        name="start-forgets-the-due-time-of-the-ledger",
        rule="4",
        file=f"{LUA}/start.lua",
        old="if tonumber(a.due) > now and ",
        new="if false and ",
        tests=(
            f"{TESTS}/test_start.py::test_a_retry_that_is_not_due_by_the_ledger_is_delayed_again",
        ),
    ),
    Mutant(
        name="start-asks-no-owner",
        rule="5",
        file=f"{LUA}/start.lua",
        old="  if not owns(lane, a.entry, consumer) then return {'gone', 0, 0, now} end\n",
        new="",
        tests=(
            f"{TESTS}/test_start.py::test_an_entry_that_was_reclaimed_is_gone_for_the_one_who_stalled",
        ),
    ),
    Mutant(
        name="start-takes-any-entry-of-the-task",
        rule="5",
        file=f"{LUA}/start.lua",
        old=" or hash.entry ~= a.entry or ",
        new=" or ",
        tests=(
            f"{TESTS}/test_start.py::test_an_entry_whose_hash_names_another_is_a_leftover_and_removed",
        ),
    ),
    Mutant(
        name="a-repeated-start-counts-twice",
        rule="5",
        file=f"{LUA}/start.lua",
        old="if hash.nonce == a.nonce and hash.state == ARGV[4] then",
        new="if false then",
        tests=(f"{TESTS}/test_start.py::test_the_same_wish_again_counts_no_second_attempt",),
    ),
    Mutant(
        name="retry-asks-no-owner",
        rule="5",
        file=f"{LUA}/retry.lua",
        old="  if not owns(lane, entry, ARGV[2]) then return 'gone' end\n",
        new="",
        tests=(f"{TESTS}/test_retry.py::test_one_who_lost_the_lease_puts_off_nothing",),
    ),
    Mutant(
        name="retry-puts-off-any-attempt",
        rule="5",
        file=f"{LUA}/retry.lua",
        old=" or hash[3] ~= attempt or ",
        new=" or ",
        tests=(f"{TESTS}/test_retry.py::test_an_earlier_attempt_puts_off_nothing",),
    ),
    Mutant(
        name="a-renewal-steals-the-entry-back",
        rule="5",
        file=f"{LUA}/renew.lua",
        old="if not owns(lane, entry, ARGV[2]) then",
        new="if false then",
        tests=(f"{TESTS}/test_renew.py::test_a_reclaimed_entry_is_not_stolen_back",),
    ),
    Mutant(
        name="a-suspect-starts-unasked",
        rule="7",
        file=f"{LUA}/start.lua",
        old="if suspect == 1 and a.asked ~= '1' then",
        new="if false then",
        tests=(f"{TESTS}/test_start.py::test_a_restored_task_must_be_asked_about_first",),
    ),
    Mutant(
        name="the-suspicion-ends-with-the-first-start",
        rule="7",
        file=f"{LUA}/start.lua",
        old="  if hash.unknown_since or hash.progress then\n",
        new="  redis.call('HDEL', key, 'suspect')\n  if hash.unknown_since or hash.progress then\n",
        tests=(f"{TESTS}/test_start.py::test_the_suspicion_stays_until_the_task_is_finished",),
    ),
    Mutant(
        name="start-passes-the-cancel-mark",
        rule="8",
        file=f"{LUA}/start.lua",
        old="  if hash.cancel then return {'cancel', attempt, suspect, now} end\n",
        new="",
        tests=(f"{TESTS}/test_cancel.py::test_start_meets_the_mark_and_counts_nothing",),
    ),
    Mutant(
        name="retry-passes-the-cancel-mark",
        rule="8",
        file=f"{LUA}/retry.lua",
        old="  if hash[5] then return 'cancel' end\n",
        new="",
        tests=(f"{TESTS}/test_cancel.py::test_a_retry_meets_the_mark_and_is_not_put_off",),
    ),
    Mutant(
        name="a-new-group-begins-at-the-end",
        rule="nothing skipped",
        file=f"{LUA}/fetch.lua",
        old="'workers', '0', 'MKSTREAM'",
        new="'workers', '$', 'MKSTREAM'",
        tests=(f"{TESTS}/test_fetch.py::test_nothing_is_skipped_after_a_stream_was_lost",),
    ),
    Mutant(
        name="what-was-fetched-before-a-pause-starts",
        rule="pause",
        file=f"{LUA}/start.lua",
        old="paused == '0' and begin(KEYS[6 + n], a) or {'paused', 0, 0, now}",
        new="begin(KEYS[6 + n], a)",
        tests=(f"{TESTS}/test_set_paused.py::test_what_was_fetched_before_does_not_start",),
    ),
)
