"""Where the stores are, as a log or an error may show it: without credentials. Pure."""

from urllib.parse import urlsplit

from app.settings import Settings, addresses_of


def redis_place(settings: Settings) -> str:
    """``Redis at redis://host:port/0``."""
    return f"Redis at {_shown(settings.redis_url)}"


def ledger_place(settings: Settings) -> str:
    """``the ledger at`` its URL or file."""
    where = _shown(settings.mongo_url) if settings.mongo_url else settings.sqlite_path
    return f"the ledger at {where}"


def rabbitmq_place(settings: Settings) -> str:
    """``RabbitMQ at amqp://host:port/vhost``, all of them where there are several."""
    return f"RabbitMQ at {','.join(map(_shown, addresses_of(settings.rabbitmq_url or '')))}"


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
