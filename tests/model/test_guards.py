"""Without a rule a promise breaks, and the model sees it: so it would, if the rule were lost."""

import pytest

from tests.model.guards import GUARDS
from tests.model.machine import run_histories
from tests.model.promises import Broken
from tests.model.steps import table

HISTORIES = 400
LENGTH = 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guard", GUARDS, ids=str)
def test_the_model_misses_it(guard):
    steps = table(1_500, guard.kinds.split())
    with guard.taken_out(), pytest.raises(Broken):
        run_histories(HISTORIES, length=LENGTH, steps=steps, without=guard.without, shrink=False)
