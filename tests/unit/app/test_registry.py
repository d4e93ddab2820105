import asyncio
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel

from app.errors import SettingsError
from app.names import TaskKey
from app.registry import (
    Discard,
    RegistryError,
    Retry,
    Stopped,
    Suspend,
    TaskContext,
    TaskRegistry,
)
from app.retry import RetryPolicy


class Payload(BaseModel):
    to: str


def taking_a_payload(payload):
    pass


def taking_nothing():
    pass


def taking_three(payload, context, more):
    pass


def taking_a_keyword(payload, *, more):
    pass


def test_a_registered_handler_is_found_with_its_options():
    registry = TaskRegistry()
    policy = RetryPolicy(max_attempts=2)

    @registry.task("mail.send", payload=Payload, retry=policy, timeout=1.5)
    async def send(payload, context):
        pass

    handler = registry.get("mail.send")
    assert (handler.type, handler.payload, handler.retry) == ("mail.send", Payload, policy)
    assert (handler.timeout_ms, handler.is_async, handler.wants_context) == (1_500, True, True)
    assert handler.function is send
    assert registry.types == ("mail.send",)
    assert registry.get("other") is None


def test_a_plain_function_and_the_context_are_optional():
    registry = TaskRegistry()

    @registry.task("mail.send", payload=Payload)
    def send(payload):
        pass

    handler = registry.get("mail.send")
    assert (handler.timeout_ms, handler.is_async, handler.wants_context) == (None, False, False)
    assert handler.retry == RetryPolicy()
    assert handler.arguments("payload", "context") == ("payload",)


def test_the_decorated_function_stays_callable():
    registry = TaskRegistry()

    @registry.task("mail.send", payload=Payload)
    async def send(payload):
        return payload.to

    assert asyncio.run(send(Payload(to="x"))) == "x"


def test_a_type_is_registered_once():
    registry = TaskRegistry()
    registry.task("mail.send", payload=Payload)(taking_a_payload)
    with pytest.raises(RegistryError, match=r"'mail.send' is registered twice"):
        registry.task("mail.send", payload=Payload)(taking_a_payload)


def test_registries_are_joined_unless_they_share_a_type():
    one, two = TaskRegistry(), TaskRegistry()
    one.task("a", payload=Payload)(taking_a_payload)
    two.task("b", payload=Payload)(taking_a_payload)
    assert one.including(two).types == ("a", "b")
    assert one.types == ("a",)
    with pytest.raises(RegistryError, match="'a' is registered twice"):
        one.including(one)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"type": "no spaces"}, "must match"),
        ({"payload": dict}, "must be a pydantic model"),
        ({"timeout": 0.01}, "must be 0.1 to 86400 seconds"),
        ({"timeout": 1e9}, "must be 0.1 to 86400 seconds"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(changes, sentence):
    options = {"type": "a", "payload": Payload, **changes}
    with pytest.raises(RegistryError, match=sentence):
        TaskRegistry().task(options.pop("type"), **options)(taking_a_payload)


@pytest.mark.parametrize("function", [taking_nothing, taking_three, taking_a_keyword])
def test_a_wrong_signature_is_refused(function):
    with pytest.raises(RegistryError, match="must take the payload"):
        TaskRegistry().task("a", payload=Payload)(function)


def test_signals_carry_what_the_record_needs():
    assert (str(Discard("gone")), Discard("gone").type) == ("gone", "discard")
    assert Suspend("look", type="approval").type == "approval"
    assert (Retry(after=3).after, Retry().after) == (3, None)


def test_a_registry_error_is_a_wrong_setting_of_the_program():
    assert issubclass(RegistryError, SettingsError)


class Database:
    pass


@asynccontextmanager
async def opened():
    yield Database()


def context_with(state=None, **more):
    return TaskContext(TaskKey("t", "q", "1"), 1, 1, 0, {}, state, **more)


def taking_the_state(payload: Payload, database: Database):
    pass


def taking_state_then_context(payload: Payload, database: Database, task: TaskContext):
    pass


def taking_an_optional_context(payload: Payload, task: TaskContext | None = None):
    pass


def taking_context_by_name(payload: "Payload", task: "TaskContext", database: "Nowhere"):  # noqa: F821
    pass


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (taking_a_payload, ()),
        (taking_the_state, ("state",)),
        (taking_state_then_context, ("state", "context")),
        (taking_an_optional_context, ("context",)),
        (taking_context_by_name, ("context", "state")),
    ],
)
def test_annotations_say_what_a_handler_gets(function, parts):
    registry = TaskRegistry(lifespan=opened)
    registry.task("a", payload=Payload)(function)
    handler = registry.get("a")
    assert handler.parts == parts
    database = Database()
    context = context_with(database)
    given = {"state": database, "context": context}
    assert handler.arguments("payload", context) == ("payload", *(given[each] for each in parts))


def test_a_handler_that_wants_a_state_needs_a_registry_that_has_one():
    with pytest.raises(RegistryError, match=r"TaskRegistry\(lifespan=\.\.\.\)"):
        TaskRegistry().task("a", payload=Payload)(taking_the_state)


def test_a_lifespan_is_given_not_called():
    with pytest.raises(RegistryError, match="do not call it"):
        TaskRegistry(lifespan=opened())


def test_joined_registries_keep_their_own_lifespans():
    one, two = TaskRegistry(lifespan=opened), TaskRegistry()
    one.task("a", payload=Payload)(taking_the_state)
    two.task("b", payload=Payload)(taking_a_payload)
    both = one.including(two)
    assert both.lifespans == (opened,)
    assert both.get("a").lifespan is opened
    assert both.get("b").lifespan is None


def test_an_object_may_be_a_handler():
    class Sender:
        async def __call__(self, payload, context: TaskContext):
            pass

    registry = TaskRegistry()
    registry.task("a", payload=Payload)(Sender())
    assert (registry.get("a").is_async, registry.get("a").wants_context) == (True, True)


def test_a_handler_is_told_when_its_attempt_is_given_up():
    context = context_with()
    context.check()
    assert not context.cancelled
    context.stop.set()
    assert context.cancelled
    with pytest.raises(Stopped):
        context.check()


class Unspeakable:
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((0.25, "a quarter"), (0.25, "a quarter")),
        ((0.5,), (0.5, None)),
        ((None, 7), (None, "7")),
        ((7, "x"), (1.0, "x")),
        ((-1, "x"), (0.0, "x")),
        ((float("nan"), "x"), (None, "x")),
        (("half", "x"), (None, "x")),
        ((10**400, "x"), (None, "x")),
        ((0.5, Unspeakable()), (0.5, None)),
    ],
)
def test_progress_is_told_and_never_fails(said, told):
    found = []
    context = context_with(report=lambda *each: found.append(each))
    context.progress(*said)
    assert found == [told]


async def test_progress_may_be_awaited_and_needs_nobody_who_listens():
    assert await context_with().progress(0.5, "x") is None


def test_nothing_is_told_of_an_attempt_that_was_given_up():
    found = []
    context = context_with(report=lambda *each: found.append(each))
    context.stop.set()
    context.progress(0.5, "x")
    assert found == []
