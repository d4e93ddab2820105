"""Logging: one line an event, to stderr, the same shape in every process."""

import logging
import sys


def setup(process: str, level: int = logging.INFO) -> None:
    """Log to stderr as ``time level process logger: message``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(
            f"%(asctime)s.%(msecs)03d %(levelname)s {process} %(name)s: %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their reconnect chatter repeats what our own sentences say.
    for noisy in ("aiohttp.access", "asyncio", "pymongo"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for noisier in ("aio_pika", "aiormq"):
        logging.getLogger(noisier).setLevel(logging.CRITICAL)
