"""The next run of a parked task: what it keeps of the first request and what is new."""

import pytest

from app.broker.intake import Sighting
from app.envelope import decode, encode
from app.ledger.records import FinishedPart, LedgerRecord
from app.names import TaskKey
from app.task_queue.redriving import is_redriven, next_run

KEY = TaskKey("acme", "mail", "t1")
OLD = encode(
    key=KEY,
    type="report",
    payload={"n": 1},
    context={"channel": "telegram", "chatId": 7},
    options={"priority": "high", "notBefore": 9_000, "expiresAt": 99_000, "timeoutMs": 500},
    run=1,
    digest="ab" * 32,
    accepted_at_ms=5,
)


def test_it_is_new_but_for_what_identifies_the_request():
    new = decode(next_run(KEY, OLD.raw, 3, None, 77).raw)
    assert (new.key, new.run, new.accepted_at_ms) == (KEY, 4, 77)
    assert new.request_digest == OLD.request_digest
    assert (new.type, new.payload, new.context) == (OLD.type, OLD.payload, OLD.context)


def test_it_waits_for_nothing_and_keeps_its_other_options():
    options = next_run(KEY, OLD.raw, 1, None, 77).options
    assert options == {"priority": "high", "expiresAt": 99_000, "timeoutMs": 500}


def test_another_payload_takes_the_place_of_the_first():
    new = next_run(KEY, OLD.raw, 1, {}, 77)
    assert (new.payload, new.request_digest) == ({}, OLD.request_digest)


@pytest.mark.parametrize(
    ("noted", "seen_run", "expected"),
    [(False, None, False), (True, None, True), (False, 1, False), (False, 2, True)],
)
def test_a_next_run_is_known_from_either_store(noted, seen_run, expected):
    part = FinishedPart(1, "dead", 2, "w", 1, None, None)
    record = LedgerRecord(KEY, "ab" * 32, OLD.raw, part, None, (), None, noted)
    seen = Sighting({"run": str(seen_run)}, None) if seen_run else None
    assert is_redriven(record, seen) is expected
