"""The lease of a rehydrator, in the ledger: it must outlive Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.errors import Unavailable
from app.ledger.ledger import Ledger
from app.lifecycle import cancel
from app.names import new_token

log = logging.getLogger(__name__)


def queue_lease(queue: str) -> str:
    """The lease whose owner consumes the mirror queue of ``queue``."""
    return f"rehydrator:{queue}"


class Lease:
    """One lease as one owner sees it."""

    def __init__(self, ledger: Ledger, name: str, ttl_ms: int) -> None:
        self.name = name
        self.owner = new_token()
        self._ledger = ledger
        self._ttl_ms = ttl_ms
        self.ended = asyncio.Event()
        """Set when it was lost, or when somebody wants it and ``yields``."""

    async def acquire(self) -> bool:
        """Take it if it is free; False also while the ledger is away."""
        try:
            taken = await self._ledger.acquire_lease(self.name, self.owner, self._ttl_ms)
        except Unavailable as error:
            log.debug("No answer about the lease %s (%s).", self.name, error.detail)
            return False
        self.ended.clear()
        return taken

    async def want(self) -> None:
        """Ask whoever holds it to hand over."""
        with suppress(Unavailable):
            await self._ledger.request_lease(self.name, self.owner)

    @asynccontextmanager
    async def kept(self, *, yields: bool) -> AsyncIterator[None]:
        """Renew it inside, let it go afterwards; ``yields``: end when somebody wants it."""
        keeper = asyncio.create_task(self._keep(yields=yields), name=f"lease {self.name}")
        try:
            yield
        finally:
            await cancel(keeper)
            with suppress(Unavailable):
                await self._ledger.release_lease(self.name, self.owner)

    async def _keep(self, *, yields: bool) -> None:
        while not self.ended.is_set():
            await asyncio.sleep(self._ttl_ms / 3_000)
            try:
                view = await self._ledger.renew_lease(self.name, self.owner, self._ttl_ms)
            except Unavailable as error:
                # Nobody else can take it from a ledger that is away; two at once harm nothing.
                log.debug("The lease %s was not renewed (%s).", self.name, error.detail)
                continue
            if not view.held:
                log.warning("The lease %s was lost.", self.name)
                self.ended.set()
            elif yields and view.wanted_by not in (None, self.owner):
                log.info("Handing the lease %s over.", self.name)
                self.ended.set()
