"""``python -m mirror``: the same process as ``lifeboat mirror``."""

import sys

from app.entry import run
from mirror.process import run_mirror

if __name__ == "__main__":
    sys.exit(run("mirror", run_mirror))
