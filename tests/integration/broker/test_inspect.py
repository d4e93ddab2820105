"""``inspect.lua``: how tasks stand here; a hash alone proves nothing."""

from app.broker.delivery import PutOff
from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def test_an_unknown_task_is_absent(broker):
    standing = await broker.inspect()
    assert (standing.standing, standing.run, standing.request_digest) == ("absent", 0, "")


async def test_a_ready_task_is_present(broker):
    await broker.submit(envelope())
    standing = await broker.inspect()
    assert (standing.standing, standing.run) == ("present", 1)
    assert standing.request_digest == envelope().request_digest


async def test_a_running_task_is_present(broker):
    await broker.running()
    assert (await broker.inspect()).standing == "present"


async def test_scheduled_and_retrying_tasks_are_present(broker):
    await broker.submit(envelope("s", notBefore=FAR_MS))
    entry = await broker.running("r")
    await broker.delivery.put_off(broker.token, "w1", [PutOff(entry, 1, FAR_MS)])
    found = await broker.recovery.inspect(broker.token, ["s", "r"])
    assert [each.standing for each in found] == ["present", "present"]


async def test_a_hash_whose_stream_was_lost_is_displaced(broker):
    await broker.submit(envelope())
    await broker.lose_lane()
    assert (await broker.inspect()).standing == "displaced"


async def test_a_hash_whose_entry_was_lost_is_displaced_beside_others(broker):
    await broker.submit(envelope("a"), envelope("b"))
    await broker.raw.xdel(broker.keys.lanes[1], (await broker.task("a"))["entry"])
    found = await broker.recovery.inspect(broker.token, ["a", "b"])
    assert [each.standing for each in found] == ["displaced", "present"]


async def test_a_hash_whose_delayed_member_was_lost_is_displaced(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    await broker.raw.delete(broker.keys.delayed)
    assert (await broker.inspect()).standing == "displaced"


async def test_a_finished_task_is_settled(broker):
    await broker.settle(settle_of(await broker.running()))
    assert (await broker.inspect()).standing == "settled"


async def test_the_run_is_told(broker):
    await broker.restore(envelope(run=3))
    assert (await broker.inspect()).run == 3
