"""``lifeboat worker``, and ``worker ls``."""

from typing import Annotated

import typer

from app.cli.options import Adopt, Queue, Tenant, load_settings, run
from app.cli.stats import list_workers
from app.worker.process import registry_of, run_worker

App = Annotated[
    str | None, typer.Option("--app", metavar="MODULE:REGISTRY", help="Your handlers' registry.")
]

worker = typer.Typer()
worker.command("ls")(list_workers)


@worker.callback(invoke_without_command=True)
def work(
    context: typer.Context,
    app: App = None,
    queue: Queue = None,
    tenant: Tenant = None,
    adopt_ledger: Adopt = False,
) -> None:
    """Run tasks: the built-in types, and those of --app."""
    if context.invoked_subcommand is not None:
        return
    chosen = load_settings(adopt_ledger=adopt_ledger)
    run("worker", run_worker(chosen, registry_of(app), queue=queue, tenant=tenant))
