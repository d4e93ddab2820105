"""The process's clock. Due times and leases follow Redis's clock instead (ADR 0004)."""

import time


def now_ms() -> int:
    """Wall clock, milliseconds UTC."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds that only ever grow: for deadlines and durations."""
    return time.monotonic_ns() // 1_000_000
