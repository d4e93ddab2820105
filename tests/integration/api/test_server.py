"""The server: where it listens, how it stops, when it must stop."""

import asyncio
import os
import signal

import pytest

from app.api.server import serve
from app.errors import LedgerMismatch, SettingsError
from tests.support.eventually import eventually


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
async def test_an_address_beyond_loopback_needs_a_word(settings_of, host):
    with pytest.raises(SettingsError, match="LIFEBOAT_ALLOW_ANONYMOUS"):
        await serve(settings_of(http_host=host))


async def test_it_serves_beyond_loopback_when_told_to(start):
    api = await start(http_host="0.0.0.0", allow_anonymous=True)
    assert api.url.startswith("http://0.0.0.0:")
    assert (await api.get("/livez")).status == 200


async def test_a_load_balancer_may_ask_for_its_health_without_the_body(start):
    api = await start()
    for path in ("/livez", "/readyz"):
        assert (await api.call("HEAD", path)).status == (await api.get(path)).status


async def test_a_taken_port_is_a_sentence(start):
    api = await start()
    port = int(api.url.rsplit(":", 1)[1])
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
        await start(http_port=port)


async def test_it_answers_what_it_has_begun_when_it_is_stopped(start, stores):
    api = await start()
    await api.submit(taskId="t1")
    waiting = asyncio.create_task(api.get("/v1/tasks/t1?wait=30"))
    await eventually(lambda: stores.redis.redis.exists(stores.keys().task("t1")))
    assert (await api.get("/livez")).status == 200
    os.kill(os.getpid(), signal.SIGTERM)
    answer = await waiting
    assert (answer.status, answer.document["state"]) == (200, "queued")
    await asyncio.wait_for(api.serving, 60)


async def test_a_ledger_that_redis_does_not_know_stops_it(start, tmp_path):
    first = await start()
    await first.submit()
    other = await start(sqlite_path=tmp_path / "other.sqlite")
    refused = await other.submit()
    assert (refused.status, refused.code) == (503, "unavailable")
    with pytest.raises(LedgerMismatch, match="another ledger"):
        await asyncio.wait_for(other.serving, 60)
    assert (await first.submit()).status == 202


async def test_a_ledger_of_another_env_stops_it_at_once(start):
    await start()
    with pytest.raises(LedgerMismatch, match="belongs to env"):
        await start(env="other")
