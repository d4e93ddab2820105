import pytest
from bson.int64 import Int64
from redis.asyncio import Connection

from app.broker.packing import PackedConnection
from app.state import TaskState


@pytest.mark.parametrize(
    "command",
    [
        ("PING",),
        ("CLIENT SETNAME", "lifeboat"),
        ("EVALSHA", "ab" * 20, 2, "lb:{x}:ä", b"\x00\xff\r\n", -7, 2**53, TaskState.QUEUED, ""),
        ("XADD", b"x" * 1_000_000, 1.5),
        ("EVALSHA", "ab" * 20, 0, Int64(1_700_000_000_123)),
    ],
)
def test_commands_are_packed_as_redis_py_packs_them(command):
    plain, packed = Connection(), PackedConnection()
    assert b"".join(packed.pack_command(*command)) == b"".join(plain.pack_command(*command))
