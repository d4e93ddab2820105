"""The proxy of the drills, to stand before the server of a URL in this very process."""

from urllib.parse import urlsplit, urlunsplit

from app.stack.proxy import HOST
from app.stack.proxy import Proxy as AnyProxy


class Proxy(AnyProxy):
    """Forwards every connection to ``url``'s server; ``url`` of the proxy is its stand-in."""

    def __init__(self, target_url):
        self._parts = urlsplit(target_url)
        super().__init__(self._parts.hostname, self._parts.port)

    async def __aenter__(self):
        await self.open()
        credentials, at, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{credentials}{at}{HOST}:{self.port}"))
        return self

    async def __aexit__(self, *_error):
        await self.close()

    def lead_to(self, url):
        parts = urlsplit(url)
        super().lead_to(parts.hostname, parts.port)
