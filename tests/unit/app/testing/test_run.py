import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from app.errors import InvalidTask
from app.registry import Discard, RegistryError, Retry, Suspend, TaskContext, TaskRegistry
from app.retry import RetryPolicy
from app.settings import Settings
from app.state import TaskState
from app.testing import TestRun

registry = TaskRegistry()
FAST = RetryPolicy(max_attempts=3, base_delay_ms=1_000, factor=2, jitter=0.5)


class Mail(BaseModel):
    to: str


@registry.task("mail", payload=Mail, retry=FAST)
async def send(mail, context):
    match mail.to:
        case "discard":
            raise Discard("no", type="gone")
        case "suspend":
            raise Suspend("look")
        case "retry":
            raise Retry("busy", after=7)
        case "second" if context.attempt == 2:
            return {"at": context.deadline_ms}
        case "slow":
            await asyncio.sleep(60)
        case "cancelled":
            raise asyncio.CancelledError
        case "weird":
            return object()
        case "ada":
            return context.idempotency_key
    raise ValueError(f"no {mail.to}")


@registry.task("thread", payload=Mail)
def send_in_thread(mail):
    return mail


@asynccontextmanager
async def postbox():
    opened.append("open")
    yield ["real"]
    opened.append("closed")


opened = []
with_state = TaskRegistry(lifespan=postbox)


@with_state.task("post", payload=Mail)
async def post(mail: Mail, task: TaskContext, box: list) -> list:
    task.progress(0.5, "half")
    task.progress(1.0)
    box.append(mail.to)
    return list(box)


@with_state.task("watch", payload=Mail, retry=RetryPolicy(max_attempts=1))
def watch(mail: Mail, task: TaskContext) -> None:
    while not task.cancelled:
        time.sleep(0.01)
    task.check()


@pytest.fixture
def run():
    return TestRun(registry).run


async def test_what_succeeds_has_its_result(run):
    ended = await run("mail", {"to": "ada"}, task_id="t1", queue="mail")
    assert ended.state is TaskState.SUCCEEDED
    assert ended.result == "default/mail/t1"
    assert [each.outcome for each in ended.attempts] == ["succeeded"]


async def test_a_plain_function_gives_a_model(run):
    assert (await run("thread", Mail(to="ada"))).result == {"to": "ada"}


async def test_what_keeps_failing_is_dead_after_its_attempts_without_sleeping(run):
    ended = await run("mail", {"to": "nobody"})
    assert ended.state is TaskState.DEAD
    assert ended.delays_ms == (1_000, 2_000)
    assert ended.elapsed_ms == 3_000
    assert [each.message for each in ended.errors] == ["no nobody"] * 3
    assert ended.error.type == "ValueError"


async def test_what_a_retry_mends_succeeds(run):
    ended = await run("mail", {"to": "second"})
    assert [each.outcome for each in ended.attempts] == ["failed", "succeeded"]
    assert ended.state is TaskState.SUCCEEDED


async def test_a_handlers_own_delay_is_honoured(run):
    assert (await run("mail", {"to": "retry"})).delays_ms == (7_000, 7_000)


@pytest.mark.parametrize(
    ("to", "state", "kind"),
    [
        ("discard", TaskState.DEAD, "gone"),
        ("suspend", TaskState.SUSPENDED, "suspend"),
        ("weird", TaskState.DEAD, "invalid_result"),
    ],
)
async def test_what_no_retry_mends_ends_at_once(run, to, state, kind):
    ended = await run("mail", {"to": to})
    assert (ended.state, ended.error.type, len(ended.attempts)) == (state, kind, 1)


async def test_what_takes_too_long_is_tried_again(run):
    ended = await run("mail", {"to": "slow"}, timeout=0.1, retry={"max_attempts": 2})
    assert [each.outcome for each in ended.attempts] == ["timeout", "timeout"]
    assert ended.state is TaskState.DEAD


async def test_a_cancellation_nobody_asked_for_is_a_failed_attempt():
    ended = await TestRun(registry).run("mail", {"to": "cancelled"})
    assert [each.outcome for each in ended.attempts] == ["failed"] * 3
    assert "from within" in ended.error.message


async def test_cancelling_the_test_cancels_the_handler():
    running = asyncio.create_task(TestRun(registry).run("mail", {"to": "slow"}))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_payload_that_does_not_fit_is_dead_with_the_fields(run):
    ended = await run("mail", {"too": "ada"})
    assert ended.state is TaskState.DEAD
    assert ended.error.type == "invalid_payload"
    assert "#/payload/to" in ended.error.message


async def test_options_of_the_submit_go_first(run):
    ended = await run("mail", {"to": "nobody"}, retry=RetryPolicy(delays_ms=(5,), jitter=0))
    assert ended.delays_ms == (5,)


async def test_jitter_is_the_tests_choice():
    ended = await TestRun(registry, spread=-1).run("mail", {"to": "nobody"})
    assert ended.delays_ms == (500, 1_000)


async def test_a_delayed_task_waits_in_virtual_time(run):
    assert (await run("mail", {"to": "ada"}, delay=3_600)).elapsed_ms == 3_600_000


async def test_what_expires_before_its_retry_is_not_started_again(run):
    ended = await run(
        "mail", {"to": "nobody"}, expires_at=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    )
    assert ended.state is TaskState.EXPIRED
    assert len(ended.attempts) == 2


async def test_a_submit_that_the_api_refuses_is_refused(run):
    with pytest.raises(InvalidTask, match="timeoutMs"):
        await run("mail", {"to": "ada"}, timeout=0.001)


async def test_an_unknown_type_says_what_is_known(run):
    with pytest.raises(RegistryError, match="known are mail, thread"):
        await run("letter", {})


async def test_limits_are_those_of_the_settings():
    small = Settings.model_construct(limit_error=16)
    ended = await TestRun(registry, settings=small).run("mail", {"to": "n" * 100})
    assert ended.error.truncated


async def test_a_lifespan_is_entered_for_the_run():
    opened.clear()
    ended = await TestRun(with_state).run("post", {"to": "ada"})
    assert ended.result == ["real", "ada"]
    assert opened == ["open", "closed"]


async def test_a_test_may_give_the_state_itself():
    opened.clear()
    box = ["fake"]
    await TestRun(with_state, state=box).run("post", {"to": "ada"})
    assert box == ["fake", "ada"]
    assert opened == []


async def test_progress_is_kept():
    ended = await TestRun(with_state).run("post", {"to": "ada"})
    assert ended.progress == ((0.5, "half"), (1.0, None))


async def test_a_thread_that_looks_is_told_that_its_time_is_over():
    ended = await TestRun(with_state).run("watch", {"to": "ada"}, timeout=0.1)
    assert [each.outcome for each in ended.attempts] == ["timeout"]
