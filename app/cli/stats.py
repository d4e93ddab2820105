"""``lifeboat stats`` and ``worker ls``: how the whole system does."""

import asyncio
from typing import Any

from rich.console import Console

from app.cli import http
from app.cli.options import Json
from app.cli.tables import at, queues_table, table_of
from app.client import Client, Mirror, Queue, Worker


def stats(json: Json = False) -> None:
    """Show queues, mirrors and workers."""

    async def look(client: Client) -> tuple[list[Queue], list[Mirror], list[Worker]]:
        return await asyncio.gather(client.queues(), client.mirror(), client.workers())

    queues, mirrors, workers = http.ask(look, json=json)
    document = {
        "queues": [each.document() for each in queues],
        "mirror": [each.document() for each in mirrors],
        "workers": [each.document() for each in workers],
    }

    def draw(console: Console) -> None:
        queues_table(queues)(console)
        mirrors_table(mirrors, console)
        workers_table(workers, console)

    http.show(document, draw, json=json)


def list_workers(json: Json = False) -> None:
    """List workers that were seen lately."""
    found = http.ask(Client.workers, json=json)
    document = {"items": [each.document() for each in found]}
    http.show(document, lambda console: workers_table(found, console), json=json)


def mirrors_table(mirrors: list[Mirror], console: Console) -> None:
    """How far the copies of each queue are."""
    head = ("mirror of", "no copy", "oldest s", "confirmed", "unknown", "quarantined", "leader")
    rows: list[tuple[Any, ...]] = [
        (
            each.queue,
            each.unmirrored_tasks,
            each.oldest_unmirrored_seconds,
            each.confirmed,
            each.unknown,
            each.quarantined,
            "blocked" if each.blocked else each.leader,
        )
        for each in mirrors
    ]
    table_of(head, rows, empty="No queue has a mirror yet.")(console)


def workers_table(workers: list[Worker], console: Console) -> None:
    """Who works on what."""
    head = ("worker", "running", "of", "queues", "types", "started", "last poll")
    rows = [
        (
            each.worker,
            each.running,
            each.concurrency,
            ", ".join(each.queues),
            ", ".join(each.types),
            at(each.started_at),
            at(each.last_poll_at),
        )
        for each in workers
    ]
    table_of(head, rows, empty="No worker was seen lately.")(console)
