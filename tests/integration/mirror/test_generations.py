"""Redis loses its history in the middle: what was learnt before it counts for nothing (rules 1, 3).

Journal ids are set far ahead of the clock, so that a new history issues the very same ones again.
"""

import pytest

from tests.support.eventually import eventually

AHEAD = "4000000000000-0"
FIRST_ID = "4000000000000-1"


@pytest.fixture
def settings(make_settings, private_redis):
    return make_settings(redis_url=private_redis.url)


async def wipe(world):
    """Every key is gone; the server lives on."""
    await world.raw.flushall()
    world.session.forget()


async def leads(world, mirror):
    return (await world.figures()).get("leader") == mirror.owner


async def published_unconfirmed(world, proxy, task_id):
    """``task_id`` reaches RabbitMQ, its confirm does not come, and nothing more gets through."""
    proxy.hold_answers()
    (journal_id,) = await world.submit(task_id)
    await eventually(lambda: some_copies(world))
    proxy.hold_requests()
    return journal_id


async def some_copies(world):
    return await world.copies_ready() > 0


async def test_a_confirm_of_an_older_history_counts_for_nothing_in_the_new_one(
    proxied, world, proxy
):
    await world.start_ids_at(AHEAD)
    assert await published_unconfirmed(world, proxy, "old") == FIRST_ID

    await wipe(world)
    await world.start_ids_at(AHEAD)
    assert await world.submit("new") == [FIRST_ID]
    await eventually(lambda: leads(world, proxied))
    proxy.flow_answers()
    await eventually(lambda: proxied.total("mirror_confirmed_total") == 2)
    # The mirror keeps the new journal by now, and the old confirm has come.
    assert await world.marks("new") == [False]
    assert await world.journal_ids() == [FIRST_ID]
    assert await world.taken_ids() == ["old"]

    proxy.flow()
    await eventually(lambda: world.all_marked("new"))
    assert await world.taken_ids() == ["new"]
    await proxied.counts(1, "redis_generation_changes_total")


async def test_the_same_task_submitted_again_after_a_wipe_waits_for_its_own_copy(
    proxied, world, proxy
):
    await world.start_ids_at(AHEAD)
    await published_unconfirmed(world, proxy, "a")
    await wipe(world)
    await world.start_ids_at(AHEAD)
    await world.submit("a", payload={"to": "somebody else"})
    await eventually(lambda: leads(world, proxied))
    proxy.flow_answers()
    await eventually(lambda: proxied.total("mirror_confirmed_total") == 2)
    assert await world.marks("a") == [False]
    proxy.flow()
    await eventually(lambda: world.all_marked("a"))
    assert b"somebody else" in (await world.take_copies())[-1].body


async def test_a_confirm_that_comes_before_the_wipe_is_noticed_trims_nothing(
    start_mirror, world, proxy
):
    # A full window is not read into and a long lease not renewed: the trim meets the wipe first.
    mirror = start_mirror(rabbitmq_url=proxy.url, mirror_window=1, mirror_lease_ms=60_000)
    await world.submit("first")
    await eventually(lambda: world.all_marked("first"))
    await world.take_copies()
    await world.start_ids_at(AHEAD)
    await published_unconfirmed(world, proxy, "old")
    await wipe(world)
    await world.start_ids_at(AHEAD)
    assert await world.submit("new") == [FIRST_ID]
    proxy.flow_answers()
    await eventually(lambda: mirror.total("mirror_confirmed_total") == 2)
    await eventually(lambda: mirror.total("redis_generation_changes_total") == 1)
    assert await world.marks("new") == [False]
    assert await world.journal_ids() == [FIRST_ID]
    proxy.flow()
    await eventually(lambda: world.all_marked("new"))
    assert await world.taken_ids() == ["old", "new"]


async def test_the_mirror_goes_on_after_redis_came_back_empty(start_mirror, world, private_redis):
    mirror = start_mirror()
    await world.submit("before")
    await eventually(lambda: world.all_marked("before"))
    private_redis.wipe()
    await private_redis.start()
    world.session.forget()
    await eventually(lambda: submitted(world, "after"))
    await eventually(lambda: world.all_marked("after"))
    assert await world.taken_ids() == ["before", "after"]
    await mirror.counts(1, "redis_generation_changes_total")


async def submitted(world, task_id):
    try:
        return await world.submit(task_id)
    except Exception:
        world.session.forget()
        return None


async def test_the_journal_of_a_restarted_redis_is_mirrored_from_its_start(
    proxied, world, private_redis, proxy
):
    await published_unconfirmed(world, proxy, "a")
    await world.submit("b")
    private_redis.kill9()
    await private_redis.start()
    world.session.forget()
    proxy.flow()
    await eventually(lambda: restarted_and_marked(world, "a", "b"))
    assert set(await world.taken_ids()) == {"a", "b"}


async def restarted_and_marked(world, *ids):
    try:
        return await world.all_marked(*ids)
    except Exception:
        world.session.forget()
        return False


async def test_a_task_whose_hash_names_another_entry_is_not_marked_by_the_first_ones_confirm(
    proxied, world, proxy
):
    first = await published_unconfirmed(world, proxy, "a")
    # The hash is lost and the task submitted again: its journal entry is another one.
    await world.raw.delete(world.keys.task("a"))
    (second,) = await world.submit("a")
    proxy.flow_answers()
    await eventually(lambda: trimmed_to(world, first))
    assert await world.marks("a") == [False]
    assert await world.journal_ids() == [second]
    proxy.flow()
    await eventually(lambda: world.all_marked("a"))
    assert await world.taken_ids() == ["a", "a"]


async def trimmed_to(world, journal_id):
    return (await world.figures()).get("watermark") == journal_id


async def test_a_journal_that_was_lost_alone_is_read_from_its_start(start_mirror, world):
    await world.start_ids_at(AHEAD)
    start_mirror()
    await world.submit("a")
    await eventually(lambda: world.all_marked("a"))
    await world.raw.delete(world.keys.journal)
    # Ids begin lower than the last one read.
    await world.submit("b")
    await eventually(lambda: world.all_marked("b"))
    assert await world.taken_ids() == ["a", "b"]
