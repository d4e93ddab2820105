"""The state machine: any step after any other, and every promise after each of them."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.model.steps import STEPS, History
from tests.model.world import patched

LENGTH = 40


class Histories(RuleBasedStateMachine):
    """``without``: guards that the fakes leave out. ``begun`` counts histories of any machine."""

    without = frozenset()
    begun = 0

    def __init__(self):
        super().__init__()
        Histories.begun += 1
        self.history = History(self.without)
        self.whole = True

    def do(self, step):
        self.whole = False
        self.history.do(step)
        self.whole = True

    def teardown(self):
        if self.whole:
            self.history.end()
        else:
            self.history.close()


def machine_of(steps, without=frozenset()):
    """A machine with one rule: steps come from one table, where each has its weight."""

    def do(self, step):
        Histories.do(self, step)

    members = {"without": without, "do": rule(step=st.sampled_from(steps))(do)}
    return type("Histories", (Histories,), members)


def run_histories(count, *, length=LENGTH, steps=STEPS, without=frozenset(), shrink=True):
    """Run so many histories, the same ones each time; raises what one that fails raises.

    ``shrink``: the shortest one that fails so, which takes a while.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    with patched():
        run_state_machine_as_test(
            machine_of(steps, without),
            settings=settings(
                max_examples=count,
                stateful_step_count=length,
                deadline=None,
                database=None,
                derandomize=True,
                phases=phases,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
