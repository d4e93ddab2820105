"""The state machine: the table, and what follows from it."""

import pytest

from app.state import FINISHED, MOVES, OPEN, PARKED, TERMINAL, TaskState, can_move, run_after

S = TaskState

# Contract section 3, a second time.
ALLOWED = {
    S.SCHEDULED: {S.QUEUED, S.CANCELLED, S.EXPIRED},
    S.QUEUED: {S.RUNNING, S.CANCELLED, S.EXPIRED, S.SUSPENDED, S.DEAD},
    S.RUNNING: {S.SUCCEEDED, S.RETRYING, S.DEAD, S.SUSPENDED, S.CANCELLED, S.QUEUED},
    S.RETRYING: {S.QUEUED, S.CANCELLED, S.EXPIRED},
    S.DEAD: {S.QUEUED, S.DISCARDED},
    S.SUSPENDED: {S.QUEUED, S.DISCARDED, S.CANCELLED},
    S.SUCCEEDED: set(),
    S.CANCELLED: set(),
    S.EXPIRED: set(),
    S.DISCARDED: set(),
}


@pytest.mark.parametrize("old", S)
@pytest.mark.parametrize("new", S)
def test_a_task_moves_as_the_contract_says(old, new):
    assert can_move(old, new) == (new in ALLOWED[old])


def test_every_state_has_its_row():
    assert set(MOVES) == set(S)


def test_every_state_is_open_or_finished_and_a_finished_one_terminal_or_parked():
    assert set(S) == OPEN | FINISHED
    assert not OPEN & FINISHED
    assert FINISHED == TERMINAL | PARKED
    assert not TERMINAL & PARKED


def test_nothing_leaves_a_terminal_state():
    assert all(not MOVES[state] for state in TERMINAL)


def test_a_parked_state_is_left():
    assert all(MOVES[state] for state in PARKED)


@pytest.mark.parametrize("state", S)
def test_every_state_can_be_reached(state):
    reached = {S.SCHEDULED}
    for _ in S:
        reached |= {new for old in reached for new in MOVES[old]}
    assert state in reached


@pytest.mark.parametrize("state", sorted(OPEN))
def test_every_open_task_can_still_end(state):
    reached = {state}
    for _ in S:
        reached |= {new for old in reached for new in MOVES[old]}
    assert reached & TERMINAL


@pytest.mark.parametrize("state", S)
def test_leaving_a_parked_state_begins_the_next_run(state):
    assert run_after(state, 3) == (4 if state in PARKED else 3)


def test_states_are_written_as_their_names():
    assert str(S.SUCCEEDED) == "succeeded"
    assert [str(state) for state in S] == [state.name.lower() for state in S]
