"""``python -m rehydrator``: the same command as ``lifeboat rehydrate``."""

import typer

from rehydrator.commandline import rehydrate_command

if __name__ == "__main__":
    typer.run(rehydrate_command)
