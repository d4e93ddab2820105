"""Rule 1 in every script: who learnt something from another history is refused, and writes nothing."""

from importlib.resources import files

import pytest

from app.broker.generation import attach
from app.errors import StaleGeneration, Unavailable
from tests.support.envelopes import envelope

# The one makes tokens, the others look at no queue.
WITHOUT_TOKEN = {"attach", "probe", "announce_worker", "forget_worker", "list_workers"}
SCRIPTS = sorted(
    path.name.removesuffix(".lua")
    for path in (files("app.broker") / "lua").iterdir()
    if path.name.endswith(".lua") and not path.name.startswith("_")
)
CHECKED = [name for name in SCRIPTS if name not in WITHOUT_TOKEN]


async def call(broker, name, token):
    keys = broker.keys
    names = [keys.generation, keys.task("a"), *keys.lanes, keys.delayed, keys.journal, keys.mirror]
    await broker.redis.script(name, names + names[1:] * 2, [token, *["1"] * 30])


@pytest.fixture
async def filled(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.fetch(count=1)
    return broker


def test_the_scripts_are_found():
    assert len(CHECKED) >= 24


@pytest.mark.parametrize("name", CHECKED)
async def test_a_token_of_another_generation_is_refused(filled, name):
    before = await filled.snapshot()
    with pytest.raises(StaleGeneration):
        await call(filled, name, "0" * 32)
    assert await filled.snapshot() == before


@pytest.mark.parametrize("name", CHECKED)
async def test_the_right_token_is_refused_by_another_run_of_the_server(filled, name):
    await filled.raw.hset(filled.keys.generation, "run_id", "of-an-earlier-run")
    before = await filled.snapshot()
    with pytest.raises(StaleGeneration):
        await call(filled, name, filled.token)
    assert await filled.snapshot() == before


@pytest.mark.parametrize("name", CHECKED)
async def test_any_token_is_refused_where_nobody_has_attached(filled, name):
    await filled.raw.delete(filled.keys.generation)
    for token in (filled.token, ""):
        with pytest.raises(StaleGeneration):
            await call(filled, name, token)


async def test_stale_is_a_kind_of_unavailable_so_that_nobody_takes_it_for_an_answer(broker):
    await broker.restart()
    with pytest.raises(Unavailable):
        await broker.intake.look("0" * 32, ["a"])
    # Redis is there: the next call is not turned away.
    await attach(broker.redis, broker.keys)
