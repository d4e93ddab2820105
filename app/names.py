"""Names: what an env, tenant, queue, type, task id and idempotency key may look like.

Owns the patterns and the derivation of task ids. Pure.
"""

import ipaddress
import re
import secrets
import time
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

QUEUE_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
TYPE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}"
TASK_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,126}"
IDEMPOTENCY_KEY_PATTERN = r"[\x21-\x7e]{1,255}"

_LABEL = r"(?!-)[\w-]{1,63}(?<!-)"

_QUEUE = re.compile(QUEUE_PATTERN)
_TYPE = re.compile(TYPE_PATTERN)
_TASK_ID = re.compile(TASK_ID_PATTERN)
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


class TaskKey(NamedTuple):
    """A task's full name: the key in all three stores."""

    tenant: str
    queue: str
    task_id: str

    @property
    def full(self) -> str:
        """``tenant/queue/taskId``."""
        return f"{self.tenant}/{self.queue}/{self.task_id}"


class QueueName(NamedTuple):
    """One queue of one tenant."""

    tenant: str
    queue: str

    def task(self, task_id: str) -> TaskKey:
        """The full name of a task of this queue."""
        return TaskKey(self.tenant, self.queue, task_id)


def is_queue(text: str) -> bool:
    """Whether ``text`` may name an env, a tenant or a queue."""
    return _QUEUE.fullmatch(text) is not None


def is_type(text: str) -> bool:
    """Whether ``text`` may name a task type."""
    return _TYPE.fullmatch(text) is not None


def is_task_id(text: str) -> bool:
    """Whether ``text`` may be a task id."""
    return _TASK_ID.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Whether ``text`` may be an idempotency key (1 to 255 visible ASCII characters)."""
    return _IDEMPOTENCY_KEY.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether ``text`` may be a host's name, without a port; an address is none."""
    last = text.rstrip(".").rpartition(".")[2]
    return _HOST.fullmatch(text) is not None and not last.isdigit()


def is_network(text: str) -> bool:
    """Whether ``text`` is an IP address or network; brackets around it are allowed."""
    try:
        ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return False
    return True


def derived_task_id(name: QueueName, key: str) -> str:
    """The task id that an idempotency key stands for, the same on every machine."""
    return str(uuid5(NAMESPACE_URL, f"lifeboat:{name.tenant}/{name.queue}/{key}"))


def new_task_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    unix_ms = time.time_ns() // 1_000_000
    value = (unix_ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    # Written out here: an object of the class UUID costs more than all the rest.
    digits = f"{value:032x}"
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts)


def new_token() -> str:
    """A random name nobody else has: generations, owners, nonces (32 hex digits)."""
    return secrets.token_hex(16)
