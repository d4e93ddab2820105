"""``lifeboat``: the command line, and the composition root of every process."""

from app.cli.main import main

__all__ = ["main"]
