"""The Python client: submit tasks, look at them, act on them, over HTTP.

``Client`` for asyncio, ``SyncClient`` for everything else; what a call can end with is in
``app.client.errors``.
"""

from app.client.client import Client
from app.client.errors import (
    ClientError,
    Conflict,
    Invalid,
    NoAnswer,
    NotFinished,
    NotFound,
    NotReached,
    QueueFull,
    Refused,
    Unavailable,
    Unknown,
)
from app.client.new_task import NewTask
from app.client.results import (
    Acted,
    Attempt,
    Coverage,
    Mirror,
    Quarantined,
    Queue,
    Receipt,
    Task,
    Worker,
)
from app.client.sync_client import SyncClient
from app.client.trying import Tried

__all__ = [
    "Acted",
    "Attempt",
    "Client",
    "ClientError",
    "Conflict",
    "Coverage",
    "Invalid",
    "Mirror",
    "NewTask",
    "NoAnswer",
    "NotFinished",
    "NotFound",
    "NotReached",
    "Quarantined",
    "Queue",
    "QueueFull",
    "Receipt",
    "Refused",
    "SyncClient",
    "Task",
    "Tried",
    "Unavailable",
    "Unknown",
    "Worker",
]
