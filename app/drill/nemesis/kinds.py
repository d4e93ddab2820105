"""Every kind of fault there is, and which of them a game can have."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.crashing import POINTS, Point
from app.drill.game import Game
from app.drill.nemesis import copies, network, processes, servers
from app.drill.nemesis.schedule import Choice, Stroke

Act = Callable[[Game, Stroke], Awaitable[None]]
LINES: Final = (
    "api>redis", "api>rabbitmq", "api>management", "api>mongo",
    "worker>redis", "worker>mongo", "worker-2>redis", "worker-2>mongo",
    "mirror>redis", "mirror>rabbitmq", "mirror>management", "mirror>mongo",
    "rehydrator>redis", "rehydrator>rabbitmq", "rehydrator>management", "rehydrator>mongo",
)  # fmt: skip
"""Those between a process and a server that it speaks to."""
PROCESSES: Final = ("api", "worker", "worker-2", "mirror", "rehydrator")
OUT_OF_PLAY: Final[frozenset[Point]] = frozenset((
    # What an operator asks for.
    "api.before_mark", "api.after_mark", "api.after_cancelled", "api.after_settle",
    "api.before_redrive", "api.after_redrive", "api.before_note", "api.after_note",
    "api.after_discarded", "api.after_paused", "api.after_requeue", "api.after_resolve",
    "mirror.before_release", "worker.before_give_back", "worker.after_give_back",
    "rehydrator.after_wish", "rehydrator.before_checkpoint", "rehydrator.after_checkpoint",
    # What only broken messages and copies of old age come to.
    "mirror.after_record", "rehydrator.before_quarantine", "rehydrator.after_record",
    "rehydrator.after_quarantine", "rehydrator.before_refresh", "rehydrator.after_refresh",
    "rehydrator.before_let_go", "rehydrator.after_let_go",
))  # fmt: skip
"""Points that no game comes to: to wait there would be no fault."""
SHORT, LONG, MOMENT = (500, 6_000), (2_000, 12_000), (0, 0)
DOWN: Final = (0, 5_000)
BEYOND_LEASES: Final = (6_000, 14_000)
"""A worker's lease and a mirror's last 5 s in a drill, a rehydrator's 10."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: what is left to the seed, how it comes and how it goes."""

    choice: Choice
    inject: Act
    heal: Act


def _line(kind: str, lasts_ms: tuple[int, int], verb: str, then: str, delays: str = "") -> Kind:
    variants = tuple(delays.split()) or ("",)
    return Kind(Choice(kind, LINES, lasts_ms, variants), network.doing(verb), network.doing(then))


def _dies(process: str, *names: str) -> Kind:
    points = tuple(each for each in POINTS[process] if each not in OUT_OF_PLAY)
    choice = Choice("dies at a point", names, (3_000, 8_000), points)
    return Kind(choice, processes.die_at, processes.start)


_ALL: Final = (
    _line("cut", SHORT, "refuse", "flow"),
    _line("connections reset", MOMENT, "cut", "flow"),
    _line("silent both ways", LONG, "hold", "flow"),
    _line("replies lost", SHORT, "hold_answers", "lose"),
    _line("replies late", SHORT, "hold_answers", "flow"),
    _line("requests lost", SHORT, "hold_requests", "lose"),
    _line("requests late", SHORT, "hold_requests", "flow"),
    _line("slow", LONG, "delay", "flow", "20ms 100ms 300ms"),
    _line("answers half-closed", MOMENT, "end_answers", "flow"),
    _line("requests half-closed", MOMENT, "end_requests", "flow"),
    Kind(Choice("killed and wiped", ("redis",), DOWN), servers.wipe, servers.start),
    Kind(Choice("killed", ("redis",), DOWN), servers.kill, servers.start),
    Kind(Choice("out of memory", ("redis",), SHORT), servers.fill, servers.empty),
    Kind(
        Choice("takes no writes", ("redis",), SHORT, ("a replica", "too few replicas")),
        servers.refuse_writes,
        servers.take_writes,
    ),
    Kind(Choice("killed", ("rabbitmq",), DOWN), servers.kill, servers.start),
    Kind(
        Choice("alarm", ("rabbitmq",), SHORT, ("memory", "disk")), servers.alarm, servers.calm_down
    ),
    Kind(Choice("killed", ("mongo",), DOWN), servers.kill, servers.start),
    Kind(
        Choice("steps down", ("mongo",), (2_000, 8_000)), servers.step_down, servers.be_primary
    ),
    Kind(Choice("stopped", ("redis", "rabbitmq", "mongo"), LONG), servers.pause, servers.resume),
    Kind(Choice("killed", PROCESSES, DOWN), processes.kill, processes.start),
    Kind(Choice("stopped", PROCESSES, BEYOND_LEASES), processes.pause, processes.resume),
    _dies("api", "api"),
    _dies("worker", "worker", "worker-2"),
    _dies("mirror", "mirror"),
    _dies("rehydrator", "rehydrator"),
    Kind(
        Choice("queue deleted", ("rabbitmq",), MOMENT, alone=True),
        copies.delete_queue,
        copies.remirror,
    ),
)  # fmt: skip


def kinds(*, mongo: bool) -> list[Kind]:
    """All that these servers can have; without ``mongo`` the ledger is a file."""
    found = []
    for each in _ALL:
        targets = tuple(name for name in each.choice.targets if mongo or "mongo" not in name)
        if targets:
            choice = Choice(
                each.choice.kind,
                targets,
                each.choice.lasts_ms,
                each.choice.variants,
                each.choice.alone,
            )
            found.append(Kind(choice, each.inject, each.heal))
    return found


def kind_of(stroke: Stroke) -> Kind:
    """Whose stroke it is."""
    return next(
        each
        for each in _ALL
        if each.choice.kind == stroke.kind and stroke.target in each.choice.targets
    )
