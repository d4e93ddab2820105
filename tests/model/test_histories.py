"""Any history of work, faults and losses keeps every promise, and comes to a good end."""

import pytest

from tests.model.machine import run_histories

HISTORIES = 2_000


@pytest.mark.timeout(600)
def test_every_promise_holds_after_every_step():
    run_histories(HISTORIES)
