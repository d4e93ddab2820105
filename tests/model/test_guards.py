"""Without a rule a promise breaks, and the model sees it: so it would, if the rule were lost."""

import pytest

from tests.model.guards import GUARDS
from tests.model.machine import Histories, run_histories
from tests.model.promises import Broken
from tests.model.steps import History, table
from tests.model.world import patched

HISTORIES = 300
LENGTH = 25
SHOWN = [each for each in GUARDS if each.history]
FOUND = [each for each in GUARDS if not each.history]


def replay(guard, without):
    with patched():
        history = History(without)
        try:
            for each in guard.history:
                history.do(each)
            history.world.come_to_rest()
        finally:
            history.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guard", FOUND, ids=str)
def test_chance_finds_that_it_is_missing(guard):
    steps = table(1_500, guard.kinds.split(), calm=guard.calm)
    before = Histories.begun
    with guard.taken_out(), pytest.raises(Broken):
        run_histories(HISTORIES, length=LENGTH, steps=steps, without=guard.without, shrink=False)
    # With it these very histories keep every promise: what broke one is that it was missing.
    run_histories(Histories.begun - before, length=LENGTH, steps=steps, shrink=False)


@pytest.mark.parametrize("guard", SHOWN, ids=str)
def test_a_history_shows_that_it_is_missing(guard):
    replay(guard, frozenset())
    with guard.taken_out(), pytest.raises(Broken):
        replay(guard, guard.without)
