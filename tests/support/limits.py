"""A limit of messages that a policy puts on the queues of a vhost, and takes away."""

from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp

from app.amqp.connection import vhost_of


@asynccontextmanager
async def limited(rabbitmq_url, management_url, most=1):
    """Within it each queue refuses what would be more than ``most`` ready messages."""
    url = f"{management_url}/api/policies/{quote(vhost_of(rabbitmq_url), safe='')}/limit"
    policy = {"pattern": ".*", "definition": {"max-length": most}, "apply-to": "queues"}
    async with aiohttp.ClientSession() as session:
        async with session.put(url, json=policy) as answer:
            assert answer.status < 300
        yield
        async with session.delete(url) as answer:
            assert answer.status < 300
