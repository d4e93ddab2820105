from types import SimpleNamespace

import pytest

from app.bench.ground import Ground


@pytest.fixture
def ground(private_redis, rabbitmq_server, tmp_path):
    """Redis of the test's own, for a bench empties it; an SQLite ledger."""
    stack = SimpleNamespace(redis=private_redis, rabbitmq=rabbitmq_server, mongo=None)
    return Ground(stack, tmp_path / "bench")
