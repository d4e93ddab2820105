"""The mirror's verbs: hold the journal's lease, read it, take the confirmed prefix off it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.broker.connection import Argument, RedisConnection
from app.broker.keys import QueueKeys

FIELDS: Final = (b"id", b"run", b"kind", b"envelope")
"""What a script writes into an entry, in its order."""


class JournalEntry(NamedTuple):
    """A task that RabbitMQ has not got yet, or (``refresh``) shall get once more."""

    journal_id: str
    task_id: str
    run: int
    refresh: bool
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Sightings:
    """What the mirror saw of the broker since its last report."""

    blocked: bool = False
    returned: int = 0
    refused: int = 0
    unknown: int = 0
    quarantined: int = 0


class Journal:
    """Verbs of the mirror on one queue's journal."""

    def __init__(self, redis: RedisConnection, keys: QueueKeys) -> None:
        self._redis = redis
        self._keys = keys
        self._task = keys.task("")

    async def hold(self, token: str, owner: str, lease_ms: int, seen: Sightings) -> bool:
        """Take or renew the lease and add what was seen; False: another mirror has it."""
        keys = self._keys
        reply = await self._redis.script(
            "hold_journal",
            [keys.generation, keys.mirror_lease, keys.mirror],
            [
                token,
                owner,
                lease_ms,
                int(seen.blocked),
                seen.returned,
                seen.refused,
                seen.unknown,
                seen.quarantined,
            ],
        )
        return bool(reply == 1)

    async def release(self, token: str, owner: str) -> None:
        """Give the lease back."""
        keys = self._keys
        await self._redis.script(
            "release_journal", [keys.generation, keys.mirror_lease], [token, owner]
        )

    async def read(
        self, token: str, after: str | None, count: int
    ) -> tuple[list[JournalEntry], str]:
        """Entries behind ``after`` (None: from the start), and the stream's last id."""
        keys = self._keys
        start = f"({after}" if after else "-"
        last, raws = await self._redis.script_and(
            "journal_end",
            [keys.generation, keys.journal],
            [token],
            ["XRANGE", keys.journal, start, "+", "COUNT", count],
        )
        return [_entry(journal_id, flat) for journal_id, flat in raws], last.decode()

    async def wait(self, last_id: str, within_ms: int) -> None:
        """Block until the journal has an entry behind ``last_id``, or the time is over."""
        await self._redis.wait_for_entries({self._keys.journal: last_id}, within_ms)

    async def trim(self, token: str, confirmed: Sequence[JournalEntry]) -> int:
        """Mark the tasks of a confirmed prefix as mirrored and take it off the journal.

        ``confirmed`` must be the longest confirmed prefix since the last trim, in order. Returns
        how many tasks were marked.
        """
        keys = self._keys
        watermark = confirmed[-1].journal_id
        names = [keys.generation, keys.journal, keys.mirror, keys.coverage]
        names += [self._task + entry.task_id for entry in confirmed]
        arguments: list[Argument] = [token, watermark, _after(watermark), keys.watermark_channel]
        arguments += [entry.journal_id for entry in confirmed]
        marked: int = await self._redis.script("trim", names, arguments)
        return marked


def _after(stream_id: str) -> str:
    milliseconds, sequence = stream_id.split("-")
    return f"{milliseconds}-{int(sequence) + 1}"


def _entry(journal_id: bytes, flat: list[bytes]) -> JournalEntry:
    if tuple(flat[::2]) == FIELDS:
        task_id, run, kind, envelope = flat[1::2]
    else:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        task_id, run, kind, envelope = (fields[name] for name in FIELDS)
    return JournalEntry(
        journal_id.decode(), task_id.decode(), int(run), kind == b"refresh", envelope
    )
