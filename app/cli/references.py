"""The generated pages of ``docs/reference``: what the code says of itself, as Markdown.

``make docs`` writes them; a contract test compares what is committed with what would be written.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

from app.broker import connection as scripts_home
from app.broker.keys import GROUP, QueueKeys, workers_key
from app.cli.http_reference import http_page
from app.cli.main import COMMANDS, application
from app.cli.markdown import page, table
from app.cli.measured_reference import measured_page
from app.cli.soak_reference import soak_page
from app.metrics import Metrics
from app.names import QueueName
from app.settings import Settings
from app.state import FINISHED, MOVES, PARKED, TERMINAL, TaskState

FOLDER: Final = Path("docs/reference")
EXAMPLE: Final = QueueKeys("default", QueueName("default", "orders"))
BOUNDS: Final = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}
SUFFIXES: Final = {"counter": "_total", "info": "_info"}
SCRIPTS: Final = Path(scripts_home.__file__).with_name("lua")


def settings_page() -> str:
    """Every ``LIFEBOAT_*`` variable."""
    rows = [
        (
            f"`LIFEBOAT_{name.upper()}`",
            _kind(field.annotation) + _bounds(field.metadata),
            _default(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Settings",
        "`app/settings.py`",
        "Variables of the environment, or of a file `.env` in the working directory. Every process"
        " reads them once, at its start, and stops with a sentence (exit 2) when one is out of its"
        " range or contradicts another. A variable that begins with `LIFEBOAT_` and is none of"
        " these is told at the start, with the nearest name. `_MS` are milliseconds, `LIMIT_*` what"
        " a request may be.",
        table(("variable", "value", "default", "what it does"), rows),
    )


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in get_args(annotation))
    if origin is tuple:
        return "names, comma-separated"
    if origin in (UnionType, Union):
        return " or ".join(_kind(each) for each in get_args(annotation) if each is not type(None))
    names = {int: "integer", float: "number", bool: "`0` or `1`", str: "text", Path: "path"}
    return names[annotation]


def _bounds(metadata: Sequence[Any]) -> str:
    found = [
        sentence.format(f"{getattr(each, name):,}")
        for each in metadata
        for name, sentence in BOUNDS.items()
        if hasattr(each, name)
    ]
    return ", " + ", ".join(found) if found else ""


def _default(value: Any) -> str:
    if value is None or value == ():
        return "unset"
    return f"`{int(value) if isinstance(value, bool) else value}`"


def metrics_page() -> str:
    """Every metric."""
    made = Metrics()
    labels = {
        next(iter(each.describe())).name: each._labelnames  # noqa: SLF001 - told by no public name
        for each in vars(made).values()
        if isinstance(each, MetricWrapperBase)
    }
    rows = [
        (
            f"`{each.name}{SUFFIXES.get(each.type, '')}`",
            each.type,
            ", ".join(f"`{label}`" for label in labels.get(each.name, ("version",))),
            each.documentation,
        )
        for each in made.registry.collect()
    ]
    return page(
        "Metrics",
        "`app/metrics.py`",
        "In the Prometheus text format at `/metrics` of every process. All processes share this"
        " catalogue; each shows a series only once it has something to say. Labels never carry a"
        " task id. Gauges of a queue come only from the mirror that holds its lease, so sums over"
        " processes are right.",
        table(("metric", "type", "labels", "what it says"), rows),
    )


def states_page() -> str:
    """The state machine, drawn and as a table."""
    drawn = ["stateDiagram-v2", "    [*] --> scheduled", "    [*] --> queued"]
    drawn += [f"    {old} --> {new}" for old in TaskState for new in _ordered(MOVES[old])]
    drawn += [f"    {state} --> [*]" for state in _ordered(TERMINAL)]
    rows = [
        (
            f"`{state}`",
            _standing(state),
            ", ".join(f"`{each}`" for each in _ordered(MOVES[state])) or "none",
        )
        for state in TaskState
    ]
    return page(
        "Task states",
        "`app/state.py`",
        "A *terminal* state is the end. A *parked* task waits for a person, and every move out of a"
        " parked state starts the next run, with attempts from 1. *Finished* is either: the ledger"
        " has the run's record, and that run is never executed again.",
        "```mermaid\n" + "\n".join(drawn) + "\n```",
        table(("state", "kind", "may become"), rows),
    )


def _ordered(states: frozenset[TaskState]) -> list[TaskState]:
    return [each for each in TaskState if each in states]


def _standing(state: TaskState) -> str:
    if state not in FINISHED:
        return "open"
    return "parked" if state in PARKED else "terminal"


def redis_page() -> str:
    """Every key, and every script that touches them."""
    keys = [
        (", ".join(f"`{key}`" for key in _keys(name)), inspect.getdoc(member) or "")
        for name, member in vars(QueueKeys).items()
        if isinstance(member, property) and name != "prefix"
    ]
    keys.append((f"`{EXAMPLE.task('<id>')}`", inspect.getdoc(QueueKeys.task) or ""))
    keys.append((f"`{workers_key(EXAMPLE.env)}`", inspect.getdoc(workers_key) or ""))
    paths = sorted(SCRIPTS.glob("[a-z]*.lua"))
    scripts = [(f"`{path.stem}`", _header(path)) for path in paths]
    unchecked = ", ".join(f"`{p.stem}`" for p in paths if "stale()" not in p.read_text())
    return page(
        "Redis keys and scripts",
        "`app/broker/keys.py` and `app/broker/lua/`",
        f"Shown for the env `{EXAMPLE.env}` and the tenant `{EXAMPLE.name.tenant}`'s queue"
        f" `{EXAMPLE.name.queue}`. The braces are the cluster hash tag: all keys of a queue share a"
        f" slot. The consumer group on the ready streams is `{GROUP}`.",
        table(("key", "type and content"), keys),
        "## Scripts\n\nNothing else writes these keys. Each script is one file under"
        " `app/broker/lua/`, whose header names its keys, arguments and returns; each first checks"
        " the generation token and refuses with `STALE` when Redis has another history"
        f" ({unchecked} excepted).",
        table(("script", "what it does"), scripts),
    )


def _keys(name: str) -> tuple[str, ...]:
    value = getattr(EXAMPLE, name)
    return value if isinstance(value, tuple) else (value,)


def _header(path: Path) -> str:
    said = []
    for line in path.read_text().splitlines():
        text = line.removeprefix("--").strip()
        if not line.startswith("--") or text.startswith(("KEYS", "ARGV", "Returns")):
            break
        said.append(text)
    return " ".join(said)


def cli_page() -> str:
    """Every command and its options."""
    commands = get_command(application(COMMANDS)).commands  # type: ignore[attr-defined]
    blocks = [block for name, command in commands.items() for block in _commands(name, command)]
    return page(
        "Commands",
        "the functions under `app/cli/`",
        "`.venv/bin/lifeboat COMMAND [OPTIONS]`. Exit codes: 0 done, 1 failed, 2 wrong usage or"
        " settings; a command with more of them says so. Errors are sentences on stderr. With"
        " `--json`, stdout carries one document and nothing else: what was asked for, or"
        ' `{"error": …}`. It may stay empty where there is neither, as with wrong usage or'
        " settings: look at the exit code before you read it.",
        *blocks,
    )


def _commands(name: str, command: Any) -> list[str]:
    """A command, and those below it."""
    below = getattr(command, "commands", {})
    return [
        _command(name, command),
        *(_command(f"{name} {each}", sub) for each, sub in below.items()),
    ]


def _command(name: str, command: Any) -> str:
    parts = [f"## `lifeboat {name}`", inspect.cleandoc(command.help or "")]
    rows = [
        (
            ", ".join(f"`{each}`" for each in _spellings(option)),
            _given(option),
            getattr(option, "help", None) or "",
        )
        for option in command.params
    ]
    if rows:
        parts.append(table(("option or argument", "default", "what it does"), rows))
    return "\n\n".join(parts)


def _spellings(option: Any) -> list[str]:
    # An argument has a name and no dashes.
    spelt = (*option.opts, *option.secondary_opts)
    return [each if each.startswith("-") else each.upper() for each in spelt]


def _given(option: Any) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "unset"
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return f"`{option.default}`"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "task-states.md": states_page,
    "redis-keys.md": redis_page,
    "http-api.md": http_page,
    "cli.md": cli_page,
    "measured-guarantees.md": measured_page,
    "soaks.md": soak_page,
}
"""File name under ``docs/reference`` -> what writes it."""


def write(folder: Path = FOLDER) -> None:
    """Write every page."""
    for name, written in PAGES.items():
        (folder / name).write_text(written())


if __name__ == "__main__":
    write()
