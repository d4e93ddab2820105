"""``lifeboat worker``."""

from typing import Annotated

import typer

from app.cli.options import Adopt, Queue, Tenant, load_settings, run
from app.worker.process import registry_of, run_worker

App = Annotated[
    str | None, typer.Option("--app", metavar="MODULE:REGISTRY", help="Your handlers' registry.")
]


def worker(
    app: App = None, queue: Queue = None, tenant: Tenant = None, adopt_ledger: Adopt = False
) -> None:
    """Run tasks: the built-in types, and those of --app."""
    chosen = load_settings(adopt_ledger=adopt_ledger)
    run("worker", run_worker(chosen, registry_of(app), queue=queue, tenant=tenant))
