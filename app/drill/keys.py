"""Keys of Lifeboat as the drill looks for them in Redis: by itself, it trusts nothing it judges."""

from typing import Final

TASKS: Final = "lb:*:task:*"
JOURNALS: Final = "lb:*:journal"
NORMAL_LANES: Final = "lb:*:ready:normal"


def queue_prefix(env: str, tenant: str, queue: str) -> str:
    """What every key of one queue begins with."""
    return f"lb:{{{env}.{tenant}.{queue}}}:"


def patterns_of(env: str) -> tuple[str, str]:
    """What matches every key of one env: those of its queues, and its own."""
    return f"lb:{{{env}.*", f"lb:{{{env}}}:*"
