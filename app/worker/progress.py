"""What handlers say of their progress: gathered, throttled, written beside the tasks in Redis.

Nothing waits for it and nothing fails with it: a note that cannot be written is tried again until
a newer one takes its place or the attempt ends.
"""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Final

from app.errors import StaleGeneration, Unavailable
from app.worker.claim import Claim, Phase, by_generation

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.25
"""Between two writes about one task."""
NOTES_A_CALL: Final = 200

Note = tuple[float | None, str | None]


class Progress:
    """One loop for all tasks of a worker."""

    def __init__(self, consumer: str, *, text_bytes_max: int) -> None:
        self._consumer = consumer
        self._text_bytes_max = text_bytes_max
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._notes: dict[Claim, Note] = {}
        self._awake = False
        self._wake = asyncio.Event()

    def note(self, claim: Claim, fraction: float | None, text: str | None) -> None:
        """Have it written soon, unless a newer one comes first. Safe in any thread."""
        with self._lock:
            self._notes[claim] = (fraction, text)
            wake, self._awake = not self._awake, True
        if wake:
            # A closed loop: the process is about to end.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                notes, self._notes, self._awake = self._notes, {}, False
            self._again(await self._write(notes))
            await asyncio.sleep(PAUSE_S)

    async def _write(self, notes: dict[Claim, Note]) -> dict[Claim, Note]:
        """Those that could not be written."""
        left: dict[Claim, Note] = {}
        running = [each for each in notes if each.phase is Phase.RUNNING and not each.lost]
        for (work, token), claims in by_generation(running).items():
            for start in range(0, len(claims), NOTES_A_CALL):
                part = claims[start : start + NOTES_A_CALL]
                try:
                    await work.delivery.report_progress(
                        token,
                        self._consumer,
                        [(claim.entry, *notes[claim]) for claim in part],
                        text_bytes_max=self._text_bytes_max,
                    )
                except StaleGeneration:
                    work.forget(token)
                except Unavailable as error:
                    log.debug("Progress is written later: %s", error)
                    left |= {claim: notes[claim] for claim in part}
        return left

    def _again(self, notes: dict[Claim, Note]) -> None:
        for claim, note in notes.items():
            with self._lock:
                is_newest = claim not in self._notes
            if is_newest:
                self.note(claim, *note)
