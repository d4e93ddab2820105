"""Where stores are, without credentials."""

import pytest

from app.settings import load
from app.task_queue.places import ledger_place, rabbitmq_place, redis_place


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "Redis at redis://127.0.0.1:6379/0"),
        ("rediss://:p%40ss@host:1/2", "Redis at rediss://host:1/2"),
    ],
)
def test_redis(url, shown):
    assert redis_place(load(_env_file=None, redis_url=url)) == shown


def test_the_ledger(tmp_path):
    mongo = load(_env_file=None, mongo_url="mongodb://u:secret@a:1,b:2/lb?replicaSet=x")
    assert ledger_place(mongo) == "the ledger at mongodb://a:1,b:2/lb"
    sqlite = load(_env_file=None, sqlite_path=tmp_path / "l.sqlite")
    assert ledger_place(sqlite) == f"the ledger at {tmp_path}/l.sqlite"


def test_every_node_of_rabbitmq_and_no_password():
    url = "amqp://u:secret@a:1/v, amqp://u:secret@b:2/v"
    settings = load(_env_file=None, rabbitmq_url=url)
    assert rabbitmq_place(settings) == "RabbitMQ at amqp://a:1/v,amqp://b:2/v"
