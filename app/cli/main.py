"""The commands by name, and how their failures are told.

Exit codes (contract section 6): 0 ok, 1 failed, 2 usage; commands with more of them say so. Errors
are sentences on stderr; stdout belongs to what was asked for. Only the command that is asked for is
imported: no process carries the others' libraries.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

import typer
from typer.exceptions import TyperException

from app.errors import LifeboatError, SettingsError
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
    "drill": "app.cli.drill:drill",
    "bench": "app.cli.bench:bench",
}


def application(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands."""
    made = typer.Typer(name="lifeboat", no_args_is_help=True, pretty_exceptions_enable=False)
    # Without a callback Typer takes the only command for the whole program.
    made.callback(help="A task queue that survives losing Redis.")(lambda: None)
    for name in names:
        module, function = COMMANDS[name].split(":")
        made.command(name)(getattr(import_module(module), function))
    return made


def main() -> int:
    """Run one command; its exit code."""
    asked = sys.argv[1:2]
    try:
        code = application(asked if asked and asked[0] in COMMANDS else COMMANDS)(
            standalone_mode=False
        )
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


def _usage(error: TyperException) -> int:
    show = getattr(error, "show", None)
    if show is None:
        return _failed(str(error), USAGE)
    show()
    return USAGE


def _failed(sentence: str, code: int) -> int:
    sys.stderr.write(sentence + "\n")
    return code
