import math

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from app.ledger.records import ErrorInfo
from app.registry import Discard, Retry, Suspend
from app.retry import MAX_DELAY_LIMIT_MS, RetryPolicy
from app.state import TaskState, can_move
from app.worker.outcome import (
    Again,
    Cancelled,
    Done,
    Failed,
    Limits,
    Succeeded,
    Suspended,
    decide,
)

NOW_MS = 1_700_000_000_000
POLICY = RetryPolicy(max_attempts=3, base_delay_ms=1_000, factor=2, jitter=0.5)
LIMITS = Limits(result_bytes=1_024, error_bytes=256)
BROKEN = ErrorInfo("Broken", "it broke", retryable=True)
FINAL = ErrorInfo("Broken", "it broke for good", retryable=False)


@pytest.mark.parametrize(
    ("outcome", "attempt", "settlement"),
    [
        (Succeeded(b"1"), 1, Done(TaskState.SUCCEEDED, "succeeded", result=b"1")),
        (Succeeded(b"1"), 3, Done(TaskState.SUCCEEDED, "succeeded", result=b"1")),
        (Cancelled(), 1, Done(TaskState.CANCELLED, "cancelled")),
        (Suspended(FINAL), 1, Done(TaskState.SUSPENDED, "failed", error=FINAL)),
        (Failed(BROKEN), 1, Again(NOW_MS + 1_000, "failed", BROKEN)),
        (Failed(BROKEN), 2, Again(NOW_MS + 2_000, "failed", BROKEN)),
        (Failed(BROKEN), 3, Done(TaskState.DEAD, "failed", error=BROKEN)),
        (Failed(BROKEN), 4, Done(TaskState.DEAD, "failed", error=BROKEN)),
        (Failed(FINAL), 1, Done(TaskState.DEAD, "failed", error=FINAL)),
        (Failed(BROKEN, after_ms=7), 1, Again(NOW_MS + 7, "failed", BROKEN)),
        (Failed(BROKEN, after_ms=0), 1, Again(NOW_MS, "failed", BROKEN)),
        (Failed(BROKEN, after_ms=7), 3, Done(TaskState.DEAD, "failed", error=BROKEN)),
        (Failed(BROKEN, timed_out=True), 1, Again(NOW_MS + 1_000, "timeout", BROKEN)),
        (Failed(BROKEN, timed_out=True), 3, Done(TaskState.DEAD, "timeout", error=BROKEN)),
    ],
)
def test_each_outcome_has_its_settlement(outcome, attempt, settlement):
    assert decide(outcome, attempt, POLICY, NOW_MS, 0) == settlement


def test_every_decision_is_a_move_that_a_running_task_may_make():
    for outcome in (Succeeded(b"1"), Cancelled(), Suspended(FINAL), Failed(FINAL), Failed(BROKEN)):
        settlement = decide(outcome, 1, POLICY, NOW_MS, 0)
        state = settlement.state if isinstance(settlement, Done) else TaskState.RETRYING
        assert can_move(TaskState.RUNNING, state)


@pytest.mark.parametrize(("spread", "delay_ms"), [(-1, 500), (1, 1_500)])
def test_the_spread_moves_the_delay_within_the_jitter(spread, delay_ms):
    assert decide(Failed(BROKEN), 1, POLICY, NOW_MS, spread).due_ms == NOW_MS + delay_ms


def test_a_wished_delay_is_bounded():
    settlement = decide(Failed(BROKEN, after_ms=10**15), 1, POLICY, NOW_MS, 0)
    assert settlement.due_ms == NOW_MS + MAX_DELAY_LIMIT_MS


class Answer(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("value", "result"),
    [(None, b"null"), ({"a": 1}, b'{"a":1}'), (Answer(text="x"), b'{"text":"x"}')],
)
def test_a_result_becomes_json(value, result):
    assert LIMITS.succeeded(value) == Succeeded(result)


@pytest.mark.parametrize("value", [object(), {1: object()}, "\ud800", {"n": 2**70}])
def test_a_result_that_is_no_json_fails_for_good(value):
    failed = LIMITS.succeeded(value)
    assert (failed.error.type, failed.error.retryable) == ("invalid_result", False)


@pytest.mark.parametrize("value", ["x" * 5_000, "ü" * 5_000, '"\\' * 3_000, ["\n"] * 2_000])
def test_a_long_result_is_cut_to_json_within_the_limit(value):
    result = LIMITS.succeeded(value).result
    assert len(result) <= LIMITS.result_bytes
    cut = orjson.loads(result)
    whole = orjson.dumps(value)
    assert cut["truncated"] is True
    assert cut["bytes"] == len(whole)
    assert cut["preview"]
    assert whole.startswith(cut["preview"].encode())


def test_an_error_text_is_cut_between_characters():
    error = LIMITS.error("Broken", "ü" * 200, retryable=True)
    assert (error.message, error.truncated) == ("ü" * 128, True)
    assert LIMITS.error("Broken", "x" * 256, retryable=True).truncated is False


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "kind", "type", "retryable", "after_ms"),
    [
        (ValueError("x"), Failed, "ValueError", True, None),
        (Unspeakable(), Failed, "Unspeakable", True, None),
        (Discard("x"), Failed, "discard", False, None),
        (Discard("x", type="gone"), Failed, "gone", False, None),
        (Retry("x"), Failed, "retry", True, None),
        (Retry("x", after=1.5), Failed, "retry", True, 1_500),
        (Retry("x", after=-1), Failed, "retry", True, 0),
        (Suspend("x"), Suspended, "suspend", False, None),
    ],
)
def test_each_exception_says_what_it_means(error, kind, type, retryable, after_ms):
    outcome = LIMITS.raised(error)
    assert isinstance(outcome, kind)
    assert (outcome.error.type, outcome.error.retryable) == (type, retryable)
    assert getattr(outcome, "after_ms", None) == after_ms


@pytest.mark.parametrize("after", [math.inf, math.nan])
def test_an_endless_wish_is_no_wish(after):
    assert LIMITS.raised(Retry("x", after=after)).after_ms is None


def test_an_invalid_payload_names_its_fields():
    with pytest.raises(ValidationError) as raised:
        Answer.model_validate({"text": 3})
    failed = LIMITS.invalid_payload(raised.value)
    assert failed.error == ErrorInfo(
        "invalid_payload", "#/payload/text: Must be a string.", retryable=False
    )
