"""Both ledgers, one at a time, under the same tests."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.ledger.mongo import MongoLedger
from app.ledger.sqlite import SqliteLedger
from app.stack.servers import MongoServer
from tests.conftest import started

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["mongo", "sqlite"])
def kind(request):
    return request.param


@pytest.fixture
def place(kind, request):
    """Where the ledger is: a URL or a path."""
    return request.getfixturevalue("mongo_url" if kind == "mongo" else "sqlite_path")


@pytest.fixture
async def make(kind, place):
    """Another ledger object on the same store, not opened; closed at the end."""
    made = []

    def make(where=place, *, env="test", record_days=30, timeout_ms=10_000):
        name = MongoLedger if kind == "mongo" else SqliteLedger
        made.append(name(where, env=env, record_days=record_days, timeout_ms=timeout_ms))
        return made[-1]

    yield make
    for ledger in made:
        await ledger.close()


@pytest.fixture
async def ledger(make):
    ledger = make()
    await ledger.open()
    return ledger


@pytest.fixture
def private_mongo(tmp_path):
    """A mongod of the test's own, to kill and pause."""
    server = started(MongoServer, tmp_path)
    yield server
    server.kill9()


@contextmanager
def program(source, *arguments):
    """A Python process that runs ``source``; it reports and is told by lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
