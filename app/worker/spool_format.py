"""The bytes of a spool file: frames of records, each with its length and checksum. Pure.

A frame is ``magic (4) | length (4) | CRC-32 (4) | body``, numbers big-endian; the checksum is over
length and body. A body is one line of JSON and then, as they are, the bytes it announces. The first
frame of a file is its header.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from app.errors import LifeboatError
from app.ledger.records import (
    About,
    ErrorInfo,
    Finish,
    FinishedPart,
    OpenPart,
    OpenWrite,
    attempt_document,
    attempt_from,
    error_document,
)
from app.names import TaskKey

VERSION: Final = 1
MAGIC: Final = b"LBSP"
HEAD: Final = struct.Struct(">4sII")

Write = Finish | OpenWrite
"""What is spooled: a wish to the ledger, with its writer's nonce."""


class SpoolDamaged(LifeboatError):
    """Bytes that are no record of a spool."""


class SpoolTooNew(LifeboatError):
    """A spool file written by a newer Lifeboat."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose a spool file is: only its own ledger may get what it holds."""

    env: str
    ledger: str
    worker: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What is sound in a file's bytes.

    ``good_bytes``: up to there every frame is sound. ``damaged``: sound frames lie behind others.
    """

    bodies: list[bytes]
    good_bytes: int
    damaged: bool


def frame(body: bytes) -> bytes:
    """A body as it is appended."""
    return HEAD.pack(MAGIC, len(body), _checksum(body)) + body


def scan(data: bytes) -> Scan:
    """Find every sound frame, also behind damaged ones."""
    bodies: list[bytes] = []
    good_bytes, at, damaged = 0, 0, False
    while (at := data.find(MAGIC, at)) >= 0:
        body = _body(data, at)
        if body is None:
            at += 1
            continue
        damaged = damaged or at != good_bytes
        bodies.append(body)
        at += HEAD.size + len(body)
        if not damaged:
            good_bytes = at
    return Scan(bodies, good_bytes, damaged)


def header_body(header: Header) -> bytes:
    """The first body of a file."""
    return _join({"spool": VERSION, **asdict(header)})


def header_from(body: bytes) -> Header:
    """The reverse of ``header_body``.

    Raises:
        SpoolDamaged: it is no header.
        SpoolTooNew: this Lifeboat does not know such files.
    """
    document, _ = _split(body)
    version = document.get("spool")
    if not isinstance(version, int):
        raise SpoolDamaged("its first record is no header")
    if version > VERSION:
        raise SpoolTooNew(f"it is of version {version}, and this Lifeboat knows {VERSION}")
    return Header(document["env"], document["ledger"], document["worker"])


def body_of(write: Write) -> bytes:
    """A wish as a body."""
    common = {
        "key": [write.key.tenant, write.key.queue, write.key.task_id],
        "digest": write.request_digest,
        "attempt": attempt_document(write.attempt) if write.attempt else None,
    }
    if isinstance(write, OpenWrite):
        expected = asdict(write.expected) if write.expected else None
        part = asdict(write.part)
        return _join({"open": part, "check": write.check, "expected": expected, **common})
    finished = {
        "run": write.finished.run,
        "state": write.finished.state,
        "at_ms": write.finished.at_ms,
        "by": write.finished.by,
        "attempt": write.finished.attempt,
        "error": error_document(write.finished.error),
    }
    blobs = [write.envelope]
    if write.finished.result is not None:
        blobs.append(write.finished.result)
    return _join({"finished": finished, "about": asdict(write.about), **common}, *blobs)


def write_from(body: bytes) -> Write:
    """The reverse of ``body_of``.

    Raises:
        SpoolDamaged: it is no wish.
    """
    document, blobs = _split(body)
    try:
        return _finish(document, blobs) if "finished" in document else _open(document)
    except (KeyError, TypeError, ValueError) as error:
        raise SpoolDamaged(f"a record is not understood: {error!r}") from error


def nonce_of(write: Write) -> str:
    """Who wrote it: a nonce that no other claim has."""
    return write.part.by if isinstance(write, OpenWrite) else write.finished.by


def _finish(document: Mapping[str, Any], blobs: list[bytes]) -> Finish:
    error = document["finished"]["error"]
    envelope, *rest = blobs
    finished = {**document["finished"], "error": ErrorInfo(**error) if error else None}
    return Finish(
        key=TaskKey(*document["key"]),
        request_digest=document["digest"],
        envelope=envelope,
        finished=FinishedPart(result=rest[0] if rest else None, **finished),
        about=About(**document["about"]),
        attempt=attempt_from(document["attempt"]) if document["attempt"] else None,
    )


def _open(document: Mapping[str, Any]) -> OpenWrite:
    expected = document["expected"]
    return OpenWrite(
        key=TaskKey(*document["key"]),
        request_digest=document["digest"],
        part=OpenPart(**document["open"]),
        attempt=attempt_from(document["attempt"]) if document["attempt"] else None,
        check=document["check"],
        expected=OpenPart(**expected) if expected else None,
    )


def _join(document: Mapping[str, Any], *blobs: bytes) -> bytes:
    line = orjson.dumps({**document, "blobs": [len(blob) for blob in blobs]})
    return b"\n".join((line, b"".join(blobs)))


def _split(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    line, newline, rest = body.partition(b"\n")
    try:
        document = orjson.loads(line)
        lengths = document["blobs"]
    except (ValueError, KeyError, TypeError) as error:
        raise SpoolDamaged("a record has no line of JSON before its bytes") from error
    if not newline or sum(lengths) != len(rest):
        raise SpoolDamaged("a record is not as long as it says")
    blobs, at = [], 0
    for length in lengths:
        blobs.append(rest[at : at + length])
        at += length
    return document, blobs


def _checksum(body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack(">I", len(body))))


def _body(data: bytes, at: int) -> bytes | None:
    if at + HEAD.size > len(data):
        return None
    _, length, checksum = HEAD.unpack_from(data, at)
    start = at + HEAD.size
    if start + length > len(data):
        return None
    body = data[start : start + length]
    return body if _checksum(body) == checksum else None
