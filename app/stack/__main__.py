"""``python -m app.stack install``: have the servers' programs; ``which``: say where they are."""

import sys

from app.stack.sources import SOURCES, install


def main() -> int:
    """Exit 1 where Redis or RabbitMQ cannot be had: nothing runs without them."""
    sources = install() if sys.argv[1:] == ["install"] else [s() for s in SOURCES.values()]
    missing = [source for source in sources if not source.exists]
    for source in missing if sys.argv[1:] == ["install"] else sources:
        print(source)
    return int(any(source.server != "mongo" for source in missing))


if __name__ == "__main__":
    sys.exit(main())
