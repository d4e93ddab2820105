"""The mirror queue is deleted: alone, for what Redis does not have then is nowhere."""

from typing import Final

from redis.asyncio import Redis

from app.clock import monotonic_ms
from app.drill import checker
from app.drill.game import MIRROR, Game
from app.drill.keys import TASKS
from app.drill.load import QUEUE
from app.drill.nemesis.schedule import Stroke
from app.stack.process import until
from app.stack.stack import VHOST

HOME_WITHIN_MS: Final = 90_000
STILL_MS: Final = 2_000
COPIED_WITHIN_MS: Final = 60_000


async def delete_queue(game: Game, _stroke: Stroke) -> None:
    """Delete it, once Redis has every task that is not finished.

    Raises:
        TimeoutError: Redis does not get them all.
    """
    await until(lambda: _all_in_redis(game), HOME_WITHIN_MS, "all unfinished tasks in Redis")
    await game.stack.rabbitmq.manage("DELETE", f"/api/queues/{VHOST}/{MIRROR}")


async def remirror(game: Game, _stroke: Stroke) -> None:
    """``lifeboat remirror``, and wait until every task has a copy again."""
    await game.run("remirror")

    async def have_copies() -> bool:
        document = await checker.queue_document(game.system.api.url, QUEUE)
        return document is not None and document["unmirroredTasks"] == 0

    await until(have_copies, COPIED_WITHIN_MS, "a copy of every task")


async def _all_in_redis(game: Game) -> bool:
    """Whether Redis knows each open task, and RabbitMQ took none in its place for a while."""
    taken, due_ms = len(game.producers.book.fallback), monotonic_ms() + STILL_MS
    await until(lambda: monotonic_ms() >= due_ms, STILL_MS, "a moment")
    accepted = list(game.producers.book.accepted)
    recorded = await checker.read_records(game.stack, game.sqlite_path, QUEUE)
    async with Redis.from_url(game.stack.redis.url, decode_responses=True) as client:
        known = {
            str(name).rsplit(":", 1)[-1]
            async for name in client.scan_iter(match=TASKS, count=1_000)
        }
    open_tasks = (each for each in accepted if each not in recorded)
    return all(each in known for each in open_tasks) and taken == len(game.producers.book.fallback)
