"""``/v1/quarantine``: copies that a person looks at, accepts again or lets go."""

import hashlib

import orjson
import pytest

from app.clock import now_ms
from app.envelope import encode, request_digest
from app.ledger.records import QuarantineRecord
from app.names import QueueName
from tests.integration.api.api import TASK
from tests.support.eventually import eventually


def written(task_id="t1", type="report", payload=None):
    given = {"type": type, "payload": payload or TASK["payload"]}
    return encode(
        key=QueueName("default", "default").task(task_id),
        **given,
        context={"channel": "http"},
        options={},
        run=1,
        digest=request_digest(given),
        accepted_at_ms=5,
    ).raw


def put(stores, body, id="q1", *, tenant="default", reason="ID_CONFLICT"):
    digest = hashlib.sha256(body).hexdigest()
    return stores.ledger.put_quarantine(
        QuarantineRecord(id, reason, "default", tenant, "t1", {"x-digest": digest}, body, now_ms())
    )


async def items(api):
    answer = await api.get("/v1/quarantine")
    assert answer.status == 200
    return answer.document["items"]


async def test_what_lies_there_is_shown(api, stores):
    await put(stores, written())
    await put(stores, b"\xff{", "q2", tenant="", reason="NOT_AN_ENVELOPE")
    await put(stores, written(), "q3", tenant="other")
    found = {each["id"]: each for each in await items(api)}
    assert set(found) == {"q1", "q2"}
    assert found["q1"]["body"] == orjson.loads(written())
    assert (found["q1"]["reason"], found["q1"]["taskId"]) == ("ID_CONFLICT", "t1")
    assert found["q2"]["body"] == "\ufffd{"


async def test_what_lies_there_is_listed_page_by_page(api, stores):
    for n in range(5):
        await put(stores, b"{", f"q{n}")
    await put(stores, b"{", "hidden", tenant="other")
    found, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/v1/quarantine?limit=2{cursor and '&cursor=' + cursor}")).document
        assert len(page["items"]) <= 2
        found += [each["id"] for each in page["items"]]
        cursor = page["cursor"]
    assert sorted(found) == ["q0", "q1", "q2", "q3", "q4"]
    for query in ("limit=0", "limit=201", "cursor=nonsense"):
        refused = await api.get(f"/v1/quarantine?{query}")
        assert (refused.status, refused.code) == (422, "invalid_task")


async def test_secrets_are_masked_there_too(api, stores):
    payload = {"url": "https://a/", "headers": {"Authorization": "x"}}
    await put(stores, written(type="http.deliver", payload=payload))
    (item,) = await items(api)
    assert item["body"]["payload"]["headers"] == {"Authorization": "***"}


async def test_a_copy_is_accepted_again_unchanged(api, stores):
    await put(stores, written())
    answer = await api.act("/v1/quarantine/q1/requeue")
    assert (answer.status, answer.document["disposition"]) == (202, "created")
    assert answer.headers["Location"] == "/v1/tasks/t1?queue=default"
    assert answer.document["acceptedAt"] == 5
    ((_, fields),) = await stores.redis.redis.xrange(stores.keys().lanes[1])
    assert fields[b"envelope"] == written()
    assert await items(api) == []
    again = await api.act("/v1/quarantine/q1/requeue")
    assert (again.status, again.document["disposition"]) == (200, "duplicate")
    (action,) = await stores.ledger.actions(10)
    assert (action.action, action.target) == ("quarantine.requeued", {"id": "q1"})


async def test_a_copy_whose_id_another_request_has_stays(api, stores):
    await api.submit(taskId="t1", payload={"other": 1})
    await put(stores, written())
    refused = await api.act("/v1/quarantine/q1/requeue")
    assert (refused.status, refused.code) == (409, "idempotency_conflict")
    assert len(await items(api)) == 1


@pytest.mark.parametrize("body", [b"{", b"{}", written().replace(b'"schema":1', b'"schema":9')])
async def test_what_is_no_envelope_stays(api, stores, body):
    await api.submit()
    await put(stores, body)
    refused = await api.act("/v1/quarantine/q1/requeue")
    assert (refused.status, refused.code) == (422, "invalid_task")
    assert len(await items(api)) == 1


async def test_a_copy_is_let_go_only_when_the_task_has_another(mirrored_api, stores):
    await put(stores, written())
    refused = await mirrored_api.act("/v1/quarantine/q1/requeue")
    assert (refused.status, refused.code) == (503, "durability_not_reached")
    assert len(await items(mirrored_api)) == 1
    await eventually(stores.mirror)
    assert (await mirrored_api.act("/v1/quarantine/q1/requeue")).status == 200
    assert await items(mirrored_api) == []


async def test_a_copy_is_discarded_for_good(api, stores):
    await put(stores, written())
    answer = await api.act("/v1/quarantine/q1/discard")
    assert (answer.status, answer.document["resolution"]) == (200, "discarded")
    assert await items(api) == []
    assert (await api.act("/v1/quarantine/q1/discard")).status == 200
    refused = await api.act("/v1/quarantine/q1/requeue")
    assert (refused.status, refused.code) == (409, "state_conflict")
    assert await stores.redis_keys() == []


@pytest.mark.parametrize("action", ["requeue", "discard"])
async def test_what_is_not_there_is_not_found(api, stores, action):
    await put(stores, written(), "other", tenant="other")
    for each in ("none", "other"):
        refused = await api.act(f"/v1/quarantine/{each}/{action}")
        assert (refused.status, refused.code) == (404, "quarantine_not_found")
