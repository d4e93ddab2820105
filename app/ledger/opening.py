"""Chooses the ledger that the settings name."""

from app.errors import SettingsError
from app.ledger.ledger import Ledger
from app.ledger.mongo import MongoLedger
from app.ledger.sqlite import SqliteLedger
from app.settings import Settings


def ledger_of(settings: Settings) -> Ledger:
    """The ledger, not yet opened.

    Raises:
        SettingsError: neither store is named.
    """
    if settings.mongo_url:
        return MongoLedger(
            settings.mongo_url,
            env=settings.env,
            record_days=settings.record_days,
            timeout_ms=settings.store_timeout_ms,
        )
    if settings.sqlite_path:
        return SqliteLedger(
            settings.sqlite_path,
            env=settings.env,
            record_days=settings.record_days,
            timeout_ms=settings.store_timeout_ms,
        )
    raise SettingsError(
        "No ledger: set LIFEBOAT_MONGO_URL, or LIFEBOAT_SQLITE_PATH for a system on one machine."
    )
