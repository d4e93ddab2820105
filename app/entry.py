"""How every process is entered: settings, log, event loop, and its last sentence."""

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop

from app import log
from app.errors import LifeboatError, SettingsError
from app.settings import Settings, about_unknown_variables, load

logger = logging.getLogger(__name__)

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def run(process: str, main: Callable[[Settings], Awaitable[None]], **overrides: Any) -> int:
    """Run ``main`` with the settings of the environment to its end; the exit code.

    ``process`` names it in the log, ``overrides`` are settings given otherwise. A sentence goes to
    stderr where it could not start (2) or had to stop (1).
    """
    log.setup(process)
    if unknown := about_unknown_variables():
        logger.warning("%s", unknown)

    async def entered() -> None:
        await main(load(**overrides))

    try:
        uvloop.run(entered())
    except SettingsError as error:
        return _say(error, USAGE)
    except LifeboatError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _say(error: LifeboatError, code: int) -> int:
    sys.stderr.write(f"{error}\n")
    return code
