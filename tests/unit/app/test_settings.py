"""Settings: every range, every relation, and a sentence that names the variable."""

import os
from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import Settings, about_unknown_variables, addresses_of, load


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("LIFEBOAT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def say(monkeypatch):
    def say(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"LIFEBOAT_{name}", value)
        return load()

    return say


def bounds(kind):
    """Field -> its bound of a kind."""
    return {
        name: getattr(mark, kind.__name__.lower())
        for name, field in Settings.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, kind)
    }


RELATED = {"dedup_hours": {"record_days": 3_660}, "record_days": {"dedup_hours": 1}}


def test_the_contracts_defaults():
    settings = load()
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.rabbitmq_url, settings.mongo_url, settings.sqlite_path) == (None, None, None)
    assert (settings.env, settings.tenant, settings.queues) == ("default", "default", ())
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8000)
    ports = (settings.worker_port, settings.mirror_port, settings.rehydrator_port)
    assert ports == (9101, 9102, 9103)
    assert (settings.concurrency, settings.lease_ms) == (50, 30_000)
    assert (settings.confirm_timeout_ms, settings.on_degraded) == (5_000, "accept")
    assert (settings.queue_max, settings.unmirrored_max) == (1_000_000, 500_000)
    assert (settings.dedup_ms, settings.record_days) == (24 * 3_600_000, 30)
    assert (settings.limit_envelope, settings.limit_result) == (1 << 20, 1 << 20)
    assert (settings.limit_headers, settings.limit_depth, settings.limit_queues) == (
        16_384,
        64,
        200,
    )
    assert (settings.limit_context, settings.limit_error, settings.limit_wait) == (256, 4_096, 60)
    assert not settings.adopt_ledger
    assert not settings.allow_anonymous


def test_the_default_durability_follows_from_rabbitmq():
    assert load().default_durability == "fast"
    assert load(rabbitmq_url="amqp://h/v").default_durability == "mirrored"
    assert load(rabbitmq_url="amqp://h/v", durability="fast").default_durability == "fast"


@pytest.mark.parametrize("field", bounds(Ge))
def test_the_least_is_allowed_and_less_is_refused(field, say):
    least = bounds(Ge)[field]
    assert getattr(load(**{field: least} | RELATED.get(field, {})), field) == least
    with pytest.raises(SettingsError, match=f"LIFEBOAT_{field.upper()}: .*greater than or equal"):
        say(**{field.upper(): str(least - 1)})


@pytest.mark.parametrize("field", bounds(Le))
def test_the_most_is_allowed_and_more_is_refused(field, say):
    most = bounds(Le)[field]
    assert getattr(load(**{field: most} | RELATED.get(field, {})), field) == most
    with pytest.raises(SettingsError, match=f"LIFEBOAT_{field.upper()}: .*less than or equal"):
        say(**{field.upper(): str(most + 1)})


def test_no_dedup_at_all_is_refused(say):
    assert bounds(Gt) == {"dedup_hours": 0}
    for value in ("0", "-1", "nan", "inf"):
        with pytest.raises(SettingsError, match="LIFEBOAT_DEDUP_HOURS"):
            say(DEDUP_HOURS=value)


def test_every_number_has_a_range():
    numbers = {
        name for name, field in Settings.model_fields.items() if field.annotation in (int, float)
    }
    assert numbers == set(bounds(Ge)) | set(bounds(Gt))


@pytest.mark.parametrize("value", ["abc", "1.5", "", "8000 8001"])
def test_what_is_no_number_is_refused_but_empty_is_unset(value, say):
    if not value:
        assert say(HTTP_PORT=value).http_port == 8000
        return
    with pytest.raises(SettingsError, match=r"LIFEBOAT_HTTP_PORT: .*integer"):
        say(HTTP_PORT=value)


def test_empty_variables_are_unset(say):
    names = ("MONGO_URL", "SQLITE_PATH", "RABBITMQ_URL", "QUEUES", "DURABILITY", "REDIS_URL")
    assert say(**dict.fromkeys(names, "")) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DURABILITY", "safe"),
        ("ON_DEGRADED", "maybe"),
        ("ON_REDIS_AWAY", "hope"),
        ("MIRROR_PUBLISHER", "quick"),
        ("ADOPT_LEDGER", "perhaps"),
        ("ENV", "Live"),
        ("ENV", "a" * 64),
        ("TENANT", "a/b"),
        ("QUEUES", "mail,SMS"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("RABBITMQ_URL", "http://h"),
        ("RABBITMQ_URL", "amqp://h/v,http://g/v"),
        ("RABBITMQ_URL", "amqp://h/v,g:5672"),
        ("RABBITMQ_URL", "amqp://h/v,amqp://g/w"),
        ("RABBITMQ_URL", ","),
        ("RABBITMQ_MANAGEMENT_URL", "amqp://h"),
        ("RABBITMQ_MANAGEMENT_URL", "http://h,amqp://g"),
        ("MONGO_URL", "mongo://h/d"),
    ],
)
def test_a_value_that_is_none_of_the_known_is_named(variable, value, say):
    with pytest.raises(SettingsError, match=f"^Settings are wrong: .*LIFEBOAT_{variable}"):
        say(**{variable: value})


def test_every_problem_is_named_at_once(say):
    with pytest.raises(SettingsError) as caught:
        say(HTTP_PORT="x", LEASE_MS="1", DURABILITY="safe")
    for variable in ("HTTP_PORT", "LEASE_MS", "DURABILITY"):
        assert f"LIFEBOAT_{variable}: " in str(caught.value)


def test_a_password_is_not_repeated(say):
    with pytest.raises(SettingsError) as caught:
        say(MONGO_URL="mongo://user:secret@h/d", REDIS_URL="user:secret@h")
    assert "secret" not in str(caught.value)


def test_one_ledger(say):
    with pytest.raises(SettingsError, match="LIFEBOAT_MONGO_URL or LIFEBOAT_SQLITE_PATH, not both"):
        say(MONGO_URL="mongodb://h/d", SQLITE_PATH="/tmp/x")


def test_mirrored_needs_rabbitmq(say):
    with pytest.raises(SettingsError, match="LIFEBOAT_DURABILITY=mirrored needs"):
        say(DURABILITY="mirrored")
    assert say(RABBITMQ_URL="amqp://h/v").durability == "mirrored"


def test_outcomes_outlive_the_memory_of_ids(say):
    assert say(DEDUP_HOURS="48", RECORD_DAYS="2").record_days == 2
    with pytest.raises(SettingsError, match="LIFEBOAT_DEDUP_HOURS is longer"):
        say(DEDUP_HOURS="48.1", RECORD_DAYS="2")


def test_lists_are_split_at_commas(say):
    settings = say(QUEUES=" mail, sms,,mail-2 ", DELIVER_ALLOW="10.0.0.0/8,hook.local")
    assert settings.queues == ("mail", "sms", "mail-2")
    assert settings.deliver_allow == ("10.0.0.0/8", "hook.local")
    assert load(queues=("mail",)).queues == ("mail",)


@pytest.mark.parametrize(
    "value",
    [
        "hook.local",
        "hook.local.",
        "db_1",
        "münchen.example",
        "10.1.2.3",
        "10.0.0.0/8",
        "10.0.0.1/8",
        "::1",
        "[::1]",
        "fd00::/8",
        "a" * 63,
    ],
)
def test_deliver_allow_takes_hosts_addresses_and_networks(value, say):
    assert say(DELIVER_ALLOW=value).deliver_allow == (value,)


@pytest.mark.parametrize(
    "value",
    [
        "!!",
        "hook.local,!!",
        "localhost:9000",
        "http://hook.local",
        "*.local",
        "10.0.0.0/33",
        "10.0.0.256",
        "-a",
        "a..b",
        ".",
        "a b",
        "a" * 64,
    ],
)
def test_deliver_allow_refuses_what_can_never_match(value, say):
    with pytest.raises(SettingsError, match=r"^Settings are wrong: LIFEBOAT_DELIVER_ALLOW: .* is"):
        say(DELIVER_ALLOW=value)


def test_variables_that_are_no_setting_are_told(say, tmp_path):
    say(CONCURRENCY="1")
    assert about_unknown_variables() is None
    (tmp_path / ".env").write_text("LIFEBOAT_TENNANT=acme\nOTHER=1\n")
    say(CONCURENCY="1", EMPTY="")
    sentence = about_unknown_variables()
    assert "LIFEBOAT_CONCURENCY (did you mean LIFEBOAT_CONCURRENCY?)" in sentence
    assert "LIFEBOAT_TENNANT (did you mean LIFEBOAT_TENANT?)" in sentence
    assert "EMPTY" not in sentence
    assert "OTHER" not in sentence


def test_a_dot_env_file_is_read_and_the_environment_wins(say, tmp_path):
    (tmp_path / ".env").write_text(
        "# a comment\nLIFEBOAT_ENV=from-file\nLIFEBOAT_TENANT='acme'\nOTHER=1\n"
        "LIFEBOAT_QUEUES=a,b\nLIFEBOAT_SQLITE_PATH=\nLIFEBOAT_UNKNOWN=1\n"
    )
    settings = say(TENANT="from-environment")
    assert (settings.env, settings.tenant) == ("from-file", "from-environment")
    assert (settings.queues, settings.sqlite_path) == (("a", "b"), None)


def test_a_wrong_dot_env_file_is_named_too(tmp_path):
    (tmp_path / ".env").write_text("LIFEBOAT_LEASE_MS=soon\n")
    with pytest.raises(SettingsError, match="LIFEBOAT_LEASE_MS"):
        load()


def test_a_dot_env_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / ".env").write_bytes(b"LIFEBOAT_ENV=\xff\n")
    with pytest.raises(SettingsError, match=r"The file \.env cannot be read"):
        load()
    assert about_unknown_variables() is None


def test_what_is_given_wins_over_the_environment(say):
    say(ENV="outer")
    assert load(env="inner", sqlite_path=Path("x")).env == "inner"


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        load().env = "other"


def test_every_setting_is_described():
    assert [n for n, field in Settings.model_fields.items() if not field.description] == []


def test_a_fraction_of_an_hour(say):
    assert say(DEDUP_HOURS="0.001").dedup_ms == 3_600


@pytest.mark.parametrize("other", ["amqp://b", "amqp://b/", "amqp://b/%2F", "amqp://b/%2f"])
def test_the_default_vhost_has_several_spellings(say, other):
    assert say(RABBITMQ_URL=f"amqp://a/,{other}").rabbitmq_url == f"amqp://a/,{other}"


def test_rabbitmq_may_be_several_nodes(say):
    settings = say(
        RABBITMQ_URL="amqp://a/v,amqps://b:1/v", RABBITMQ_MANAGEMENT_URL="http://a:2, https://b:3"
    )
    assert addresses_of(settings.rabbitmq_url) == ("amqp://a/v", "amqps://b:1/v")
    assert addresses_of(settings.rabbitmq_management_url) == ("http://a:2", "https://b:3")
