"""What a handler says of its progress is seen, and costs it nothing."""

import asyncio
import threading
import time

import orjson

from app.errors import Unavailable
from app.registry import TaskRegistry
from app.worker.progress import PAUSE_S
from tests.integration.worker.house import TYPE, Payload
from tests.support.eventually import eventually


async def shown(house, task_id="a"):
    noted = (await house.fields(task_id)).get("progress")
    return orjson.loads(noted) if noted else None


async def shows(house, fraction):
    progress = await shown(house)
    return progress if progress and progress["fraction"] == fraction else None


def waiting(house, told, *said):
    async def do(payload, context):
        for each in said:
            context.progress(*each)
        await told.wait()

    house.mail.do = do


async def test_it_is_seen_while_the_task_runs_and_gone_at_its_end(house):
    told = asyncio.Event()
    waiting(house, told, (0.4, "copying"))
    await house.submit_one()
    house.worker()
    progress = await eventually(lambda: shows(house, 0.4))
    assert progress["text"] == "copying"
    assert progress["at"] >= int((await house.fields())["started"])
    told.set()
    await house.ends(state="succeeded")
    assert await shown(house) is None


async def test_of_many_quick_words_only_the_last_is_written(house):
    told, took_s = asyncio.Event(), []

    async def talkative(payload, context):
        began = time.monotonic()
        for n in range(101):
            context.progress(n / 100)
            await asyncio.sleep(0.005)
        took_s.append(time.monotonic() - began)
        await told.wait()

    house.mail.do = talkative
    worker = house.worker()
    await eventually(lambda: worker.works)
    delivery, calls = worker.works[0].delivery, []
    report = delivery.report_progress

    async def counted(*arguments, **options):
        calls.append(arguments)
        return await report(*arguments, **options)

    delivery.report_progress = counted
    await house.submit_one()
    await eventually(lambda: shows(house, 1.0))
    assert len(calls) <= 2 + took_s[0] / PAUSE_S
    told.set()
    await house.ends(state="succeeded")


async def test_many_tasks_share_a_call(house):
    told = asyncio.Event()
    waiting(house, told, (0.5, "x"))
    worker = house.worker(concurrency=50)
    await eventually(lambda: worker.works)
    delivery, sizes = worker.works[0].delivery, []
    report = delivery.report_progress

    async def counted(token, consumer, reports, **options):
        sizes.append(len(reports))
        return await report(token, consumer, reports, **options)

    delivery.report_progress = counted
    for n in range(40):
        await house.submit_one(f"t{n}")

    async def all_show():
        return all([await shown(house, f"t{n}") for n in range(40)])

    await eventually(all_show)
    assert len(sizes) < 20
    told.set()
    await eventually(house.is_idle)


async def test_a_thread_reports_too(house):
    registry, told = TaskRegistry(), threading.Event()

    @registry.task(TYPE, payload=Payload)
    def send(payload, context):
        for n in range(1_000):
            context.progress(n / 999, f"step {n}")
        told.wait(10)

    await house.submit_one()
    house.worker(registry=registry)
    progress = await eventually(lambda: shows(house, 1.0))
    assert progress["text"] == "step 999"
    told.set()
    await house.ends(state="succeeded")


async def test_a_text_is_cut_to_its_limit_and_says_so(house):
    told = asyncio.Event()
    waiting(house, told, (0.5, "ü" * 1_000))
    await house.submit_one()
    house.worker(limit_progress=256)
    progress = await eventually(lambda: shows(house, 0.5))
    assert progress["text"] == "ü" * 128
    assert progress["truncated"] is True
    told.set()
    await house.ends()


async def test_what_could_not_be_written_is_written_later_and_fails_nothing(house):
    told = asyncio.Event()
    waiting(house, told, (0.5, "x"))
    worker = house.worker()
    await eventually(lambda: worker.works)
    delivery, failed = worker.works[0].delivery, []
    report = delivery.report_progress

    async def away(*arguments, **options):
        failed.append(arguments)
        delivery.report_progress = report
        raise Unavailable("redis", "taken away by the test")

    delivery.report_progress = away
    await house.submit_one()
    await eventually(lambda: shows(house, 0.5))
    assert len(failed) == 1
    told.set()
    await house.ends(state="succeeded")


async def test_a_later_attempt_begins_without_the_progress_of_the_former(house):
    seen = []

    async def twice(payload, context):
        if context.attempt == 1:
            context.progress(0.9, "nearly")
            await eventually(lambda: shows(house, 0.9))
            raise RuntimeError
        seen.append(await shown(house))

    house.mail.do = twice
    await house.submit_one(retry={"delaysMs": [1], "jitter": 0})
    house.worker()
    await house.ends(state="succeeded")
    assert seen == [None]
