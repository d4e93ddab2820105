"""The one decision about a copy, over everything Redis and the ledger may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.recovery import Standing as InRedis
from app.ledger.records import OpenPart
from app.ledger.records import Standing as InLedger
from rehydrator.decision import (
    Ack,
    Asked,
    Hold,
    Quarantine,
    Restore,
    decide,
    decide_by_ledger,
    needs_ledger,
)

OURS, OTHER = "aa", "bb"
RUN = 2
NO_RECORD = Asked(None)


def in_redis(standing, run=RUN, digest=OURS):
    return InRedis(standing, *((0, "") if standing == "absent" else (run, digest)))


def in_ledger(finished_run=0, *, digest=OURS, part=None, state="succeeded"):
    return Asked(InLedger(digest, finished_run, state if finished_run else "", "", part))


def opened(run=RUN, attempt=3, phase="failed", due_ms=7_000):
    return OpenPart(run, attempt, phase, due_ms, lost=0, by="x")


def judged(redis, ledger):
    return decide(RUN, OURS, redis, ledger)


STANDINGS = ("present", "displaced", "settled", "absent")
EVERY_REDIS = [in_redis(standing, run) for standing in STANDINGS for run in (1, 2, 3)]


@pytest.mark.parametrize("redis", EVERY_REDIS, ids=str)
@pytest.mark.parametrize("finished_run", [2, 3])
def test_a_run_the_ledger_has_finished_is_acked(redis, finished_run):
    verdict = judged(redis, in_ledger(finished_run, state="dead"))
    still_open = redis.standing in ("present", "displaced") and redis.run <= finished_run
    assert verdict == Ack(run=finished_run, state="dead", settle=still_open)


@pytest.mark.parametrize("redis", EVERY_REDIS, ids=str)
@pytest.mark.parametrize(
    "ledger", [NO_RECORD, in_ledger(1), in_ledger(part=opened(run=1))], ids=str
)
def test_an_unfinished_run_is_restored_unless_redis_knows_it(redis, ledger):
    known = redis.run > RUN or (redis.run == RUN and redis.standing in ("present", "settled"))
    assert judged(redis, ledger) == (Hold(known=True) if known else Restore(0, 0))


@pytest.mark.parametrize("standing", ["absent", "displaced"])
def test_restoring_brings_attempt_and_due_time_from_the_open_record(standing):
    redis = in_redis(standing)
    assert judged(redis, in_ledger(part=opened())) == Restore(3, 7_000)
    assert judged(redis, in_ledger(1, part=opened())) == Restore(3, 7_000)
    assert judged(redis, in_ledger(part=opened(phase="started"))) == Restore(3, 0)


@pytest.mark.parametrize("finished_run", [0, 1, 2, 3])
@pytest.mark.parametrize("part", [None, opened(), opened(run=1), opened(phase="started")], ids=str)
@pytest.mark.parametrize("digest", [OURS, OTHER])
def test_the_ledger_alone_has_a_copy_restored_just_where_an_empty_redis_would(
    finished_run, part, digest
):
    ledger = in_ledger(finished_run, part=part, digest=digest)
    verdict = judged(in_redis("absent"), ledger)
    by_ledger = decide_by_ledger(RUN, OURS, ledger)
    assert by_ledger == (verdict if isinstance(verdict, Restore) else None)


def test_the_ledger_alone_has_nothing_restored_unless_it_answers():
    assert decide_by_ledger(RUN, OURS, None) is None
    assert decide_by_ledger(RUN, OURS, NO_RECORD) == Restore(0, 0)


@pytest.mark.parametrize("redis", [None, *EVERY_REDIS], ids=str)
def test_without_the_ledger_nothing_is_done(redis):
    verdict = judged(redis, None)
    there = redis is not None and redis.standing == "present" and redis.run == RUN
    assert verdict == Hold(known=there)


@pytest.mark.parametrize("ledger", [None, NO_RECORD, in_ledger(2), in_ledger(3)], ids=str)
def test_without_redis_nothing_is_done(ledger):
    assert judged(None, ledger) == Hold(known=False)


@pytest.mark.parametrize("redis", EVERY_REDIS, ids=str)
@pytest.mark.parametrize("finished_run", [0, 1, 2, 3])
def test_another_request_in_the_ledger_is_a_conflict(redis, finished_run):
    assert isinstance(judged(redis, in_ledger(finished_run, digest=OTHER)), Quarantine)


@pytest.mark.parametrize("standing", ["present", "displaced", "settled"])
@pytest.mark.parametrize("run", [1, 2, 3])
def test_another_request_in_redis_is_a_conflict(standing, run):
    redis = in_redis(standing, run, OTHER)
    assert isinstance(judged(redis, NO_RECORD), Quarantine)
    assert isinstance(judged(redis, in_ledger(1)), Quarantine)


def test_a_recorded_run_is_over_whoever_holds_its_id_in_redis_now():
    verdict = judged(in_redis("present", RUN, OTHER), in_ledger(RUN))
    assert verdict == Ack(RUN, "succeeded", settle=False)


def test_a_digest_nobody_noted_is_no_conflict():
    assert judged(in_redis("present", digest=""), in_ledger(digest="")) == Hold(known=True)


@pytest.mark.parametrize("redis", EVERY_REDIS, ids=str)
def test_only_a_present_task_of_this_run_and_request_spares_the_ledger(redis):
    spared = redis.standing == "present" and redis.run == RUN
    assert needs_ledger(RUN, OURS, redis) is not spared
    assert needs_ledger(RUN, OTHER, redis)


RUNS = st.integers(0, 4)
DIGESTS = st.sampled_from(["", OURS, OTHER])
PARTS = st.none() | st.builds(
    OpenPart, RUNS, st.integers(1, 9), st.sampled_from(["started", "failed"]),
    st.integers(0, 9_000), st.booleans(), st.just("x"),
)  # fmt: skip
REDIS = st.none() | st.builds(InRedis, st.sampled_from(STANDINGS), RUNS, DIGESTS)
LEDGER = st.none() | st.builds(
    Asked, st.none() | st.builds(InLedger, DIGESTS, RUNS, st.just("succeeded"), st.just(""), PARTS)
)


@given(st.integers(1, 4), st.sampled_from([OURS, OTHER]), REDIS, LEDGER)
def test_no_copy_is_let_go_without_the_ledgers_word(run, digest, redis, ledger):
    """P4: finished in this run or a later one, of this very request; and Redis settled first."""
    verdict = decide(run, digest, redis, ledger)
    recorded = ledger.standing if ledger else None
    if isinstance(verdict, Ack):
        assert recorded is not None
        assert recorded.finished_run >= run
        assert recorded.request_digest in ("", digest)
        assert redis is not None
    if isinstance(verdict, Restore):
        assert ledger is not None
        assert recorded is None or recorded.finished_run < run
        assert redis is not None
        assert redis.request_digest in ("", digest)
        assert redis.run < run or redis.standing in ("absent", "displaced")
    if redis is None or ledger is None:
        assert isinstance(verdict, Hold)
