"""What a handler raises to decide for itself."""


class HandlerSignal(Exception):
    """``type`` names the error in the record."""

    def __init__(self, message: str = "", *, type: str | None = None) -> None:
        self.type = type or self.__class__.__name__.lower()
        super().__init__(message)


class Discard(HandlerSignal):
    """Trying again is pointless: the task is dead at once."""


class Suspend(HandlerSignal):
    """The task must wait for a person: it is suspended."""


class Retry(HandlerSignal):
    """The attempt failed; try again ``after`` seconds (None: as the policy says)."""

    def __init__(
        self, message: str = "", *, after: float | None = None, type: str | None = None
    ) -> None:
        self.after = after
        super().__init__(message, type=type)


class Stopped(BaseException):
    """Raised by ``TaskContext.check``: nobody waits for this attempt any more.

    No ``Exception``, so that a handler's ``except Exception`` lets it through.
    """
