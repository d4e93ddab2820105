"""``lifeboat rehydrator``."""

from app.cli.options import Adopt, Queue, load_settings, run
from rehydrator.process import run_rehydrator


def rehydrator(queue: Queue = None, adopt_ledger: Adopt = False) -> None:
    """Bring back what Redis lost; let go of copies whose run is recorded as over."""
    run("rehydrator", run_rehydrator(load_settings(adopt_ledger=adopt_ledger), queue=queue))
