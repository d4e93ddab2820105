"""Copies of another system are noticed before anything is done with them."""

import pytest

from app.amqp.message import Origin
from app.errors import EnvMismatch, LedgerMismatch
from rehydrator.arrivals import Home, check_origin

HOME = Home("prod", "ledger-1", adopt=False)


@pytest.mark.parametrize("ledger", ["ledger-1", ""])
def test_copies_of_this_system_are_taken(ledger):
    check_origin(Origin("prod", ledger), HOME)


def test_another_ledgers_copies_are_refused():
    with pytest.raises(LedgerMismatch, match="ledger-2"):
        check_origin(Origin("prod", "ledger-2"), HOME)


def test_another_ledger_can_be_adopted():
    check_origin(Origin("prod", "ledger-2"), Home("prod", "ledger-1", adopt=True))


@pytest.mark.parametrize("adopt", [False, True])
def test_another_envs_copies_are_refused_always(adopt):
    with pytest.raises(EnvMismatch, match="env 'test'"):
        check_origin(Origin("test", "ledger-1"), Home("prod", "ledger-1", adopt=adopt))
