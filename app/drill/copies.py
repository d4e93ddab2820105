"""The copies are hit: the quorum queue is deleted by hand, or takes no more."""

from typing import Final

from app.clock import monotonic_ms
from app.drill import checker
from app.drill.game import ALL_KINDS, MIRROR, Game
from app.drill.load import QUEUE
from app.stack.process import until
from app.stack.stack import VHOST

FULL_MS: Final = 5_000
FULL_WITHIN_MS: Final = 30_000
LIMIT: Final = "drill-limit"


async def rabbitmq_queue_deleted(game: Game, share: int) -> None:
    """Delete the mirror queue with all copies; ``remirror``; wipe Redis; ``rehydrate``."""
    in_flight = await game.at_work(share // 2, ALL_KINDS)
    rabbitmq, redis = game.stack.rabbitmq, game.stack.redis

    async def delete() -> None:
        await rabbitmq.manage("DELETE", f"/api/queues/{VHOST}/{MIRROR}")

    await game.inject("the mirror queue deleted by hand", in_flight, delete)
    await game.run("remirror")
    # Copies again: now Redis may go.
    in_flight = await game.at_work(share - share // 2, ALL_KINDS)

    async def wipe() -> None:
        redis.wipe()
        await redis.start()

    await game.inject("redis killed and wiped", in_flight, wipe)
    await game.rehydrate()


async def rabbitmq_queue_full(game: Game, share: int) -> None:
    """Overshoot a limit of messages; take it away after a while.

    Only what no consumer holds counts for it, and the rehydrator holds all: it is away meanwhile.
    """
    in_flight = await game.at_work(share // 2)
    rabbitmq, book = game.stack.rabbitmq, game.producers.book
    rehydrator = game.system.services["rehydrator"]
    limit = {"pattern": f"^{MIRROR}$", "definition": {"max-length": 1}, "apply-to": "queues"}

    async def fill() -> None:
        began_ms, refused = monotonic_ms(), book.answers.get("refused", 0)
        rehydrator.process.kill9()
        await rabbitmq.manage("PUT", f"/api/policies/{VHOST}/{LIMIT}", limit)
        game.submit(share - share // 2)
        shown = 0

        async def is_shown() -> bool:
            nonlocal shown
            document = await checker.queue_document(game.system.api.url, QUEUE)
            shown = document["unmirroredTasks"] if document else 0
            return shown > 0 and book.answers.get("refused", 0) > refused

        await until(is_shown, FULL_WITHIN_MS, "a submit that is refused for want of a copy")
        game.say(f"Shown without a copy: {shown:,} tasks.")
        due_ms = began_ms + FULL_MS
        await until(lambda: monotonic_ms() >= due_ms, FULL_MS, "the end of the limit")
        await rabbitmq.manage("DELETE", f"/api/policies/{VHOST}/{LIMIT}")
        await rehydrator.start()

    await game.inject("the mirror queue takes no more, then does", in_flight, fill)
