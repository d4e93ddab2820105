"""Mutants of the connection to Redis, of its generations, and of the scripts of all but workers."""

from tests.mutants.mutant import Mutant

LUA = "app/broker/lua"
TESTS = "tests/integration/broker"
STALE = "if stale() then return STALE end\n"


def without_token(script):
    """A script that does not ask which history it acts on."""
    return Mutant(
        name=f"{script}-checks-no-token",
        rule="1",
        file=f"{LUA}/{script}.lua",
        old=STALE,
        new="",
        tests=(
            f"{TESTS}/test_stale_token.py::test_a_token_of_another_generation_is_refused[{script}]",
        ),
    )


MUTANTS = (
    *map(without_token, ("enqueue", "start", "retry", "settle", "trim", "restore", "refresh")),
    Mutant(
        name="another-token-is-ours",
        rule="1",
        file=f"{LUA}/_prelude.lua",
        old="  if known[1] ~= ARGV[1] then return true end\n",
        new="",
        tests=(f"{TESTS}/test_stale_token.py::test_a_token_of_another_generation_is_refused",),
    ),
    Mutant(
        name="another-run-of-the-server-is-ours",
        rule="1",
        file=f"{LUA}/_prelude.lua",
        old="return known[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')",
        new="return false",
        tests=(
            f"{TESTS}/test_stale_token.py::test_the_right_token_is_refused_by_another_run_of_the_server",
        ),
    ),
    Mutant(
        name="a-restart-begins-no-generation",
        rule="1",
        file=f"{LUA}/attach.lua",
        old="if not known[1] or known[2] ~= run_id then",
        new="if not known[1] then",
        tests=(
            f"{TESTS}/test_generation.py::test_data_served_by_another_run_of_the_server_is_another_generation",
        ),
    ),
    Mutant(
        name="redis-calls-are-repeated-in-secret",
        rule="1",
        file="app/broker/connection.py",
        old="retry=Retry(NoBackoff(), 0),",
        new="retry=Retry(NoBackoff(), 3),",
        tests=(
            f"{TESTS}/test_connection.py::test_a_lost_reply_is_unknown_and_the_call_was_made_once",
            f"{TESTS}/test_connection.py::test_a_connection_cut_in_the_middle_of_a_call_makes_it_once",
        ),
    ),
    Mutant(
        name="redrive-again-makes-the-run-again",
        rule="2",
        file=f"{LUA}/redrive.lua",
        old="return ahead > 0 or (ahead == 0 and (hash.place == '' or placed(hash, a.id)))",
        new="return ahead > 0",
        tests=(
            f"{TESTS}/test_redrive.py::test_redriving_again_changes_nothing",
            f"{TESTS}/test_redrive.py::test_a_run_that_ended_meanwhile_is_not_made_again",
        ),
    ),
    Mutant(
        name="the-mark-of-the-run-before-stays",
        rule="3",
        file=f"{LUA}/redrive.lua",
        old="    'mirrored', 0, 'digest', a.digest",
        new="    'mirrored', hash.mirrored or 0, 'digest', a.digest",
        tests=(
            f"{TESTS}/test_redrive.py::test_the_confirm_of_the_run_before_is_no_evidence_for_this_one",
            f"{TESTS}/test_redrive.py::test_it_is_journaled_and_marked_by_its_own_confirm",
        ),
    ),
    Mutant(
        name="any-confirm-marks-the-task",
        rule="3",
        file=f"{LUA}/trim.lua",
        old="if hash[1] == jid then",
        new="if hash[1] then",
        tests=(
            f"{TESTS}/test_journal.py::test_a_hash_that_names_another_journal_entry_is_not_marked",
        ),
    ),
    Mutant(
        name="a-missing-journal-entry-is-a-mark",
        rule="3",
        file=f"{LUA}/marks.lua",
        old="(hash[1] == '1' and ",
        new="(",
        tests=(f"{TESTS}/test_journal.py::test_a_journal_that_was_lost_is_no_evidence",),
    ),
    Mutant(
        name="the-mark-survives-a-lost-queue",
        rule="3",
        file=f"{LUA}/rejournal.lua",
        old="'gen', ARGV[1], 'mirrored', 0",
        new="'gen', ARGV[1]",
        tests=(
            f"{TESTS}/test_rejournal.py::test_a_mirrored_task_is_journaled_anew_and_its_mark_taken_off",
        ),
    ),
    Mutant(
        name="the-journal-is-trimmed-by-length",
        rule="3",
        file=f"{LUA}/trim.lua",
        old="redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[3])",
        new="redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', 0)",
        tests=(
            f"{TESTS}/test_journal.py::test_trimming_marks_the_confirmed_prefix_and_takes_it_off",
        ),
    ),
    Mutant(
        name="the-journal-is-bounded-by-length",
        rule="3",
        file=f"{LUA}/_prelude.lua",
        old="redis.call('XADD', journal, '*', 'id', id,",
        new="redis.call('XADD', journal, 'MAXLEN', '=', 100, '*', 'id', id,",
        tests=(
            "tests/integration/mirror/test_mirroring.py::test_without_rabbitmq_the_journal_keeps_and_then_catches_up_in_order",
        ),
    ),
    Mutant(
        name="restore-forgets-the-attempts-of-the-hash",
        rule="4",
        file=f"{LUA}/restore.lua",
        old="attempt = math.max(attempt, tonumber(hash.attempt or 0))",
        new="attempt = attempt",
        tests=(f"{TESTS}/test_restore.py::test_the_greater_attempt_of_hash_and_ledger_is_kept",),
    ),
    Mutant(
        name="refresh-waits-for-the-copys-own-entry",
        rule="6",
        file=f"{LUA}/refresh.lua",
        old="if hash[6] and here and not own and not is_lost",
        new="if hash[6] and here and not is_lost",
        tests=(
            f"{TESTS}/test_refresh.py::test_never_the_copys_own_journal_id_although_it_is_not_confirmed",
        ),
    ),
    Mutant(
        name="refresh-waits-for-an-entry-of-another-generation",
        rule="6",
        file=f"{LUA}/refresh.lua",
        old="local here = hash[7] == ARGV[1]",
        new="local here = true",
        tests=(
            f"{TESTS}/test_refresh.py::test_an_id_of_an_earlier_generation_is_never_waited_for",
        ),
    ),
    Mutant(
        name="refreshed-without-a-mark",
        rule="6",
        file=f"{LUA}/refreshed.lua",
        old="(named and hash[3] == '1' and not hash[4]) and 1 or 0",
        new="named and 1 or 0",
        tests=(f"{TESTS}/test_refresh.py::test_a_new_copy_counts_from_its_own_confirm_on",),
    ),
    Mutant(
        name="restore-sets-no-suspicion",
        rule="7",
        file=f"{LUA}/restore.lua",
        old="return answers\n",
        new="for n = 7, #KEYS do redis.call('HDEL', KEYS[n], 'suspect') end\nreturn answers\n",
        tests=(
            f"{TESTS}/test_restore.py::test_an_absent_task_comes_back_suspect_and_mirrored",
            f"{TESTS}/test_start.py::test_a_restored_task_must_be_asked_about_first",
        ),
    ),
    Mutant(
        name="first-delivery-of-another-generation",
        rule="7",
        file=f"{LUA}/_prelude.lua",
        old="(fresh == '1' and gen == ARGV[1] and attempt == '0')",
        new="(fresh == '1' and attempt == '0')",
        tests=(
            f"{TESTS}/test_promote.py::test_a_task_of_an_earlier_generation_is_no_first_delivery_of_this_one",
        ),
    ),
    Mutant(
        name="present-by-its-hash-alone",
        rule="9",
        file=f"{LUA}/inspect.lua",
        old="standing = there and 'present' or 'displaced'",
        new="standing = 'present'",
        tests=(f"{TESTS}/test_inspect.py::test_a_hash_whose_stream_was_lost_is_displaced",),
    ),
    Mutant(
        name="restore-is-content-with-a-hash",
        rule="9",
        file=f"{LUA}/restore.lua",
        old="if hash.place == 'delayed' then return redis.call('ZSCORE', KEYS[5], id) end",
        new="do return true end",
        tests=(f"{TESTS}/test_restore.py::test_a_task_without_its_place_gets_one",),
    ),
    Mutant(
        name="restore-leaves-the-place-of-a-lower-run",
        rule="9",
        file=f"{LUA}/restore.lua",
        old="if hash.place == 'ready' and hash.entry then",
        new="if false then",
        tests=(
            f"{TESTS}/test_restore.py::test_a_later_run_replaces_an_open_one_together_with_its_place",
        ),
    ),
    Mutant(
        name="any-request-is-a-duplicate",
        rule="10",
        file=f"{LUA}/enqueue.lua",
        old="hash[1] == digest and 'duplicate' or 'conflict'",
        new="'duplicate'",
        tests=(
            f"{TESTS}/test_enqueue.py::test_another_request_under_the_id_is_a_conflict_and_changes_nothing",
        ),
    ),
    Mutant(
        name="restore-over-another-request",
        rule="10",
        file=f"{LUA}/restore.lua",
        old="then return 'conflict' end",
        new="then end",
        tests=(
            f"{TESTS}/test_restore.py::test_another_request_under_the_id_is_a_conflict_and_restored_over_nothing",
        ),
    ),
    Mutant(
        name="a-repeated-submit-is-a-second-task",
        rule="idempotent",
        file=f"{LUA}/enqueue.lua",
        old="  if hash[1] then\n",
        new="  if false then\n",
        tests=(
            f"{TESTS}/test_connection.py::test_a_repeated_submit_after_a_lost_reply_is_a_duplicate",
            f"{TESTS}/test_enqueue.py::test_the_same_request_again_is_a_duplicate_and_changes_nothing",
        ),
    ),
    Mutant(
        name="a-duplicate-is-told-as-created",
        rule="idempotent",
        file=f"{LUA}/enqueue.lua",
        old="and 'duplicate' or 'conflict'",
        new="and 'created' or 'conflict'",
        tests=(
            f"{TESTS}/test_enqueue.py::test_the_same_request_again_is_a_duplicate_and_changes_nothing",
        ),
    ),
    Mutant(
        name="the-mark-of-another-request",
        rule="10",
        file=f"{LUA}/marks.lua",
        old=" or (digest ~= '' and hash[3] ~= digest) then",
        new=" then",
        tests=(f"{TESTS}/test_look.py::test_the_mark_of_another_request_is_none",),
    ),
)
