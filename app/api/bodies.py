"""Bodies of operator calls: small JSON objects, judged as strictly as a submit."""

from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from app.api.json_body import parse_object, read_body
from app.api.media_types import JSON, media_type
from app.errors import FieldProblem, InvalidTask
from app.names import TASK_ID_PATTERN
from app.settings import Settings
from app.task_queue.parked import Filter, Selection
from app.task_queue.problems import problems_of
from app.task_queue.request import LATEST_MS, TextOrInteger

IDS_MAX: Final = 1_000
TEXT_CHARS_MAX: Final = 4_096
BODY_PER_ENVELOPE: Final = 3

Model = TypeVar("Model", bound=BaseModel)
Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
Time = Annotated[int, Field(ge=0, le=LATEST_MS)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)


class NoBody(_Body):
    """May be left out, and has no member."""


class RedriveBody(_Body):
    """May be left out; ``payload`` takes the place of the task's own."""

    payload: dict[str, Any] | None = None


class ClearBody(_Body):
    """``confirm`` repeats the queue's name."""

    confirm: str


class FilterBody(_Body):
    """At least one member; times are when the tasks were parked, milliseconds UTC."""

    type: Text | None = None
    error: Text | None = Field(None, description="The type of the error.")
    channel: Text | None = None
    user: Text | None = None
    chat_id: TextOrInteger = None
    since: Time | None = Field(None, description="Parked then or later.")
    until: Time | None = Field(None, description="Parked before then.")

    def filter(self) -> Filter:
        """As the use cases take it."""
        return Filter(
            type=self.type,
            error=self.error,
            channel=self.channel,
            user=self.user,
            chat_id=None if self.chat_id is None else str(self.chat_id),
            since_ms=self.since,
            until_ms=self.until,
        )


class SelectionBody(_Body):
    """Exactly one of ``ids``, ``filter`` and ``all``; ``payload`` only together with ``ids``."""

    ids: list[Annotated[str, Field(pattern=f"^{TASK_ID_PATTERN}$")]] | None = Field(
        None, min_length=1, max_length=IDS_MAX
    )
    filter: FilterBody | None = None
    all: bool = False
    payload: dict[str, Any] | None = None


class DiscardBody(_Body):
    """Exactly one of ``ids``, ``filter`` and ``all``."""

    ids: list[Annotated[str, Field(pattern=f"^{TASK_ID_PATTERN}$")]] | None = Field(
        None, min_length=1, max_length=IDS_MAX
    )
    filter: FilterBody | None = None
    all: bool = False


def check_times(since: int | None, until: int | None, pointer: str) -> None:
    """Refuse a time that ends before it begins: nothing lies in it.

    Raises:
        InvalidTask: ``since`` is later than ``until``.
    """
    if since is not None and until is not None and since > until:
        sentence = f"Must not be later than until, {until}."
        raise InvalidTask(FieldProblem(pointer, sentence, until))


def selection_of(body: SelectionBody | DiscardBody) -> Selection:
    """What is selected.

    Raises:
        InvalidTask: not exactly one way to select, or a filter that is empty or lets nothing in.
    """
    given = body.model_dump(by_alias=True, exclude_unset=True)
    asked = {name: given[name] for name in ("ids", "filter", "all") if given.get(name)}
    problems = []
    if "filter" in given and not asked.get("filter"):
        sentence = 'Has no member: for every task say {"all":true}.'
        problems.append(FieldProblem("#/filter", sentence))
    elif len(asked) != 1:
        problems.append(FieldProblem("#", "Give exactly one of ids, filter and all (true)."))
    if given.get("payload") is not None and "ids" not in asked:
        problems.append(FieldProblem("#/payload", "Goes only together with ids."))
    if problems:
        raise InvalidTask(*problems)
    if body.filter:
        check_times(body.filter.since, body.filter.until, "#/filter/since")
    wanted = body.filter.filter() if body.filter else Filter()
    return Selection(tuple(body.ids) if body.ids else None, wanted, asked)


class Bodies:
    """Reads them within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._bytes_max = settings.limit_envelope * BODY_PER_ENVELOPE
        self._depth_max = settings.limit_depth

    async def read(self, request: Request, model: type[Model]) -> Model:
        """The request's body as ``model``; none at all is an empty object.

        Raises:
            InvalidTask: it breaks a rule, by its fields.
            MalformedJson, TooLarge, UnsupportedMediaType: it is no body we read.
        """
        raw = await read_body(request, self._bytes_max)
        if raw:
            media_type(request, JSON)
        try:
            return model.model_validate(parse_object(raw, self._depth_max) if raw else {})
        except ValidationError as error:
            raise InvalidTask(*problems_of(error)) from error
