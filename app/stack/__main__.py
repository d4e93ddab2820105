"""Having the servers' programs.

``python -m app.stack install`` installs what is missing; ``root [FOLDER]`` makes a folder with
newer ones; ``which`` says where they are.
"""

import sys
from pathlib import Path

from app.stack.process import StackError
from app.stack.roots import NEWER, VARIABLE, make_root
from app.stack.sources import SOURCES, install


def main(arguments: list[str]) -> int:
    """Exit 1 where Redis or RabbitMQ cannot be had: nothing runs without them."""
    try:
        match arguments:
            case ["root", *folders]:
                root = Path(*folders) if folders else NEWER
                make_root(root.resolve())
                print(f"Use them with {VARIABLE}={root}")
                return 0
            case ["install"]:
                sources = install()
            case _:
                sources = [source() for source in SOURCES.values()]
    except StackError as error:
        print(error)
        return 1
    missing = [source for source in sources if not source.exists]
    for source in missing if arguments == ["install"] else sources:
        print(source)
    return int(any(source.server != "mongo" for source in missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
