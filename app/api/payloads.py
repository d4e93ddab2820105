"""The built-in types whose payloads are judged before they are taken."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from app.canary import CANARY, CanaryPayload
from app.handlers.payload import DELIVER, HttpDeliverPayload

PAYLOADS: Final[Mapping[str, type[BaseModel]]] = {
    CANARY: CanaryPayload,
    DELIVER: HttpDeliverPayload,
}
"""Models by type."""
