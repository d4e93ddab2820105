"""A RabbitMQ of three nodes loses one, which it survives, and two, which stops it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Final

import aiohttp

from app.clock import monotonic_ms, now_ms
from app.drill import checker
from app.drill.game import MIRROR, Game
from app.drill.load import QUEUE
from app.stack.cluster import RabbitMQCluster
from app.stack.process import StackError, together, until
from app.stack.rabbitmq import RabbitMQServer
from app.stack.stack import VHOST

DOWN_MS: Final = 5_000
LEADER_WITHIN_MS: Final = 10_000
GOES_ON: Final = 20
"""Receipts with a confirmed copy that must come with a node down."""
GOES_ON_WITHIN_MS: Final = 15_000
SAID_WITHIN_MS: Final = 2_000
"""A receipt may still be on its way so long after its copy was confirmed."""
REFUSED_WITHIN_MS: Final = 30_000
SHOWN_WITHIN_MS: Final = 15_000


async def rabbitmq_node_loss(game: Game, share: int) -> None:
    """Kill -9 the node that leads the mirror queue; all goes on; the node comes back."""
    cluster = await _ready(game)
    leader = await _leader(cluster)
    connected = await _connections(cluster, leader)
    in_flight = await game.at_work(share // 3)
    accepted = game.producers.book.accepted

    async def lose_one() -> None:
        began_ms, killed_ms = monotonic_ms(), now_ms()
        leader.kill9()
        enough = min(len(accepted) + GOES_ON, game.plan.tasks)
        game.submit(share // 3)
        await until(
            lambda: len(accepted) >= enough,
            GOES_ON_WITHIN_MS,
            f"{GOES_ON} mirrored receipts without the node",
        )
        await _sit_out(began_ms)
        gap_s = longest_gap_ms(killed_ms, accepted.values()) / 1000
        game.say(f"The longest time without a mirrored receipt was {gap_s:.1f} s.")
        await leader.start()
        await cluster.until_whole(VHOST, MIRROR)

    name = f"rabbitmq node killed (the leader, with {connected} connections of ours), back"
    await game.inject(name, in_flight, lose_one)


def longest_gap_ms(since_ms: int, receipts_ms: Iterable[int]) -> int:
    """Between two receipts, or ``since_ms`` and the first."""
    after = sorted(each for each in receipts_ms if each >= since_ms)
    return max((later - earlier for earlier, later in pairwise([since_ms, *after])), default=0)


async def rabbitmq_quorum_loss(game: Game, share: int) -> None:
    """Kill -9 two nodes of three; nothing gets a copy until they are back, and nobody says so."""
    cluster = await _ready(game)
    leader = await _leader(cluster)
    in_flight = await game.at_work(share // 3)
    other = next(each for each in cluster.nodes if each is not leader)
    book = game.producers.book

    async def lose_two() -> None:
        began_ms = monotonic_ms()
        leader.kill9()
        other.kill9()
        game.submit(share // 3)
        await _sit_out(began_ms, SAID_WITHIN_MS)
        before, refused = set(book.accepted), book.answers.get("refused", 0)
        await until(
            lambda: book.answers.get("refused", 0) > refused,
            REFUSED_WITHIN_MS,
            "a submit that is refused for want of a copy",
        )
        await _sit_out(began_ms)
        shown = await _unmirrored(game)
        told = set(book.accepted) - before
        # What the ledger has as finished needs no copy any more.
        finished = await checker.read_records(game.stack, game.sqlite_path, QUEUE)
        if false := told - set(finished):
            raise StackError(f"{len(false)} receipts said mirrored, and there can be no copy.")
        game.say(
            f"Shown without a copy: {shown:,} tasks. {len(told):,} receipts said mirrored, all of"
            " tasks that were finished by then. Both nodes start."
        )
        await together(each.start() for each in (leader, other))
        await cluster.until_joined()
        await cluster.until_whole(VHOST, MIRROR)

    await game.inject("two of three rabbitmq nodes killed, both back", in_flight, lose_two)


async def _ready(game: Game) -> RabbitMQCluster:
    if game.stack.cluster is None:
        raise StackError("There is no cluster to lose nodes of.")
    await game.until_copies_have_a_home()
    await game.stack.cluster.until_whole(VHOST, MIRROR)
    return game.stack.cluster


async def _leader(cluster: RabbitMQCluster) -> RabbitMQServer:
    found: list[RabbitMQServer] = []

    async def is_known() -> bool:
        leader = await cluster.leader(VHOST, MIRROR)
        found.extend([leader] if leader else [])
        return leader is not None

    await until(is_known, LEADER_WITHIN_MS, f"RabbitMQ to say who leads {MIRROR}")
    return found[-1]


async def _connections(cluster: RabbitMQCluster, node: RabbitMQServer) -> int:
    """How many connections of Lifeboat's the node has, as another sees it."""
    for each in cluster.nodes:
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            found: Sequence[dict[str, str]] = await each.manage("GET", "/api/connections")
            return sum(1 for one in found if one.get("node") == node.node_name)
    return 0


async def _unmirrored(game: Game) -> int:
    """How many tasks without a copy the API shows.

    Raises:
        TimeoutError: it shows none.
    """
    shown = 0

    async def is_shown() -> bool:
        nonlocal shown
        document = await checker.queue_document(game.system.api.url, QUEUE)
        shown = document["unmirroredTasks"] if document else 0
        return shown > 0

    await until(is_shown, SHOWN_WITHIN_MS, "the API to show tasks without a copy")
    return shown


async def _sit_out(began_ms: int, for_ms: int = DOWN_MS) -> None:
    due_ms = began_ms + for_ms
    await until(lambda: monotonic_ms() >= due_ms, for_ms, "the end of the outage")
