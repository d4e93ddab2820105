"""Which ledger the settings name."""

import pytest

from app.errors import SettingsError
from app.ledger.mongo import MongoLedger
from app.ledger.opening import ledger_of
from app.ledger.sqlite import SqliteLedger
from app.settings import Settings


async def test_mongodb(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ledger = ledger_of(Settings(mongo_url="mongodb://127.0.0.1:1/test"))
    assert isinstance(ledger, MongoLedger)
    assert ledger.identity == ""
    await ledger.close()


async def test_sqlite(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ledger = ledger_of(Settings(sqlite_path=tmp_path / "ledger.sqlite"))
    assert isinstance(ledger, SqliteLedger)
    await ledger.close()
    # Nothing is made before it is opened.
    assert list(tmp_path.iterdir()) == []


def test_neither_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="LIFEBOAT_MONGO_URL, or LIFEBOAT_SQLITE_PATH"):
        ledger_of(Settings())
