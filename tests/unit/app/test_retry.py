"""Backoff: inside its bounds for whatever policy may be set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.retry import MAX_ATTEMPTS_LIMIT, MAX_DELAY_LIMIT_MS, RetryPolicy

DELAYS = st.integers(0, MAX_DELAY_LIMIT_MS)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, MAX_ATTEMPTS_LIMIT),
    base_delay_ms=DELAYS,
    factor=st.floats(1, 100) | st.integers(1, 100),
    max_delay_ms=DELAYS,
    jitter=st.floats(0, 1),
    delays_ms=st.none() | st.lists(DELAYS, max_size=99).map(tuple),
)
ATTEMPTS = st.integers(1, MAX_ATTEMPTS_LIMIT)
STEADY = RetryPolicy(jitter=0)


def test_the_contracts_default():
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.jitter) == (8, 0.2)
    delays = [policy.delay_ms(attempt, 0) for attempt in range(1, 8)]
    assert delays == [15_000, 30_000, 60_000, 120_000, 180_000, 180_000, 180_000]


@given(POLICIES, ATTEMPTS, st.floats(-1, 1))
def test_a_delay_is_a_whole_number_inside_its_bounds(policy, attempt, spread):
    delay = policy.delay_ms(attempt, spread)
    assert type(delay) is int
    most = max(policy.delays_ms) if policy.delays_ms else policy.max_delay_ms
    assert 0 <= delay <= round(most * (1 + policy.jitter)) + 1


@given(POLICIES, ATTEMPTS)
def test_jitter_spreads_evenly_around_the_steady_delay(policy, attempt):
    steady = policy.delay_ms(attempt, 0)
    low, high = policy.delay_ms(attempt, -1), policy.delay_ms(attempt, 1)
    assert low <= steady <= high
    assert abs((high - steady) - (steady - low)) <= 2


@given(POLICIES.filter(lambda policy: not policy.delays_ms), ATTEMPTS, ATTEMPTS)
def test_a_growing_delay_never_shrinks(policy, one, other):
    earlier, later = sorted((one, other))
    assert policy.delay_ms(earlier, 0) <= policy.delay_ms(later, 0)


@given(st.integers(1, 1_000), st.integers(1, 4), st.integers(1, 8))
def test_growth_is_base_times_factor_to_the_attempt(base, factor, attempt):
    policy = RetryPolicy(
        base_delay_ms=base, factor=factor, max_delay_ms=MAX_DELAY_LIMIT_MS, jitter=0
    )
    assert policy.delay_ms(attempt, 0) == base * factor ** (attempt - 1)


@pytest.mark.parametrize("factor", [1, 1.0, 1 + 2**-52, 1.5, 2, 100, 100.0, 1e9])
@pytest.mark.parametrize("base", [0, 1, 15_000, MAX_DELAY_LIMIT_MS])
def test_the_largest_numbers_do_not_overflow(factor, base):
    policy = RetryPolicy(
        max_attempts=100, base_delay_ms=base, factor=factor, max_delay_ms=MAX_DELAY_LIMIT_MS
    )
    for attempt in (1, 2, 99, 100):
        assert policy.delay_ms(attempt, 1) <= MAX_DELAY_LIMIT_MS * 1.2
    if base and factor >= 1.5:
        assert policy.delay_ms(100, 0) == MAX_DELAY_LIMIT_MS


def test_a_base_above_the_most_is_the_most():
    assert RetryPolicy(base_delay_ms=5_000, max_delay_ms=10, jitter=0).delay_ms(1, 0) == 10
    assert RetryPolicy(base_delay_ms=5, factor=1, max_delay_ms=0, jitter=0).delay_ms(9, 0) == 0


def test_listed_delays_come_in_order_and_the_last_stays():
    policy = RetryPolicy(max_attempts=9, delays_ms=(10, 5, 70), jitter=0)
    assert [policy.delay_ms(attempt, 0) for attempt in range(1, 6)] == [10, 5, 70, 70, 70]


def test_no_override_is_the_same_policy():
    assert STEADY.overridden(None) is STEADY
    assert STEADY.overridden({}) is STEADY


def test_members_left_out_keep_the_types_value():
    own = RetryPolicy(3, 100, 1.5, 900, 0.7)
    assert own.overridden({"maxAttempts": 5}) == RetryPolicy(5, 100, 1.5, 900, 0.7)
    assert own.overridden({"baseDelayMs": 5}) == RetryPolicy(3, 5, 1.5, 900, 0.7)
    assert own.overridden({"factor": 5}) == RetryPolicy(3, 100, 5, 900, 0.7)
    assert own.overridden({"maxDelayMs": 5}) == RetryPolicy(3, 100, 1.5, 5, 0.7)
    assert own.overridden({"jitter": 0}) == RetryPolicy(3, 100, 1.5, 900, 0)


def test_listed_delays_decide_the_attempts():
    own = RetryPolicy(3, 100, 1.5, 900, 0.7)
    for delays in ([], [5], [1, 2, 3], [0] * 99):
        policy = own.overridden({"delaysMs": delays})
        assert policy.max_attempts == len(delays) + 1
        assert policy.jitter == 0.7
        assert [
            own.overridden({"delaysMs": delays, "jitter": 0}).delay_ms(n + 1, 0)
            for n in range(len(delays))
        ] == delays


def test_a_types_listed_delays_are_kept_too():
    own = RetryPolicy(max_attempts=4, delays_ms=(10, 20, 30))
    assert own.overridden({"jitter": 0}) == RetryPolicy(4, jitter=0, delays_ms=(10, 20, 30))
    assert own.overridden({"maxAttempts": 2}).delays_ms == (10, 20, 30)
    assert own.overridden({"maxAttempts": 2}).max_attempts == 2


def test_a_growing_delay_replaces_a_types_listed_delays():
    own = RetryPolicy(max_attempts=4, delays_ms=(10, 20, 30), jitter=0)
    policy = own.overridden({"baseDelayMs": 7, "factor": 3})
    assert [policy.delay_ms(n, 0) for n in (1, 2)] == [7, 21]
    assert policy.max_attempts == 4
