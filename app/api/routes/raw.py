"""Routes whose endpoints read the request themselves: nothing of it is parsed before them."""

from app.api.routes.strict import Handler, StrictRoute


class RawRoute(StrictRoute):
    """A route that hands the request over as it is."""

    def handler(self) -> Handler:
        """The endpoint as it is."""
        endpoint: Handler = self.endpoint
        return endpoint
