"""Servers that somebody else runs: a drill uses an env, a vhost and a database of its own there."""

import secrets
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import aiohttp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.drill.keys import patterns_of
from app.settings import Settings, addresses_of
from app.stack.process import StackError
from app.stack.rabbitmq import RabbitMQServer
from app.stack.servers import MongoServer, RedisServer
from app.stack.stack import Stack

NAMES: Final = ("redis", "rabbitmq", "mongo")
ALL_RIGHTS: Final = {"configure": ".*", "write": ".*", "read": ".*"}


def own_env(seed: int) -> str:
    """A name that nobody has yet: of the env, the vhost and the database."""
    return f"drill-{seed}-{secrets.token_hex(3)}"


def missing(settings: Settings) -> list[str]:
    """Variables that must name a server and do not."""
    named = settings.model_fields_set
    wanted = ("redis_url", "rabbitmq_url", "rabbitmq_management_url")
    return [f"LIFEBOAT_{each.upper()}" for each in wanted if each not in named]


class GivenRedis(RedisServer):
    """A Redis at an address."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self._url = url

    @property
    def url(self) -> str:
        """As it was given."""
        return self._url

    async def forget_env(self, env: str) -> int:
        """Remove the keys of one env in one step; how many there were."""
        async with Redis.from_url(self.url) as client:
            keys = [
                key
                for pattern in patterns_of(env)
                async for key in client.scan_iter(match=pattern, count=1_000)
            ]
            return int(await client.unlink(*keys)) if keys else 0


class GivenRabbitMQ(RabbitMQServer):
    """A RabbitMQ at an address, with the rights to make a vhost."""

    def __init__(self, folder: Path, urls: str, management_urls: str) -> None:
        super().__init__(folder)
        self._urls = addresses_of(urls)
        self._management_url = addresses_of(management_urls)[0].rstrip("/")

    @property
    def management_url(self) -> str:
        """The first that was given."""
        return self._management_url

    def vhost_url(self, vhost: str) -> str:
        """The given addresses, with another vhost."""
        parts = [urlsplit(url) for url in self._urls]
        return ",".join(urlunsplit(each._replace(path=f"/{vhost}")) for each in parts)

    async def create_vhost(self, name: str) -> str:
        """Make a vhost that the given user may use; its AMQP URLs."""
        user = quote(unquote(urlsplit(self._urls[0]).username or "guest"), safe="")
        await self.manage("PUT", f"/api/vhosts/{name}")
        await self.manage("PUT", f"/api/permissions/{name}/{user}", ALL_RIGHTS)
        return self.vhost_url(name)


class GivenMongo(MongoServer):
    """A MongoDB at an address; ``own`` is the drill's database."""

    def __init__(self, folder: Path, url: str, own: str) -> None:
        super().__init__(folder)
        self._url, self._own = url, own

    def database_url(self, database: str) -> str:
        """The given address, with the drill's own database in place of Lifeboat's usual one."""
        parts = urlsplit(self._url)
        options = dict(parse_qsl(parts.query))
        if parts.username and "authSource" not in options:
            # Unless said, the user is looked for in the database of the URL.
            options["authSource"] = parts.path.strip("/") or "admin"
        name = database if database == "admin" else self._own
        return urlunsplit(parts._replace(path=f"/{name}", query=urlencode(options)))

    async def drop(self) -> None:
        """Remove the drill's database."""
        client = AsyncMongoClient[dict[str, object]](self.database_url(self._own))
        try:
            await client.drop_database(self._own)
        finally:
            await client.close()


class GivenStack(Stack):
    """Servers at the addresses of the settings; nothing is started, little is made, all removed."""

    def __init__(self, folder: Path, settings: Settings, env: str) -> None:
        """``settings`` name Redis, RabbitMQ and its management; without MongoDB a file serves."""
        super().__init__(folder, given=NAMES, mongo=False)
        self.env = self.vhost = env
        self.redis = self.given_redis = GivenRedis(folder / "redis", settings.redis_url)
        self.rabbitmq = GivenRabbitMQ(
            folder / "rabbitmq",
            settings.rabbitmq_url or "",
            settings.rabbitmq_management_url or "",
        )
        self.given_mongo = None
        if settings.mongo_url:
            self.mongo = self.given_mongo = GivenMongo(folder / "mongo", settings.mongo_url, env)

    async def start(self) -> None:
        """Make the vhost.

        Raises:
            StackError: it cannot be made.
        """
        try:
            await self.rabbitmq.create_vhost(self.vhost)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StackError(
                f"The drill makes a vhost of its own and cannot: {error}. The user of"
                " LIFEBOAT_RABBITMQ_MANAGEMENT_URL needs the tag administrator."
            ) from error

    async def remove(self) -> list[str]:
        """Remove what was made; a sentence for each thing that could not be."""
        left = []
        steps = (
            (
                f"the keys {patterns_of(self.env)[0]} in Redis",
                self.given_redis.forget_env(self.env),
            ),
            (f"the vhost {self.vhost} in RabbitMQ", self.rabbitmq.delete_vhost(self.vhost)),
            *(
                ((f"the database {self.env} in MongoDB", self.given_mongo.drop()),)
                if self.given_mongo
                else ()
            ),
        )
        for what, removing in steps:
            try:
                await removing
            except (aiohttp.ClientError, RedisError, PyMongoError, OSError, TimeoutError) as error:
                left.append(f"Could not remove {what}, do it by hand: {error}")
        return left

    def environment(self) -> dict[str, str]:
        """Of the drill's processes: these servers, an env of their own."""
        named = {
            "LIFEBOAT_ENV": self.env,
            "LIFEBOAT_QUEUES": "",
            "LIFEBOAT_SPOOL_DIR": str(self.folder / "spool"),
            "LIFEBOAT_REDIS_URL": self.redis.url,
            "LIFEBOAT_RABBITMQ_URL": self.rabbitmq.vhost_url(self.vhost),
            "LIFEBOAT_RABBITMQ_MANAGEMENT_URL": self.rabbitmq.management_url,
        }
        if self.mongo:
            named["LIFEBOAT_MONGO_URL"] = self.mongo.database_url(self.env)
        else:
            named["LIFEBOAT_SQLITE_PATH"] = str(self.folder / "ledger.sqlite")
        return named
