"""Routes that take no query parameter they do not know: what is misspelt would do nothing."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.errors import FieldProblem, InvalidTask

STRICT: Final = "/v1/"
"""What is asked for by others than producers and operators (probes, browsers) is left alone."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters, below ``/v1/``."""

    def get_route_handler(self) -> Handler:
        """The handler behind the refusal."""
        handler = self.handler()
        if not self.path.startswith(STRICT):
            return handler
        known = tuple(parameter.alias for parameter in self.dependant.query_params)

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                _refuse_unknown(request, known)
            return await handler(request)

        return handle

    def handler(self) -> Handler:
        """What answers a request whose query is known."""
        return super().get_route_handler()


def _refuse_unknown(request: Request, known: Sequence[str]) -> None:
    strange = [name for name in request.query_params if name not in known]
    if strange:
        taken = f"has {', '.join(known)}" if known else "has none"
        sentence = f"Is no parameter of this call, which {taken}."
        raise InvalidTask(*(FieldProblem(f"?{name}", sentence) for name in strange))
