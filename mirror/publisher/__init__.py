"""Publishing with confirms: two paths behind one interface.

``batched`` is the fast one; ``plain`` uses aio-pika as it comes, and shows what the other must do.
"""

from typing import Literal

from app.crashing import NOWHERE, CrashPoints
from mirror.publisher.batched import BatchedPublisher
from mirror.publisher.outcome import Publisher, PublishOutcome
from mirror.publisher.plain import PlainPublisher

__all__ = ["PublishOutcome", "Publisher", "open_publisher"]


def open_publisher(
    kind: Literal["batched", "plain"], url: str, process: str, crashes: CrashPoints = NOWHERE
) -> Publisher:
    """A publisher that connects in the background; call it inside the running loop.

    ``process`` names its connection on the dashboard: ``lifeboat-<process>-…``. ``crashes``: only
    the batched one comes between a message and its confirm.
    """
    if kind == "batched":
        return BatchedPublisher(url, process, crashes)
    return PlainPublisher(url, process)
