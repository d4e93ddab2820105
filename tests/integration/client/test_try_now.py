"""A call that is tried here first, and becomes a task where that fails for the moment."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel, ValidationError

from app.client import NoAnswer
from app.registry import Discard, RegistryError, Retry, Suspend, TaskContext, TaskRegistry

registry = TaskRegistry()


class Mail(BaseModel):
    to: str
    fails: str = ""


FAILURES = {
    "retry": Retry("busy", after=60),
    "timeout": TimeoutError(),
    "reset": ConnectionResetError(),
    "discard": Discard("no"),
    "suspend": Suspend("look"),
    "bug": KeyError("bug"),
}
seen = []


@registry.task("mail", payload=Mail)
async def send(mail, context):
    seen.append(context)
    if mail.fails:
        raise FAILURES[mail.fails]
    return f"sent to {mail.to}"


@registry.task("mail.slow", payload=Mail, timeout=0.1)
async def send_slowly(mail):
    await asyncio.sleep(60)


@registry.task("mail.thread", payload=Mail)
def send_in_thread(mail):
    return f"sent to {mail.to}"


@pytest.fixture
def client(api, clients):
    seen.clear()
    return clients(api.url, timeout=30, registry=registry)


@pytest.mark.parametrize("task", ["mail", send])
async def test_what_succeeds_is_not_queued(client, task):
    tried = await client.try_now(task, {"to": "ada"})
    assert (tried.result, tried.is_queued) == ("sent to ada", False)
    assert await client.queues() == []


async def test_a_plain_function_runs_in_a_thread(client):
    assert (await client.try_now(send_in_thread, Mail(to="ada"))).result == "sent to ada"


@pytest.mark.parametrize("failure", ["retry", "timeout", "reset"])
async def test_what_fails_for_the_moment_is_queued(client, failure):
    tried = await client.try_now(send, Mail(to="ada", fails=failure), queue="mail")
    assert tried.error is FAILURES[failure]
    task = await client.get(tried.receipt.task_id, queue="mail")
    assert (task.type, task.payload) == ("mail", {"to": "ada", "fails": failure})
    assert task.state == ("scheduled" if failure == "retry" else "queued")


async def test_the_try_and_the_task_have_one_idempotency_key(client):
    tried = await client.try_now(send, {"to": "a", "fails": "reset"}, idempotency_key="k")
    assert seen[0].idempotency_key == f"default/default/{tried.receipt.task_id}"
    assert seen[0].attempt == 0


async def test_what_takes_too_long_is_queued(client):
    tried = await client.try_now(send_slowly, {"to": "ada"})
    assert isinstance(tried.error, TimeoutError)
    assert tried.is_queued


@pytest.mark.parametrize(
    ("failure", "kind"), [("discard", Discard), ("suspend", Suspend), ("bug", KeyError)]
)
async def test_what_no_retry_mends_is_raised(client, failure, kind):
    with pytest.raises(kind):
        await client.try_now(send, {"to": "ada", "fails": failure})
    assert await client.queues() == []


async def test_the_caller_may_name_more_errors_of_the_moment(client):
    tried = await client.try_now(send, {"to": "a", "fails": "bug"}, retry_on=[KeyError])
    assert tried.is_queued


async def test_a_payload_that_does_not_fit_is_raised(client):
    with pytest.raises(ValidationError):
        await client.try_now(send, {"too": "ada"})


async def test_a_type_nobody_registered_says_what_is_known(client):
    with pytest.raises(RegistryError, match=r"letter.*mail, mail\.slow"):
        await client.try_now("letter", {})


opened = []


@asynccontextmanager
async def postbox():
    async with asyncio.timeout(60):
        opened.append("open")
        if opened == ["open"]:
            raise ConnectionRefusedError
        yield ["box"]
    opened.append("closed")


with_state = TaskRegistry(lifespan=postbox)


@with_state.task("post", payload=Mail)
async def post(mail: Mail, task: TaskContext, box: list) -> list:
    return box


async def test_what_handlers_need_is_opened_once_and_closed_with_the_client(api, clients):
    client = clients(api.url, registry=with_state)
    opened.clear()
    refused = await client.try_now(post, {"to": "ada"})
    assert isinstance(refused.error, ConnectionRefusedError)
    tries = [client.try_now(post, {"to": "ada"}) for _ in range(3)]
    assert [each.result for each in await asyncio.gather(*tries)] == [["box"]] * 3
    assert opened == ["open", "open"]
    await client.close()
    assert opened == ["open", "open", "closed"]


async def test_what_cannot_be_queued_either_is_told_with_the_reason_before_it(clients):
    client = clients("http://127.0.0.1:9", timeout=0.2, registry=registry)
    with pytest.raises(NoAnswer) as unknown:
        await client.try_now(send, {"to": "ada", "fails": "reset"})
    assert isinstance(unknown.value.__context__, ConnectionResetError)
    assert unknown.value.task_id == seen[-1].key.task_id
