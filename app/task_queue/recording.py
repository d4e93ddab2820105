"""Every operator action leaves a record: who, when, what, of how many tasks."""

from collections.abc import Mapping
from typing import Any, Final

from app.clock import now_ms
from app.ledger.records import ActionRecord
from app.names import QueueName, new_token
from app.task_queue.ledger_gate import LedgerGate

ANONYMOUS: Final = "anonymous"
"""Who acts, until there are keys."""


class Recorder:
    """Writes the records."""

    def __init__(self, ledger: LedgerGate) -> None:
        self._ledger = ledger

    async def record(
        self, action: str, name: QueueName, target: Mapping[str, Any], count: int
    ) -> None:
        """Note that ``action`` was done to ``count`` tasks that ``target`` names.

        Raises:
            Unavailable: the ledger is away; what was done is done.
        """
        await self._ledger.record_action(
            ActionRecord(
                id=new_token(),
                at_ms=now_ms(),
                who=ANONYMOUS,
                action=action,
                queue=name.queue,
                tenant=name.tenant,
                target=target,
                count=count,
            )
        )
