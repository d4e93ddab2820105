"""Every mutant, by area."""

from tests.mutants import broker, delivery, ledger, mirror, rehydrator, task_queue, worker

ALL = (
    *broker.MUTANTS,
    *delivery.MUTANTS,
    *ledger.MUTANTS,
    *mirror.MUTANTS,
    *rehydrator.MUTANTS,
    *worker.MUTANTS,
    *task_queue.MUTANTS,
)


def named(names):
    """Those of ``names``, all where there are none; ``KeyError`` names one that is not there."""
    by_name = {mutant.name: mutant for mutant in ALL}
    return [by_name[name] for name in names] if names else list(ALL)
