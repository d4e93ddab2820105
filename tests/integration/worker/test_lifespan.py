"""What handlers need is opened once before the first task and closed once after the last."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from app.errors import Fatal
from app.registry import TaskContext, TaskRegistry
from app.worker.embedding import embedded_worker
from app.worker.lifespans import LifespanFailed, opened
from app.worker.process import run_worker
from tests.integration.worker.house import TYPE, Payload
from tests.support.eventually import eventually


class Database:
    def __init__(self):
        self.open = True
        self.used = []


class Program:
    """A user's registry with a lifespan, and what it noted."""

    def __init__(self):
        self.opened = []
        self.registry = TaskRegistry(lifespan=self.lifespan)

        @self.registry.task(TYPE, payload=Payload)
        async def send(payload: Payload, database: Database, task: TaskContext):
            assert database.open
            assert task.state is database
            database.used.append(task.key.task_id)

    @asynccontextmanager
    async def lifespan(self):
        database = Database()
        self.opened.append(database)
        try:
            yield database
        finally:
            database.open = False


@pytest.fixture
def program():
    return Program()


def settings_of(house, **changes):
    return house.settings(worker_port=0, **changes)


async def test_a_worker_opens_it_once_and_closes_it_when_it_stops(house, program):
    process = asyncio.create_task(run_worker(settings_of(house), program.registry))
    for task_id in "abc":
        await house.submit_one(task_id)
    for task_id in "abc":
        await house.ends(task_id, "succeeded")
    (database,) = program.opened
    assert sorted(database.used) == ["a", "b", "c"]
    assert database.open
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(process, 20)
    assert not database.open


async def test_what_cannot_be_opened_ends_the_process_with_a_sentence(house):
    @asynccontextmanager
    async def broken():
        raise ConnectionError("no database at db:5432")
        yield

    with pytest.raises(
        Fatal, match=r"lifespan .*broken could not be opened: ConnectionError: no d"
    ):
        await run_worker(settings_of(house), TaskRegistry(lifespan=broken))


async def test_what_was_open_is_closed_when_a_later_one_fails(program):
    @asynccontextmanager
    async def broken():
        raise ConnectionError("no")
        yield

    with pytest.raises(LifespanFailed):
        async with opened(program.registry.including(TaskRegistry(lifespan=broken))):
            pass
    (database,) = program.opened
    assert not database.open


async def test_one_that_fails_to_close_is_told_and_holds_up_nothing(caplog):
    @asynccontextmanager
    async def half_broken():
        yield 7
        raise ConnectionError("lost while closing")

    async with opened(TaskRegistry(lifespan=half_broken)) as states:
        assert states[half_broken] == 7
    assert "failed to close" in caplog.text


async def test_a_worker_runs_inside_a_users_application_and_stops_with_it(house, program):
    @asynccontextmanager
    async def lifespan(app):
        async with embedded_worker(settings_of(house), program.registry) as worker:
            app.state.worker = worker
            yield

    app = FastAPI(lifespan=lifespan)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with app.router.lifespan_context(app):
        await house.submit_one()
        await house.ends(state="succeeded")
        assert [each.worker for each in await house.workers()] == [app.state.worker.consumer]
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    (database,) = program.opened
    assert not database.open
    assert await house.workers() == []


async def test_an_embedded_worker_gives_back_what_does_not_end(house):
    async with embedded_worker(settings_of(house, grace_ms=0), house.mail.registry()):
        house.mail.do = lambda _payload, _context: asyncio.sleep(60)
        await house.submit_one()
        await eventually(lambda: house.mail.calls)
    assert await house.is_state("a", "queued")


async def test_an_application_is_told_what_stopped_its_worker(house):
    with pytest.raises(ArithmeticError):
        async with embedded_worker(settings_of(house), house.mail.registry()) as worker:
            await eventually(lambda: worker.works)

            async def broken(*arguments):
                raise ArithmeticError

            worker.works[0].delivery.start = broken
            await house.submit_one()
            await eventually(lambda: not any_running("worker"))


def any_running(name):
    return any(task.get_name() == name for task in asyncio.all_tasks())
