"""Commands packed in C: redis-py's asyncio connection packs each argument in Python.

A batch for a script has a dozen arguments a task; packing them was a third of a worker's CPU.
"""

from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.connection import HiredisRespSerializer


class PackedConnection(Connection):
    """A connection that packs as redis-py's synchronous one does where hiredis is installed."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """One command as the bytes to send."""
        # Scripts hold text, bytes and numbers only; other commands may need to be taken apart.
        if args[0] == "EVALSHA":
            try:
                return [hiredis.pack_command(args)]
            except TypeError:
                # hiredis takes no subclass of int (MongoDB's Int64); redis-py's own encoder does.
                return super().pack_command(*args)
        packed: list[bytes] = HiredisRespSerializer().pack(*args)
        return packed
