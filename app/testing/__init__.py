"""For tests of handlers: runs them without any server, on the decisions of the real worker."""

from app.testing.ended import Ended, EndedAttempt
from app.testing.run import TestRun

__all__ = ["Ended", "EndedAttempt", "TestRun"]
