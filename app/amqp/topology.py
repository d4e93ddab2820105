"""Exchanges, queues and their arguments: the one home of every name RabbitMQ sees.

Queue arguments cannot be changed once a queue exists; these mean the same on RabbitMQ 3.10 to 4.3
(``docs/reference/amqp-topology.md``). An argument the broker does not know it accepts in silence,
which is why ``app.amqp.management`` reads them back.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TASKS: Final = "lifeboat.tasks"
DEAD_LETTERS: Final = "lifeboat.dlx"
QUARANTINE: Final = "lifeboat.quarantine"
MIRROR_PREFIX: Final = "lifeboat.mirror."
MARKER_PREFIX: Final = "lifeboat.env."

Argument = str | int

COMMON_ARGUMENTS: Final[Mapping[str, Argument]] = {
    "x-queue-type": "quorum",
    "x-quorum-initial-group-size": 3,
    # Large, not absent: without one 4.x drops a copy at its 21st return; -1 makes 3.10 drop it at
    # the first.
    "x-delivery-limit": 1_000_000,
    # The default, drop-head, would delete the oldest copies in silence.
    "x-overflow": "reject-publish",
}
MIRROR_ARGUMENTS: Final[Mapping[str, Argument]] = {
    **COMMON_ARGUMENTS,
    "x-dead-letter-exchange": DEAD_LETTERS,
    "x-dead-letter-strategy": "at-least-once",
}
QUARANTINE_ARGUMENTS: Final[Mapping[str, Argument]] = COMMON_ARGUMENTS


@dataclass(frozen=True, slots=True)
class Difference:
    """An argument of an existing queue that is not ours."""

    argument: str
    expected: str
    found: str


def mirror_queue(queue: str) -> str:
    """The quorum queue that holds the copies of the logical queue ``queue``."""
    return MIRROR_PREFIX + queue


def binding_key(queue: str) -> str:
    """What binds the mirror queue of ``queue`` to the exchange of tasks."""
    return f"{queue}.#"


def marker_exchange(env: str) -> str:
    """The exchange that says whose vhost this is."""
    return MARKER_PREFIX + env


def arguments_of(name: str) -> Mapping[str, Argument]:
    """The arguments the queue ``name`` must have."""
    return QUARANTINE_ARGUMENTS if name == QUARANTINE else MIRROR_ARGUMENTS


def differences(name: str, found: Mapping[str, object]) -> tuple[Difference, ...]:
    """How the arguments ``found`` on the queue ``name`` differ from ours, missing ones included."""
    expected = arguments_of(name)
    return tuple(
        Difference(argument, _words(expected.get(argument)), _words(found.get(argument)))
        for argument in sorted(expected.keys() | found.keys())
        if expected.get(argument) != found.get(argument)
    )


_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for .*?: "
    r"received (?P<received>.+?) but current is (?P<current>.+?)$"
)
_VALUE: Final = re.compile(r"(?:the value )?'(?P<value>[^']*)'")


def difference_from(refusal: str) -> Difference | None:
    """What the broker's ``PRECONDITION_FAILED`` text says about a refused declare; None: nothing.

    It names one argument. RabbitMQ 3.10.8 says ``inequivalent arg 'x-overflow' for queue 'q' in
    vhost '/': received 'reject-publish' but current is 'drop-head'``, and where one side lacks it
    ``received the value 'reject-publish' of type 'longstr' but current is none``.
    """
    match = _INEQUIVALENT.search(refusal)
    if match is None:
        return None
    return Difference(match["argument"], _said(match["received"]), _said(match["current"]))


def mismatch_sentence(name: str, found: tuple[Difference, ...], refusal: str) -> str:
    """The sentence a process stops with when the queue ``name`` has other arguments."""
    if not found:
        return f"RabbitMQ refused to declare {name}: {refusal}"
    parts = ", ".join(f"{each.argument} is {each.found}, not {each.expected}" for each in found)
    return (
        f"The RabbitMQ queue {name} exists with other arguments than Lifeboat's: {parts}."
        " They cannot be changed: let the queue run empty or move its messages, delete it, and"
        " start again."
    )


def _said(words: str) -> str:
    match = _VALUE.match(words)
    return match["value"] if match else words


def _words(value: object) -> str:
    return "none" if value is None else str(value)
