"""Settings: the only reader of the environment (``LIFEBOAT_*`` and a ``.env`` file).

One frozen object, read once by a process's entry point and handed down. ``docs/reference/
settings.md`` is generated from the descriptions here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from app import crashing
from app.errors import SettingsError
from app.names import is_host, is_network, is_queue
from app.unknown_names import sentence_about

MIB = 1_048_576
DAY_MS = 86_400_000

Names = Annotated[tuple[str, ...], NoDecode]

SCHEMES = {
    "redis_url": ("redis", "rediss", "unix"),
    "rabbitmq_url": ("amqp", "amqps"),
    "rabbitmq_management_url": ("http", "https"),
    "mongo_url": ("mongodb", "mongodb+srv"),
    "api_url": ("http", "https"),
}


LISTS = ("rabbitmq_url", "rabbitmq_management_url")
"""What may name several nodes of one server."""


def addresses_of(urls: str) -> tuple[str, ...]:
    """The URLs of a comma-separated list (a comma inside one is written ``%2C``)."""
    return tuple(part.strip() for part in urls.split(",") if part.strip())


class Settings(BaseSettings):
    """Everything a user may set; each field is the variable ``LIFEBOAT_<FIELD>``."""

    model_config = SettingsConfigDict(
        env_prefix="LIFEBOAT_",
        env_file=".env",
        # An empty variable means unset: compose files pass those they do not know.
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
    )

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="The working set.")
    rabbitmq_url: str | None = Field(
        None,
        description="AMQP URL with the env's vhost; of a cluster one a node, separated by commas,"
        " the first that answers is used. Unset: no mirror, every receipt degraded.",
    )
    rabbitmq_management_url: str | None = Field(
        None,
        description="Management API, `http://user:password@host:15672`, for read-backs; of a"
        " cluster one a node, separated by commas.",
    )
    mongo_url: str | None = Field(None, description="Ledger in MongoDB (names the database).")
    sqlite_path: Path | None = Field(None, description="Ledger in this SQLite file instead.")

    env: str = Field("default", description="Keeps systems apart that share servers.")
    tenant: str = Field("default", description="Whose tasks these are, until keys exist.")
    queues: Names = Field((), description="If set, the closed list of queues (comma-separated).")

    http_host: str = Field("127.0.0.1", description="Address of the HTTP API.")
    http_port: int = Field(8000, ge=0, le=65535, description="Port of the HTTP API, 0 = any.")
    api_url: str = Field(
        "http://127.0.0.1:8000", description="Where `lifeboat task` and its like find the API."
    )
    allow_anonymous: bool = Field(
        False, description="Serve beyond loopback although there are no API keys yet."
    )
    worker_port: int = Field(9101, ge=0, le=65535, description="Worker's health port, 0 = none.")
    mirror_port: int = Field(9102, ge=0, le=65535, description="Mirror's health port, 0 = none.")
    rehydrator_port: int = Field(
        9103, ge=0, le=65535, description="Rehydrator's health port, 0 = none."
    )

    durability: Literal["fast", "fsync", "mirrored"] | None = Field(
        None, description="Level a submit asks for; unset: mirrored with RabbitMQ, else fast."
    )
    on_degraded: Literal["accept", "refuse"] = Field(
        "accept", description="What a submit gets when its level is not reached in time."
    )
    on_redis_away: Literal["fallback", "reject"] = Field(
        "fallback",
        description="While Redis is away: straight into RabbitMQ, or 503 at once.",
    )
    confirm_timeout_ms: int = Field(
        5_000, ge=50, le=60_000, description="How long a submit waits for its level."
    )
    store_timeout_ms: int = Field(
        5_000, ge=100, le=60_000, description="Deadline of one call to a store."
    )
    redis_connect_timeout_ms: int = Field(
        500, ge=50, le=10_000, description="Redis not reached by then counts as away."
    )

    concurrency: int = Field(50, ge=1, le=10_000, description="Tasks one worker runs at a time.")
    lease_ms: int = Field(
        30_000, ge=500, le=3_600_000, description="A worker silent for so long loses its tasks."
    )
    grace_ms: int = Field(
        20_000, ge=0, le=3_600_000, description="A stopping worker waits so long for its tasks."
    )
    poison_max: int = Field(
        3, ge=1, le=200, description="A task is dead once so many workers were lost with it."
    )
    spool_dir: Path = Field(
        Path(".lifeboat/spool"),
        description="Where a worker keeps outcomes while the ledger is away: a disk that stays.",
    )
    spool_max_mb: int = Field(
        1_024, ge=1, description="A worker whose spool is longer than so many MiB takes no tasks."
    )
    deliver_allow: Names = Field(
        (), description="Hosts and networks `http.deliver` may call although they are private."
    )
    dedup_hours: float = Field(
        24, gt=0, le=24 * 366, description="How long Redis remembers a caller-given task id."
    )
    record_days: int = Field(30, ge=1, le=3_660, description="How long the ledger keeps outcomes.")

    mirror_window: int = Field(
        2_000, ge=1, le=50_000, description="Publishes that may wait for their confirm."
    )
    mirror_publisher: Literal["batched", "plain"] = Field(
        "batched", description="Path to the broker: joined frames, or aio-pika's own publish."
    )
    mirror_lease_ms: int = Field(
        5_000, ge=500, le=60_000, description="A mirror silent for so long is replaced."
    )
    rehydrator_window: int = Field(
        20_000, ge=100, le=60_000, description="Copies held at a time, per channel."
    )
    rehydrator_source: Literal["sink", "plain"] = Field(
        "sink", description="Path from the broker: beneath aiormq, or aiormq's own callbacks."
    )
    rehydrator_lease_ms: int = Field(
        10_000, ge=1_000, le=60_000, description="A rehydrator silent for so long is replaced."
    )
    refresh_after_ms: int = Field(
        300_000, ge=1_000, le=1_500_000, description="A copy held longer is written again."
    )
    loss_policy: Literal["auto", "alert"] = Field(
        "auto", description="What a loss of Redis leads to: bring all back at once, or only tell."
    )

    queue_max: int = Field(1_000_000, ge=1, description="Open tasks a queue may hold, else 429.")
    unmirrored_max: int = Field(
        500_000, ge=1, description="Unmirrored tasks a queue may hold, else 429."
    )
    limit_queues: int = Field(200, ge=1, description="Queues a tenant may have.")
    # A record holds envelope, result and 200 errors; a MongoDB document at most 16 MiB.
    limit_envelope: int = Field(MIB, ge=1_024, le=6 * MIB, description="Bytes of an envelope.")
    limit_batch: int = Field(1_000, ge=1, le=10_000, description="Tasks in a batch.")
    limit_batch_bytes: int = Field(
        16 * MIB, ge=1_024, le=64 * MIB, description="Bytes of a batch's body."
    )
    limit_headers: int = Field(
        16_384, ge=1_024, le=65_536, description="Bytes of a request's headers."
    )
    limit_depth: int = Field(64, ge=4, le=512, description="Nesting of a request's JSON.")
    limit_context: int = Field(256, ge=16, le=4_096, description="Characters of a context text.")
    limit_result: int = Field(MIB, ge=1_024, le=6 * MIB, description="Bytes of a result.")
    limit_error: int = Field(4_096, ge=256, le=16_384, description="Bytes of an error's text.")
    limit_progress: int = Field(4_096, ge=256, le=16_384, description="Bytes of a progress text.")
    limit_wait: int = Field(60, ge=1, le=600, description="Seconds a request may wait.")

    redis_image: str = Field(
        "redis:8.0", description="Image of private servers where Docker runs; empty: no Docker."
    )
    rabbitmq_image: str = Field(
        "rabbitmq:4.0-management", description="As above; needs the management plugin."
    )
    mongo_image: str = Field("mongo:6.0", description="As above.")
    stack_root: str = Field(
        "",
        description="Folder with another Debian's Redis and RabbitMQ for private servers (`make"
        " matrix-setup`); read from the environment alone.",
    )

    crash_at: str = Field(
        "",
        description="For rehearsals: the point where a process dies, as by `kill -9`"
        " (`worker.after_run`; a name that is none is answered with those there are). It is for"
        " all processes: those that never come to it live on.",
    )
    adopt_ledger: bool = Field(
        False, description="Accept a ledger that Redis and the copies do not know."
    )

    @field_validator("queues", "deliver_allow", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("deliver_allow")
    @classmethod
    def _targets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not (is_host(each) or is_network(each)):
                raise ValueError(
                    f"{each!r} is neither a host's name nor an address or network: write"
                    " hooks.local, 10.1.2.3 or 10.0.0.0/8, without scheme and port"
                )
        return value

    @field_validator(*SCHEMES)
    @classmethod
    def _scheme(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        known = tuple(f"{scheme}://" for scheme in SCHEMES[str(info.field_name)])
        urls = addresses_of(value) if info.field_name in LISTS else (value,)
        if not urls or not all(url.startswith(known) for url in urls):
            # The value stays out of the sentence: it may hold a password.
            each = "each of its comma-separated URLs " if len(urls) > 1 else ""
            raise ValueError(f"{each}must start with {' or '.join(known)}")
        return value

    @field_validator("crash_at")
    @classmethod
    def _point(cls, value: str) -> str:
        return crashing.check(value)

    @field_validator("rabbitmq_url")
    @classmethod
    def _one_vhost(cls, value: str | None) -> str | None:
        if len({unquote(urlsplit(url).path[1:]) or "/" for url in addresses_of(value or "")}) > 1:
            raise ValueError("all its URLs must name the same vhost: they are nodes of one cluster")
        return value

    @model_validator(mode="after")
    def _relations(self) -> Self:
        for field in ("env", "tenant"):
            if not is_queue(getattr(self, field)):
                raise ValueError(f"LIFEBOAT_{field.upper()} must match [a-z0-9][a-z0-9_-]{{0,62}}")
        for queue in self.queues:
            if not is_queue(queue):
                raise ValueError(
                    f"LIFEBOAT_QUEUES: {queue!r} must match [a-z0-9][a-z0-9_-]{{0,62}}"
                )
        if self.mongo_url and self.sqlite_path:
            raise ValueError("set LIFEBOAT_MONGO_URL or LIFEBOAT_SQLITE_PATH, not both")
        if self.durability == "mirrored" and not self.rabbitmq_url:
            raise ValueError("LIFEBOAT_DURABILITY=mirrored needs LIFEBOAT_RABBITMQ_URL")
        if self.dedup_hours > self.record_days * 24:
            raise ValueError(
                "LIFEBOAT_DEDUP_HOURS is longer than LIFEBOAT_RECORD_DAYS: the outcome of a task"
                " must outlive the memory of its id"
            )
        return self

    @property
    def default_durability(self) -> str:
        """The level of a submit that names none."""
        return self.durability or ("mirrored" if self.rabbitmq_url else "fast")

    @property
    def dedup_ms(self) -> int:
        """How long Redis remembers a settled, caller-given task id."""
        return round(self.dedup_hours * 3_600_000)


def load(**overrides: Any) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: a value is out of its range or contradicts another, naming each variable; or
            the file ``.env`` cannot be read.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"The file .env cannot be read: {error}.") from error


def about_unknown_variables() -> str | None:
    """What to say of variables that begin with LIFEBOAT_ and are no setting; None: nothing."""
    prefix = str(Settings.model_config["env_prefix"])
    try:
        sources = (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings))
    except (OSError, UnicodeError):
        # Who needs the settings is told.
        return None
    given = {name.upper() for source in sources for name in source.env_vars}
    return sentence_about(
        (name for name in given if name.startswith(prefix)),
        [f"{prefix}{field.upper()}" for field in Settings.model_fields],
        prefix,
    )


def _sentence(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        name = "".join(f"LIFEBOAT_{str(place).upper()}: " for place in problem["loc"][:1])
        parts.append(name + problem["msg"].removeprefix("Value error, "))
    return "Settings are wrong: " + "; ".join(parts) + "."
