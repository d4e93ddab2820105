"""Mutants of the ledger: what is durable, and which write wins."""

from tests.mutants.mutant import Mutant

TESTS = "tests/integration/ledger"
ELECTIONS = f"{TESTS}/test_elections.py::test_a_change_of_the_primary_"
RECORDS = "tests/unit/app/ledger/test_records.py"

MUTANTS = (
    Mutant(
        name="one-member-acknowledges",
        rule="durable",
        file="app/ledger/mongo.py",
        old='WriteConcern(w="majority", j=True, wtimeout=timeout_ms)',
        new="WriteConcern(w=1, wtimeout=timeout_ms)",
        tests=(
            f"{TESTS}/test_durability.py::test_mongodb_acknowledges_what_a_majority_has_journaled",
        ),
    ),
    Mutant(
        name="a-majority-without-its-journal",
        rule="durable",
        file="app/ledger/mongo.py",
        old='w="majority", j=True, ',
        new='w="majority", ',
        tests=(f"{TESTS}/test_durability.py::test_a_weaker_url_does_not_weaken_it",),
    ),
    Mutant(
        name="what-may-roll-back-is-read",
        rule="durable",
        file="app/ledger/mongo.py",
        old='ReadConcern("majority")',
        new='ReadConcern("local")',
        tests=(f"{TESTS}/test_durability.py::test_a_weaker_url_does_not_weaken_it",),
    ),
    Mutant(
        name="who-steps-down-is-asked-twice-and-no-more",
        rule="election",
        file="app/ledger/mongo.py",
        old="pymongo.timeout(self._timeout_s) if retries else nullcontext()",
        new="nullcontext()",
        tests=(f"{TESTS}/test_elections.py::test_who_refuses_again_and_again_is_asked_again",),
    ),
    Mutant(
        name="a-primary-that-stands-still-is-waited-for",
        rule="election",
        file="app/ledger/mongo.py",
        old="heartbeatFrequencyMS=HEARTBEAT_MS,",
        new="",
        tests=(f"{ELECTIONS}fails_no_call_and_counts_no_outcome_twice[stands still]",),
    ),
    Mutant(
        name="an-index-waits-for-the-member-that-is-away",
        rule="election",
        file="app/ledger/indexes.py",
        old='{"commitQuorum": "majority"} if "setName" in hello else {}',
        new="{}",
        tests=(f"{TESTS}/test_elections.py::test_a_ledger_opens_with_a_member_away",),
    ),
    Mutant(
        name="sqlite-syncs-at-checkpoints",
        rule="durable",
        file="app/ledger/sqlite.py",
        old="PRAGMA synchronous = FULL",
        new="PRAGMA synchronous = NORMAL",
        tests=(f"{TESTS}/test_durability.py::test_sqlite_syncs_every_commit",),
    ),
    Mutant(
        name="the-last-outcome-of-a-run-wins",
        rule="2",
        file="app/ledger/records.py",
        old="    return recorded_run < run\n",
        new="    return recorded_run <= run\n",
        tests=(
            f"{RECORDS}::test_a_finished_write_wins_over_none_or_a_lower_run",
            f"{TESTS}/test_finishing.py::test_the_first_outcome_of_a_run_stays[sqlite]",
        ),
    ),
    Mutant(
        name="the-last-outcome-of-a-run-wins-in-mongodb",
        rule="2",
        file="app/ledger/updates.py",
        old='{"finished": None}, {"finished.run": {"$lt": run}}',
        new='{"finished": None}, {"finished.run": {"$lte": run}}',
        tests=(f"{TESTS}/test_finishing.py::test_concurrent_outcomes_of_one_run_have_one_winner",),
    ),
    Mutant(
        name="only-the-very-run-is-finished",
        rule="2",
        file="app/ledger/records.py",
        old="return self.finished_run >= run",
        new="return self.finished_run == run",
        tests=(f"{RECORDS}::test_true_once_true_for_ever",),
    ),
    Mutant(
        name="compare-and-set-does-not-compare",
        rule="4",
        file="app/ledger/records.py",
        old="return same_run == write.expected",
        new="return True",
        tests=(f"{RECORDS}::test_a_compare_and_set_applies_only_to_what_it_saw",),
    ),
    Mutant(
        name="compare-and-set-does-not-compare-in-mongodb",
        rule="4",
        file="app/ledger/updates.py",
        old='return {"$and": [{"open.run": run}, _is(write.expected)]}',
        new='return {"open.run": run}',
        tests=(f"{TESTS}/test_opening.py::test_compare_and_set_on_what_was_seen[mongo]",),
    ),
    Mutant(
        name="attempts-go-back",
        rule="4",
        file="app/ledger/records.py",
        old="part.attempt >= same_run.attempt",
        new="True",
        tests=(
            f"{RECORDS}::test_an_earlier_attempt_of_a_run_is_too_late",
            f"{TESTS}/test_opening.py::test_attempts_only_grow[sqlite]",
        ),
    ),
    Mutant(
        name="parked-records-expire",
        rule="12",
        file="app/ledger/documents.py",
        old="    if TaskState(finished.state) not in TERMINAL:\n",
        new="    if False:\n",
        tests=(
            f"{TESTS}/test_keeping.py::test_only_terminal_records_expire_and_not_before_their_days[mongo]",
        ),
    ),
)
