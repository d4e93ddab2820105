"""Log lines: one an event, to stderr, the same shape in every process."""

import logging
import re

import pytest

from app import log


@pytest.fixture(autouse=True)
def untouched():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level
    for name in ("aio_pika", "aiormq", "aiohttp.access", "asyncio", "pymongo"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_says_when_how_bad_who_and_what(capsys):
    log.setup("worker")
    log.setup("worker")
    logging.getLogger("app.worker.fetcher").warning("Waiting for %s.", "Redis")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} WARNING worker app\.worker\.fetcher: "
        r"Waiting for Redis\.\n",
        captured.err,
    )


def test_what_libraries_chatter_is_left_out(capsys):
    log.setup("mirror")
    logging.getLogger("aio_pika.robust_connection").warning("Connection lost, retrying")
    logging.getLogger("app").debug("too fine")
    assert capsys.readouterr().err == ""
    logging.getLogger("aiormq.connection").error("error when creating transport")
    assert capsys.readouterr().err == ""
    logging.getLogger("asyncio").error("really bad")
    assert "really bad" in capsys.readouterr().err
