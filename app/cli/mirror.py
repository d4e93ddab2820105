"""``lifeboat mirror``."""

from app.cli.options import Adopt, Queue, load_settings, run
from mirror.process import run_mirror


def mirror(queue: Queue = None, adopt_ledger: Adopt = False) -> None:
    """Publish each accepted task to RabbitMQ, with confirms."""
    run("mirror", run_mirror(load_settings(adopt_ledger=adopt_ledger), queue=queue))
