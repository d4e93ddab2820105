"""``look.lua``, ``marks.lua``: what Redis knows of tasks, and which have a confirmed copy."""

from tests.support.broker import FAR_MS, settle_of
from tests.support.envelopes import envelope


async def test_unknown_tasks_are_answered_in_their_place_of_the_list(broker):
    await broker.submit(envelope("b"))
    found = await broker.intake.look(broker.token, ["a", "b", "c"])
    assert [each is not None for each in found] == [False, True, False]


async def test_a_ready_task_shows_its_hash_and_the_envelope_of_its_entry(broker):
    await broker.submit(envelope())
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.fields["state"] == "queued"
    assert found.envelope == envelope().raw


async def test_a_delayed_task_shows_the_envelope_but_not_among_its_fields(broker):
    await broker.submit(envelope(notBefore=FAR_MS))
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.fields["due"] == str(FAR_MS)
    assert "envelope" not in found.fields
    assert found.envelope == envelope(notBefore=FAR_MS).raw


async def test_a_settled_task_has_no_envelope(broker):
    await broker.settle(settle_of(await broker.running()))
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.fields["state"] == "succeeded"
    assert found.envelope is None


async def test_a_task_whose_stream_was_lost_has_no_envelope(broker):
    await broker.submit(envelope())
    await broker.lose_lane()
    (found,) = await broker.intake.look(broker.token, ["a"])
    assert found.fields["state"] == "queued"
    assert found.envelope is None


async def test_the_mark_is_none_without_a_hash_and_false_without_a_confirm(broker):
    await broker.submit(envelope("a"), envelope("b"))
    (first, *_), _ = await broker.journal.read(broker.token, None, 1)
    await broker.journal.trim(broker.token, [first])
    asked = [("a", 1), ("b", 1), ("c", 1)]
    assert await broker.intake.mirrored(broker.token, asked) == [True, False, None]


async def test_the_mark_of_a_lower_run_is_none_for_a_later_one(broker):
    await broker.restore(envelope(run=2))
    assert await broker.intake.mirrored(broker.token, [("a", 1), ("a", 2), ("a", 3)]) == [
        True,
        True,
        False,
    ]


async def test_the_mark_of_another_request_is_none(broker):
    task = envelope()
    await broker.restore(task)
    own, others = task.request_digest, envelope(payload={"to": "y"}).request_digest
    for digest, mark in ((own, True), (others, None)):
        assert await broker.intake.mirrored(broker.token, [("a", 1)], [digest]) == [mark]
