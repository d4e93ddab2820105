"""Faults of the network: on one line between a process of Lifeboat and a server."""

from collections.abc import Awaitable, Callable

from app.drill.game import Game
from app.drill.nemesis.schedule import Stroke
from app.stack.process import StackError


def doing(verb: str) -> Callable[[Game, Stroke], Awaitable[None]]:
    """Have this done to the stroke's line; its variant says for how many ms, if any."""

    async def act(game: Game, stroke: Stroke) -> None:
        if game.network is None:
            raise StackError("There are no lines between processes and servers to break.")
        await game.network.do(stroke.target, verb, int(stroke.variant.removesuffix("ms") or 0))

    return act
