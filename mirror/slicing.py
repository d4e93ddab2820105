"""What a copy's headers say, sliced out of an envelope's bytes instead of decoding them. Pure.

``app.envelope.encode`` writes the members in one order and without spaces. An envelope that looks
so from its start to its payload, and from its options to its end, is what its journal entry says;
what lies between is proven by whoever reads the copy (``app.amqp.message.read_copy``).
"""

import re
from typing import Final

from app.amqp.copies import Heading
from app.envelope import SCHEMA
from app.names import TASK_ID_PATTERN, TYPE_PATTERN, QueueName

_END_BYTES: Final = 160
"""The members behind the options take fewer."""
_END_STARTS: Final = b'},"run":'
_END: Final = re.compile(
    rb'\},"run":([1-9][0-9]{0,14}),"requestDigest":"[0-9a-f]{64}","acceptedAt":([1-9][0-9]{0,14})\}'
)
_TRACEPARENT: Final = b"traceparent"


class Slicer:
    """Slices the envelopes of one queue."""

    def __init__(self, name: QueueName) -> None:
        self._start = re.compile(
            f'{{"schema":{SCHEMA},"taskId":"({TASK_ID_PATTERN})","type":"({TYPE_PATTERN})"'
            f',"queue":"{name.queue}","tenant":"{name.tenant}","payload":{{'.encode()
        )

    def heading(self, raw: bytes) -> Heading | None:
        """The heading of an envelope as ``encode`` writes it; None: it is to be decoded."""
        start = self._start.match(raw)
        # One that traces says so in its context, among texts of its producer.
        if start is None or _TRACEPARENT in raw:
            return None
        end_at = raw.rfind(_END_STARTS, -_END_BYTES)
        end = _END.fullmatch(raw, end_at) if end_at >= start.end() else None
        if end is None:
            return None
        task_id, kind = start.groups()
        run, accepted_at_ms = end.groups()
        return Heading(task_id.decode(), int(run), kind.decode(), int(accepted_at_ms), "")
