"""Basic.Ack frames for many deliveries of one channel, joined. Pure.

What leads the held ones goes in one ack with ``multiple`` set, which spares the broker most of the
work; the rest one by one.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from struct import Struct
from typing import Final

_ACK: Final = Struct(">BHIHHQBB")
_METHOD: Final = 1
_PAYLOAD_BYTES: Final = 13
_BASIC: Final = 60
_BASIC_ACK: Final = 80
_FRAME_END: Final = 0xCE


def ack_frames(channel: int, held: Iterable[int], tags: AbstractSet[int]) -> bytes:
    """The frames that ack ``tags`` and nothing else on the channel number ``channel``.

    ``held`` are all unacked tags of the channel, rising; ``tags`` are some of them.
    """
    leading = _leading(held, tags)
    rest = sorted(tags) if leading is None else sorted(tag for tag in tags if tag > leading)
    frames = [] if leading is None else [_frame(channel, leading, multiple=True)]
    frames += [_frame(channel, tag, multiple=False) for tag in rest]
    return b"".join(frames)


def _leading(held: Iterable[int], tags: AbstractSet[int]) -> int | None:
    """The last of the held tags up to which every one is to be acked; None: not even the first."""
    last = None
    for tag in held:
        if tag not in tags:
            break
        last = tag
    return last


def _frame(channel: int, tag: int, *, multiple: bool) -> bytes:
    return _ACK.pack(
        _METHOD, channel, _PAYLOAD_BYTES, _BASIC, _BASIC_ACK, tag, multiple, _FRAME_END
    )
