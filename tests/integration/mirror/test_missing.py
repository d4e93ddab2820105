"""What the mirror cannot publish any more is in its figures, although it is up to date."""

from tests.support.eventually import eventually


async def test_a_task_whose_journal_entry_is_gone_is_a_missing_copy(start_mirror, world):
    ids = await world.submit("a", "b", "c")
    await world.redis.redis.xdel(world.session.keys.journal, ids[1])
    mirror = start_mirror()
    await eventually(lambda: world.all_marked("a", "c"))
    await eventually(lambda: mirror.total("missing_copies") == 1)
    assert mirror.total("unmirrored_tasks") == 0
    assert mirror.total("unmirrored_oldest_age_seconds") == 0
