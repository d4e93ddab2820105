"""A rehydrator dies between any two of its writes: the next one goes on, and nothing runs twice."""

import pytest

from rehydrator.loss import JOURNAL
from tests.e2e.ring import NAME, Ring
from tests.support.eventually import eventually

AT_A_FINISHED_COPY = (
    "rehydrator.after_receive",
    "rehydrator.before_settle",
    "rehydrator.before_ack",
    "rehydrator.after_ack",
)
AFTER_A_LOSS = (
    "rehydrator.after_pend",
    "rehydrator.after_marks",
    "rehydrator.before_restore",
    "rehydrator.after_restore",
    "rehydrator.before_fence",
    "rehydrator.after_fence",
    "rehydrator.before_complete",
    "rehydrator.after_complete",
)
OF_A_RUN = (
    "rehydrator.after_checkpoint",
    "rehydrator.after_restore",
    "rehydrator.before_complete",
)
"""Each keeps the next run waiting for its lease."""
AT_A_REFRESH = (
    "rehydrator.before_refresh",
    "rehydrator.after_refresh",
    "rehydrator.before_let_go",
    "rehydrator.after_let_go",
)
AT_A_QUARANTINE = (
    "rehydrator.before_quarantine",
    "rehydrator.after_record",
    "rehydrator.after_quarantine",
)


@pytest.fixture(scope="module")
def ring(tmp_path_factory, redis_server, rabbitmq_server):
    ring = Ring(tmp_path_factory.mktemp("ring"), redis_server.url, rabbitmq_server)
    ring.keep("api", "worker", "mirror")
    yield ring
    ring.close()


@pytest.fixture
async def rehearsal(ring):
    async with ring.rehearsal() as rehearsal:
        await rehearsal.answers(ring.here["api"])
        yield rehearsal


async def all_end_well(rehearsal):
    """The next one brings everything to its end; it dies with the test."""
    rehydrator = rehearsal.ring.start("rehydrator")
    await rehearsal.unpause()
    await rehearsal.end()
    assert rehearsal.each_once()
    rehydrator.kill9()


async def waiting(rehearsal):
    """The tasks wait in Redis, with copies."""
    await rehearsal.pause()
    await rehearsal.mirror_all()


@pytest.mark.parametrize("point", AT_A_FINISHED_COPY)
async def test_at_a_finished_copy(rehearsal, point):
    await rehearsal.mirror_all()
    await rehearsal.recorded()
    await rehearsal.ring.start("rehydrator", crash_at=point).dies()
    await all_end_well(rehearsal)


async def all_die(rehearsal, points, process="rehydrator", **changes):
    """One after the other, each at its point."""
    for point in points:
        await rehearsal.ring.start(process, crash_at=point, **changes).dies()


async def seen(rehearsal):
    """A rehydrator has noted how far Redis got, and is gone."""
    raw, keys = rehearsal.redis.redis, rehearsal.keys
    token = (await raw.hget(keys.generation, "token")).decode()
    added = (await raw.xinfo_stream(keys.journal))["entries-added"]
    rehydrator = rehearsal.ring.start("rehydrator")

    async def noted():
        marks = await rehearsal.ledger.get_marks(NAME.tenant, NAME.queue)
        journal = marks.streams.get(JOURNAL) if marks and marks.token == token else None
        return journal is not None and journal.added == added

    await eventually(noted, within_s=60)
    rehydrator.kill9()


async def test_after_a_loss(rehearsal):
    await waiting(rehearsal)
    await seen(rehearsal)
    await rehearsal.lose_redis()
    await all_die(rehearsal, AFTER_A_LOSS)
    await all_end_well(rehearsal)


async def test_in_a_run_after_a_loss(rehearsal):
    await waiting(rehearsal)
    await rehearsal.lose_redis()
    await all_die(rehearsal, OF_A_RUN, "rehydrate")
    await all_end_well(rehearsal)


@pytest.fixture
def away(ring):
    """The mirror is."""
    ring.here["mirror"].kill9()
    yield
    ring.keep("mirror")


@pytest.mark.usefixtures("away")
async def test_when_a_lost_journal_was_written_again(rehearsal):
    await rehearsal.pause()
    await rehearsal.submit(durability="fast")
    await seen(rehearsal)
    await rehearsal.redis.redis.delete(rehearsal.keys.journal)
    await all_die(rehearsal, ["rehydrator.after_rejournal"])
    assert await rehearsal.redis.redis.xlen(rehearsal.keys.journal) == len(rehearsal.ids)
    rehearsal.ring.keep("mirror")
    await rehearsal.mirror_all()
    await all_end_well(rehearsal)


async def test_at_a_refresh(rehearsal):
    await waiting(rehearsal)
    await all_die(rehearsal, AT_A_REFRESH, refresh_after_ms=1_000)
    await all_end_well(rehearsal)


async def test_at_a_quarantine(rehearsal):
    task_id = rehearsal.ids[0]
    await rehearsal.mirror_all()
    await rehearsal.spoil(task_id)
    await all_die(rehearsal, AT_A_QUARANTINE)
    await all_end_well(rehearsal)
    (copy,) = await rehearsal.quarantined(task_id)
    assert (await rehearsal.post(f"/quarantine/{copy.id}/discard"))[0] == 200
    keeper = rehearsal.ring.start("rehydrator")
    await eventually(lambda: rehearsal.set_aside_are(0), within_s=60, every_s=0.2)
    keeper.kill9()


async def test_when_it_took_a_run_that_was_asked_for(rehearsal):
    await waiting(rehearsal)
    rehydrator = rehearsal.ring.start("rehydrator", crash_at="rehydrator.after_wish")

    async def is_asked_for():
        return (await rehearsal.post("/rehydrations", {}))[0] == 202

    # A run that was killed in another test keeps its lease for a while.
    await eventually(is_asked_for, within_s=30)
    await rehydrator.dies()
    rehydrator = rehearsal.ring.start("rehydrator")
    status, run = await rehearsal.post("/rehydrations", {})
    assert status == 202

    async def complete():
        return (await rehearsal.ledger.get_rehydration(run["id"])).state == "complete"

    await eventually(complete, within_s=60, every_s=0.2)
    rehydrator.kill9()
    await all_end_well(rehearsal)
