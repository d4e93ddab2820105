"""Runs that were asked for over HTTP: taken from the ledger by one process, carried out here."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from app.clock import now_ms
from app.crashing import NOWHERE, CrashPoints
from app.errors import LifeboatError, Unavailable
from app.ledger.ledger import Ledger
from app.ledger.records import RehydrationRecord
from app.settings import Settings
from app.task_queue.rehydrations import FAILED, RECENT, REQUESTED, RUNNING, why_given_up
from rehydrator.command import rehydrate
from rehydrator.report import Report
from rehydrator.run import RunRequest

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0


async def serve_wishes(
    settings: Settings, ledger: Ledger, queue: str | None, crashes: CrashPoints = NOWHERE
) -> None:
    """Carry out what is asked for until cancelled; ``queue``: only what is about this one.

    What makes a run impossible is in its record; it is no reason to end.
    """
    while True:
        try:
            record = await _take(ledger, queue)
        except Unavailable as error:
            log.debug("No answer about rehydrations that were asked for (%s).", error.detail)
            record = None
        if record is not None:
            crashes.reach("rehydrator.after_wish")
            await _carry_out(settings, ledger, record)
        await asyncio.sleep(LOOK_EVERY_S)


async def _take(ledger: Ledger, queue: str | None) -> RehydrationRecord | None:
    now = now_ms()
    for record in reversed(await ledger.rehydrations(RECENT)):
        wanted = record.state == REQUESTED and queue in (None, record.queue)
        if not wanted or why_given_up(record, now):
            continue
        taken = replace(record, state=RUNNING, updated_at_ms=now)
        if await ledger.replace_rehydration(taken, expected=REQUESTED):
            return taken
    return None


async def _carry_out(settings: Settings, ledger: Ledger, record: RehydrationRecord) -> None:
    log.info("Rehydration %s was asked for.", record.id)
    request = RunRequest(
        dry_run=record.dry_run,
        queue=record.queue,
        tenant=record.tenant,
        since_ms=record.since_ms,
        task_ids=frozenset(record.task_ids),
        rate=record.rate,
    )
    try:
        report = await rehydrate(settings, request, _untold, id=record.id)
    except LifeboatError as error:
        log.warning("Rehydration %s failed: %s", record.id, error)
        await _fail(ledger, record, str(error))
    else:
        log.info("Rehydration %s is %s.", record.id, report.state)


def _untold(_report: Report) -> None:
    """The run's record tells how far it is."""


async def _fail(ledger: Ledger, record: RehydrationRecord, because: str) -> None:
    try:
        failed = replace(record, state=FAILED, finished_at_ms=now_ms(), problems=[because])
        # A run that began has said so itself.
        await ledger.replace_rehydration(failed, expected=RUNNING)
    except Unavailable as error:
        log.warning("The run's record was not written (%s).", error.detail)
