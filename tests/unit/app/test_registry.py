import asyncio

import pytest
from pydantic import BaseModel

from app.errors import SettingsError
from app.registry import Discard, RegistryError, Retry, Suspend, TaskRegistry
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
