"""``lifeboat dead`` and ``suspended``: what waits for a person."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from app.cli import http, lists
from app.cli.asking import confirm
from app.cli.named import Named, act_on_each, report
from app.cli.options import Json, Yes
from app.cli.tables import at, task_view, tasks_table
from app.cli.values import json_object, moment_ms
from app.client import Acted, Client, Conflict, Task
from app.client.pages import Listed
from app.client.selection import Filters
from app.clock import now_ms
from app.name_options import queue_name, task_id, task_ids, type_name
from app.state import TaskState

Id = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.", callback=task_id)]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK_ID", help="These tasks.", callback=task_ids),
]
Where = Annotated[
    str | None,
    typer.Option("--queue", help="Their queue; unset: looked for in all.", callback=queue_name),
]
All = Annotated[bool, typer.Option("--all", help="All of the queue (needs --queue).")]
Type = Annotated[str | None, typer.Option(help="Only this type.", callback=type_name)]
Error = Annotated[str | None, typer.Option(help="Only those whose last error has this type.")]
Channel = Annotated[str | None, typer.Option(help="Only those that came this way.")]
User = Annotated[str | None, typer.Option(help="Only this user's.")]
ChatId = Annotated[str | None, typer.Option(help="Only of this chat.")]
SINCE: Final = "ended {} then; 2h (ago), 2026-01-31T12:00:00 or Unix ms."
Since = Annotated[str | None, typer.Option(help="Only those that " + SINCE.format("since"))]
Until = Annotated[str | None, typer.Option(help="Only those that " + SINCE.format("until"))]
NewPayload = Annotated[
    str | None, typer.Option("--payload", help="Another payload: a JSON object, @FILE, or -.")
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One parked state and what the client calls its actions."""

    state: TaskState
    verb: str
    listed: Callable[..., Listed[Task]]
    redrive: Callable[..., Awaitable[Task]]
    redrive_many: Callable[..., Awaitable[Acted]]
    discard_many: Callable[..., Awaitable[Acted]]

    async def tasks(
        self, client: Client, queue: str | None, filters: Filters, cursor: str | None, limit: int
    ) -> lists.Found[Task]:
        """Those that match, of one queue or of all; ``limit`` 0: all."""

        def listed(name: str, after: str | None, room: int | None) -> Listed[Task]:
            return self.listed(client, name, cursor=after, limit=room, **filters)

        return await lists.found_in_queues(client, queue, listed, cursor, limit)

    async def discard(self, client: Client, task_id: str, queue: str | None) -> None:
        """Give one up.

        Raises:
            NotFound: there is no such task.
            Conflict: it is none of these.
        """
        where = queue or (await client.get(task_id)).queue
        if (await self.discard_many(client, where, ids=[task_id])).done:
            return
        found = await client.get(task_id, queue=where)
        if found.state is not TaskState.DISCARDED:
            sentence = (
                f"Task {task_id} is {found.state}: only one that is {self.state} is given up."
            )
            raise Conflict(sentence, code="state_conflict", task_id=task_id)


def group_of(kind: Kind) -> typer.Typer:
    """The commands over one parked state."""
    state, verb = kind.state.value, kind.verb
    group = typer.Typer(no_args_is_help=True, help=f"Tasks that are {state}: wait for a person.")

    @group.command("ls", help=f"List {state} tasks, newest first.")
    def ls(
        context: typer.Context,
        queue: Where = None,
        type: Type = None,
        error: Error = None,
        channel: Channel = None,
        user: User = None,
        chat_id: ChatId = None,
        since: Since = None,
        until: Until = None,
        limit: lists.Limit = lists.LIMIT,
        cursor: lists.Cursor = None,
        json: Json = False,
    ) -> None:
        filters = _filters(type, error, channel, user, chat_id, since, until)

        found = http.ask(
            lambda client: kind.tasks(client, queue, filters, cursor, limit), json=json
        )
        lists.show(
            context,
            found,
            lambda items: tasks_table(items, _none(state, queue, filters)),
            json=json,
        )

    @group.command("show", help="Show one, with all its attempts.")
    def show(task_id: Id, queue: Where = None, json: Json = False) -> None:
        found = http.ask(lambda client: client.get(task_id, queue=queue), json=json)
        http.show(found.document(), task_view(found), json=json)

    @group.command(verb, help=f"Run {state} tasks again: some, those that match, or all.")
    def redrive(
        ids: Ids = None,
        queue: Where = None,
        every: All = False,
        type: Type = None,
        error: Error = None,
        channel: Channel = None,
        user: User = None,
        chat_id: ChatId = None,
        since: Since = None,
        until: Until = None,
        payload: NewPayload = None,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        filters = _filters(type, error, channel, user, chat_id, since, until)
        many = _selection(ids, queue, filters, every=every)
        body = json_object(payload, "--payload")
        if many is not None:
            where, chosen = many
            confirm(_question(verb, state, where, filters), yes=yes)
            acted = http.ask(
                lambda client: kind.redrive_many(client, where, payload=body, **chosen), json=json
            )
            _report(acted, json=json)
            return

        def ask(client: Client) -> Awaitable[Named]:
            return act_on_each(
                ids or (), lambda each: kind.redrive(client, each, queue=queue, payload=body)
            )

        report(http.ask(ask, json=json), json=json)

    @group.command("discard", help=f"Give {state} tasks up: some, those that match, or all.")
    def discard(
        ids: Ids = None,
        queue: Where = None,
        every: All = False,
        type: Type = None,
        error: Error = None,
        channel: Channel = None,
        user: User = None,
        chat_id: ChatId = None,
        since: Since = None,
        until: Until = None,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        filters = _filters(type, error, channel, user, chat_id, since, until)
        many = _selection(ids, queue, filters, every=every)
        confirm(_question("discard", state, queue, filters, ids), yes=yes)
        if many is not None:
            where, chosen = many
            acted = http.ask(lambda client: kind.discard_many(client, where, **chosen), json=json)
            _report(acted, json=json)
            return

        def ask(client: Client) -> Awaitable[Named]:
            return act_on_each(ids or (), lambda each: kind.discard(client, each, queue))

        report(http.ask(ask, json=json), json=json)

    return group


def _filters(
    type: str | None,
    error: str | None,
    channel: str | None,
    user: str | None,
    chat_id: str | None,
    since: str | None,
    until: str | None,
) -> Filters:
    now = now_ms()
    given: Filters = {
        "type": type,
        "error": error,
        "channel": channel,
        "user": user,
        "chat_id": chat_id,
        "since": moment_ms(since, "--since", now_ms=now, ago=True),
        "until": moment_ms(until, "--until", now_ms=now, ago=True),
    }
    return given


def _told(filters: Filters) -> str:
    given = {name: value for name, value in filters.items() if value is not None}
    return ", ".join(
        f"{name.replace('_', '-')} {at(value) if isinstance(value, int) else value}"
        for name, value in given.items()
    )


def _none(state: str, queue: str | None, filters: Filters) -> str:
    given = _told(filters)
    where = f" of the queue {queue}" if queue else ""
    return f"No {state} task{where} matches {given}." if given else f"No task{where} is {state}."


def _selection(
    ids: list[str] | None, queue: str | None, filters: Filters, *, every: bool
) -> tuple[str, dict[str, Any]] | None:
    """The queue and which of its tasks; None: those that are named."""
    is_filtered = any(value is not None for value in filters.values())
    if [bool(ids), is_filtered, every].count(True) != 1:
        raise typer.BadParameter("Say which: task ids, filters, or --all; one of these.")
    if ids:
        return None
    if queue is None:
        raise typer.BadParameter("Filters and --all need the queue.", param_hint="--queue")
    return queue, {"filter": filters} if is_filtered else {"all": True}


def _question(
    verb: str, state: str, queue: str | None, filters: Filters, ids: list[str] | None = None
) -> str:
    if ids:
        return f"{verb.capitalize()} {', '.join(ids)}?"
    given = _told(filters)
    which = f" with {given}" if given else ""
    return f"{verb.capitalize()} all {state} tasks of the queue {queue}{which}?"


def _report(acted: Acted, *, json: bool) -> None:
    sentence = f"{acted.matched:,} matched, {acted.done:,} done."
    http.show(acted.document(), http.say(sentence), json=json)
    if acted.done < acted.matched:
        raise typer.Exit(http.FAILED)


dead = group_of(
    Kind(
        TaskState.DEAD,
        "retry",
        Client.dead,
        Client.retry,
        Client.retry_dead,
        Client.discard_dead,
    )
)
suspended = group_of(
    Kind(
        TaskState.SUSPENDED,
        "resume",
        Client.suspended,
        Client.resume,
        Client.resume_suspended,
        Client.discard_suspended,
    )
)
