"""A mirror dies between any two of its writes: the next one gives every task its copy."""

import pytest

from tests.e2e.ring import Ring
from tests.support.envelopes import QUEUE, TENANT
from tests.support.eventually import eventually

AT_A_START = ("mirror.after_lease", "mirror.after_declare")
WITH_A_TASK = (
    "mirror.after_read",
    "mirror.after_publish",
    "mirror.after_confirm",
    "mirror.after_trim",
)
FAST = {"durability": "fast"}


@pytest.fixture(scope="module")
def ring(tmp_path_factory, redis_server, rabbitmq_server):
    ring = Ring(tmp_path_factory.mktemp("ring"), redis_server.url, rabbitmq_server)
    ring.keep("api", "worker", "rehydrator")
    yield ring
    ring.close()


@pytest.fixture
async def rehearsal(ring):
    async with ring.rehearsal() as rehearsal:
        await rehearsal.answers(ring.here["api"])
        yield rehearsal


async def all_are_mirrored(rehearsal):
    """The tasks reach their copies by another mirror, and then their end; it dies with the test."""
    mirror = rehearsal.ring.start("mirror")
    await rehearsal.mirror_all()
    await rehearsal.unpause()
    await rehearsal.end()
    assert rehearsal.each_once()
    mirror.kill9()


@pytest.mark.parametrize("point", [*AT_A_START, *WITH_A_TASK])
async def test_at_every_point_of_a_copy(rehearsal, point):
    await rehearsal.pause()
    await rehearsal.submit(**FAST)
    mirror = rehearsal.ring.start("mirror", crash_at=point)
    await mirror.dies()
    journaled = await rehearsal.redis.redis.xlen(rehearsal.keys.journal)
    assert journaled == (0 if point == "mirror.after_trim" else len(rehearsal.ids))
    if point in ("mirror.after_publish", "mirror.after_confirm", "mirror.after_trim"):
        await eventually(lambda: rehearsal.copies_are(len(rehearsal.ids)), within_s=60, every_s=0.2)
    await all_are_mirrored(rehearsal)


async def test_at_its_leave(rehearsal):
    await rehearsal.pause()
    mirror = rehearsal.ring.start("mirror", crash_at="mirror.before_release")
    await rehearsal.mirror_all()
    mirror.ask_to_stop()
    await mirror.dies()
    await all_are_mirrored(rehearsal)


async def test_when_an_entry_that_is_no_envelope_was_recorded(rehearsal):
    await rehearsal.pause()
    fields = {"id": "bad", "run": 1, "kind": "task", "envelope": b"\xff rubbish"}
    await rehearsal.redis.redis.xadd(rehearsal.keys.journal, fields)
    await rehearsal.submit(**FAST)
    mirror = rehearsal.ring.start("mirror", crash_at="mirror.after_record")
    await mirror.dies()
    await all_are_mirrored(rehearsal)
    (record,) = await rehearsal.ledger.quarantined(10)
    assert (record.tenant, record.queue, record.task_id) == (TENANT, QUEUE, "bad")


@pytest.mark.parametrize("point", ["mirror.after_publish", "mirror.after_confirm"])
async def test_at_a_refresh(rehearsal, point):
    await rehearsal.pause()
    first = rehearsal.ring.start("mirror")
    await rehearsal.mirror_all()
    first.kill9()
    rehearsal.ring.here["rehydrator"].kill9()
    rehearsal.ring.keep("rehydrator", refresh_after_ms=1_000)
    mirror = rehearsal.ring.start("mirror", crash_at=point)
    await mirror.dies()
    await all_are_mirrored(rehearsal)
