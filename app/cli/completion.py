"""What a shell asks to be completed: Typer's own variables, read before its commands are there.

The shells' scripts (``lifeboat --show-completion``) run the program with the line so far in the
environment; knowing the first word spares the import of every other command.
"""

import os
import shlex
from typing import Final

INSTRUCTION: Final = "_LIFEBOAT_COMPLETE"
LINES: Final = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")
"""Of zsh, fish and PowerShell; of bash."""


def typed() -> list[str] | None:
    """The words typed so far, the program first; None: nothing is being completed."""
    if INSTRUCTION not in os.environ:
        return None
    line = next((os.environ[name] for name in LINES if name in os.environ), "")
    try:
        return shlex.split(line)
    except ValueError:
        # A quote that is still open.
        return line.split()
