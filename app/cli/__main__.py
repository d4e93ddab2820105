"""``python -m app.cli`` is ``lifeboat``."""

import sys

from app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
