"""Runs commands as a shell does: arguments in; exit code, stdout and stderr out."""

import asyncio
import contextlib
import io
import json
from dataclasses import dataclass

import pytest

from app.cli.main import main
from tests.integration.api.conftest import api, settings_of, start, stop_later, stores

__all__ = ["api", "settings_of", "start", "stop_later", "stores"]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self):
        (line,) = self.out.splitlines()
        return json.loads(line)


@pytest.fixture
def lifeboat_at(monkeypatch):
    """Runs ``lifeboat`` in a thread of this process: the API lives in the test's own loop."""
    monkeypatch.setenv("COLUMNS", "200")

    async def run(url, *arguments, typed=""):
        monkeypatch.setenv("LIFEBOAT_API_URL", url)
        monkeypatch.setattr("sys.argv", ["lifeboat", *arguments])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = await asyncio.to_thread(main)
        return Ran(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def lifeboat(api, lifeboat_at):
    async def run(*arguments, typed=""):
        return await lifeboat_at(api.url, *arguments, typed=typed)

    return run
