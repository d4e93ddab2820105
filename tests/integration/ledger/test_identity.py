"""Who a ledger is: the same on every visit, and of one env."""

import asyncio

import pytest

from app.errors import LedgerMismatch


async def test_the_identity_stays(make, tmp_path, kind):
    first, second = make(), make()
    assert first.identity == ""
    await first.open()
    await second.open()
    await first.open()
    assert first.identity
    assert first.identity == second.identity


async def test_another_place_is_another_ledger(make, kind, place):
    other = place.replace("?", "-other?") if kind == "mongo" else place.with_name("other")
    first, second = make(), make(other)
    await first.open()
    await second.open()
    assert first.identity != second.identity


async def test_processes_that_start_together_agree(make):
    ledgers = [make() for _ in range(8)]
    await asyncio.gather(*(each.open() for each in ledgers))
    assert len({each.identity for each in ledgers}) == 1


async def test_another_envs_ledger_is_refused(make):
    await make(env="live").open()
    other = make(env="test")
    with pytest.raises(LedgerMismatch, match="belongs to env 'live', not to 'test'"):
        await other.open()
    assert other.identity == ""


async def test_a_ping(ledger):
    await ledger.ping()
