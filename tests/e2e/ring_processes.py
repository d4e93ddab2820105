"""What a child of the fork server runs; imported once, before any of them."""

from app.api.server import serve
from app.entry import run
from app.worker.process import run_worker
from mirror.process import run_mirror
from rehydrator.command import rehydrate
from rehydrator.process import run_rehydrator
from rehydrator.run import RunRequest
from tests.e2e.rehearsed_tasks import registry


def be(process, settings):
    """Run one process to its end; its exit code."""
    mains = {
        "api": serve,
        "worker": lambda settings: run_worker(settings, registry),
        "mirror": run_mirror,
        "rehydrator": run_rehydrator,
        "rehydrate": lambda settings: rehydrate(settings, RunRequest(), lambda _report: None),
    }
    return run(process, mains[process], **settings)
