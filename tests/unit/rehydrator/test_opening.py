"""Which of the errors of batches that were in hand together is told."""

import pytest

from app.errors import EnvMismatch, StaleGeneration, Unavailable
from rehydrator.opening import _raise_the_worst
from rehydrator.source import CopiesLost


@pytest.mark.parametrize("worse", [CopiesLost("gone"), StaleGeneration(), EnvMismatch("another")])
def test_what_voids_the_opening_is_told_before_what_may_be_tried_again(worse):
    with pytest.raises(type(worse)):
        _raise_the_worst([None, Unavailable("ledger", "away"), worse])


def test_nothing_is_told_where_nothing_failed():
    _raise_the_worst([None, None])
