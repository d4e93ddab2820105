import aiohttp
import pytest

from app.bench import measure
from app.bench.play import BENCHES, measure_all

MEMBERS = {"name", "rate", "reference", "referenceName", "ratio", "unit"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BENCHES)
async def test_a_bench_finds_a_rate_and_its_reference_and_leaves_no_vhost(
    name, ground, monkeypatch, rabbitmq_server
):
    monkeypatch.setattr(measure, "ROUNDS", 1)
    vhosts = await vhosts_of(rabbitmq_server)

    (row,) = await measure_all(ground, [name], 0.5, lambda _: None)

    document = row.document()
    assert document.keys() == MEMBERS
    assert document["name"] == name
    assert document["rate"] > 0
    assert document["reference"] > 0
    assert document["ratio"] == pytest.approx(document["rate"] / document["reference"], abs=0.001)
    assert document["referenceName"]
    assert document["unit"]
    assert await vhosts_of(rabbitmq_server) == vhosts


async def vhosts_of(server):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.management_url}/api/vhosts") as response,
    ):
        return {each["name"] for each in await response.json()}
