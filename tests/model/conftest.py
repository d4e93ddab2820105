"""Silence: what processes say of the faults would take longer than the faults."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _in_silence():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
