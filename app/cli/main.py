"""The commands by name, and how their failures are told.

Exit codes: 0 ok, 1 failed, 2 usage; commands with more of them say so. Errors
are sentences on stderr; stdout belongs to what was asked for. Only the command that is asked for is
imported: no process carries the others' libraries.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

import typer
from typer.exceptions import TyperException

from app.cli import completion
from app.errors import LifeboatError, SettingsError
from app.settings import about_unknown_variables
from app.stack.process import StackError

FAILED, USAGE = 1, 2
COMMANDS: Final = {
    "up": "app.cli.system:up",
    "down": "app.cli.system:down",
    "serve": "app.cli.serve:serve",
    "worker": "app.cli.worker:worker",
    "mirror": "app.cli.mirror:mirror",
    "rehydrator": "app.cli.rehydrator:rehydrator",
    "rehydrate": "rehydrator.commandline:rehydrate_command",
    "remirror": "app.cli.remirror:remirror",
    "reconcile": "app.cli.reconcile:reconcile",
    "doctor": "app.cli.doctor:doctor",
    "drill": "app.cli.drill:drill",
    "bench": "app.cli.bench:bench",
    "task": "app.cli.task:task",
    "queue": "app.cli.queue:queue",
    "dead": "app.cli.parked:dead",
    "suspended": "app.cli.parked:suspended",
    "quarantine": "app.cli.quarantine:quarantine",
    "canary": "app.cli.canary:canary",
    "stats": "app.cli.stats:stats",
}
"""Name -> ``module:command``; a command is a function, or a group of commands."""


def application(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands."""
    made = typer.Typer(name="lifeboat", no_args_is_help=True, pretty_exceptions_enable=False)
    # Without a callback Typer takes the only command for the whole program.
    made.callback(help="A task queue that survives losing Redis.")(lambda: None)
    for name in names:
        module, attribute = COMMANDS[name].split(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name)(command)
    return made


def main() -> int:
    """Run one command; its exit code."""
    _warn()
    try:
        code = application(_asked())(standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        return _usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return _failed("Stopped.", FAILED)
    except SettingsError as error:
        return _failed(str(error), USAGE)
    except (LifeboatError, StackError) as error:
        return _failed(str(error), FAILED)
    return code if isinstance(code, int) else 0


def _warn() -> None:
    """Tell of variables that are no setting: whoever wrote them believes in them."""
    is_told = completion.typed() is not None or sys.argv[1:2] == ["doctor"]
    if not is_told and (unknown := about_unknown_variables()):
        sys.stderr.write(unknown + "\n")


def _asked() -> Iterable[str]:
    """Which commands are needed for what was typed, or is being typed."""
    typed = completion.typed()
    first = (sys.argv if typed is None else typed)[1:2]
    return first if first and first[0] in COMMANDS else COMMANDS


def _usage(error: TyperException) -> int:
    # What pydantic, by which Typer reads values, puts before any sentence.
    error.message = error.message.replace("Value error, ", "")
    show = getattr(error, "show", None)
    if show is None:
        return _failed(str(error), USAGE)
    show()
    return USAGE


def _failed(sentence: str, code: int) -> int:
    sys.stderr.write(sentence + "\n")
    return code
