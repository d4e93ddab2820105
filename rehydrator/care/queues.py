"""Which queues a command of an operator is about."""

from app.errors import UnknownQueue
from app.ledger.ledger import Ledger
from app.names import QueueName


async def queues_of(ledger: Ledger, queue: str | None, tenant: str | None) -> list[QueueName]:
    """The queues that exist, of one name or tenant where these are given.

    Raises:
        UnknownQueue: none has the name asked for.
        Unavailable: the ledger is away.
    """
    found = [
        QueueName(each.tenant, each.queue)
        for each in await ledger.queues()
        if queue in (None, each.queue) and tenant in (None, each.tenant)
    ]
    if not found and (queue or tenant):
        wanted = f"no queue {queue}" if queue else "no queue"
        whose = f" of the tenant {tenant}" if tenant else ""
        raise UnknownQueue(f"There is {wanted}{whose}: `lifeboat queue ls` shows those there are.")
    return found
