"""``POST /v1/tasks/batch``: each task judged and answered by itself, stored in one call."""

import orjson
import pytest

from tests.integration.api.api import TASK

NDJSON = "application/x-ndjson"


def batch(api, tasks, *, headers=None):
    return api.post(orjson.dumps(tasks), path="/v1/tasks/batch", headers=headers)


def lines(api, raw):
    return api.post(raw, path="/v1/tasks/batch", content_type=NDJSON)


async def calls_of_scripts(stores):
    stats = await stores.redis.redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def dispositions(answer):
    return [item.get("disposition", item.get("code")) for item in answer.document["items"]]


async def test_a_thousand_tasks_are_answered_in_order_after_one_call_to_redis(api, stores):
    await api.submit()
    before = await calls_of_scripts(stores)
    answer = await batch(api, [TASK | {"taskId": f"t{n}"} for n in range(1_000)])
    assert await calls_of_scripts(stores) - before == 1
    assert answer.status == 202
    assert [item["taskId"] for item in answer.document["items"]] == [f"t{n}" for n in range(1_000)]
    assert set(dispositions(answer)) == {"created"}
    queue = (await api.get("/v1/queues/default")).document
    assert queue["depth"]["queued"] == 1_001


async def test_the_same_as_lines(api):
    raw = b"\n".join(orjson.dumps(TASK | {"taskId": f"t{n}"}) for n in range(3)) + b"\r\n\n"
    answer = await lines(api, raw)
    assert (answer.status, dispositions(answer)) == (202, ["created"] * 3)


async def test_a_bad_task_is_refused_alone_and_its_neighbours_are_kept(api, stores):
    tasks = [
        TASK | {"taskId": "good"},
        TASK | {"taskId": "a/b"},
        [TASK],
        {"type": "report"},
        TASK | {"payload": {"s": "x" * 1_048_576}},
        {"type": "http.deliver", "payload": {"url": "ftp://a"}},
        orjson.Fragment(b'{"type":"report","payload":' + b'{"a":' * 64 + b"1" + b"}" * 65),
        orjson.Fragment(b'{"type":"report","payload":{"n":18446744073709551616}}'),
        TASK | {"taskId": "also-good"},
    ]
    answer = await batch(api, tasks)
    assert answer.status == 202
    items = answer.document["items"]
    assert [each.get("status") for each in items] == [None, 422, 422, 422, 413, 422, 422, 422, None]
    assert [each["errors"][0]["pointer"] for each in items if "errors" in each] == [
        "#/taskId",
        "#",
        "#/payload",
        "#/payload/url",
        "#/payload" + "/a" * 63,
        "#/payload/n",
    ]
    assert await stores.task_ids() == ["also-good", "good"]


async def test_a_line_that_is_no_json_is_refused_alone(api):
    answer = await lines(api, b'{"type":"report","payload":{}}\n{"type":\n{"type":1,"type":2}\n[]')
    assert answer.status == 202
    codes = ["created", "malformed_json", "malformed_json", "invalid_task"]
    assert dispositions(answer) == codes


async def test_repeats_within_a_batch_and_of_a_batch_are_known(api, stores):
    tasks = [
        TASK | {"taskId": "a"},
        TASK | {"taskId": "a"},
        TASK | {"taskId": "a", "payload": {"other": 1}},
        TASK | {"context": {"idempotencyKey": "k"}},
        TASK | {"context": {"idempotencyKey": "k"}},
    ]
    first = await batch(api, tasks)
    expected = ["created", "duplicate", "idempotency_conflict", "created", "duplicate"]
    assert dispositions(first) == expected
    items = first.document["items"]
    assert items[3]["taskId"] == items[4]["taskId"]
    assert items[2] | {"detail": ""} == {
        "type": "urn:lifeboat:problem:idempotency_conflict",
        "title": "The id is taken",
        "status": 409,
        "detail": "",
        "code": "idempotency_conflict",
        "taskId": "a",
    }
    again = await batch(api, [tasks[0], tasks[3]])
    assert dispositions(again) == ["duplicate", "duplicate"]
    assert [each["acceptedAt"] for each in again.document["items"]] == [
        items[0]["acceptedAt"],
        items[3]["acceptedAt"],
    ]
    assert len(await stores.task_ids()) == 2


async def test_tasks_of_several_queues_keep_their_places(api):
    tasks = [TASK | {"queue": f"q{n % 3}", "taskId": f"t{n}"} for n in range(9)]
    answer = await batch(api, tasks)
    assert [(each["queue"], each["taskId"]) for each in answer.document["items"]] == [
        (f"q{n % 3}", f"t{n}") for n in range(9)
    ]


async def test_a_queue_that_is_full_refuses_the_rest(start):
    api = await start(queue_max=2)
    answer = await batch(api, [TASK, TASK, TASK])
    assert dispositions(answer) == ["created", "created", "queue_full"]


async def test_a_queue_off_the_list_is_refused_alone(start):
    api = await start(queues="mail")
    answer = await batch(api, [TASK | {"queue": "mail"}, TASK | {"queue": "other"}])
    assert dispositions(answer) == ["created", "unknown_queue"]


async def test_copies_are_waited_for_together(mirrored_api, stores):
    answer = await batch(mirrored_api, [TASK | {"taskId": f"t{n}"} for n in range(200)])
    assert {each["degraded"] for each in answer.document["items"]} == {True}
    assert await stores.mirror() == 200
    again = [TASK | {"taskId": f"t{n}", "onDegraded": "refuse"} for n in range(200)]
    answer = await batch(mirrored_api, [*again, TASK | {"onDegraded": "refuse"}])
    *kept, last = answer.document["items"]
    assert {each["durability"]["reached"] for each in kept} == {"mirrored"}
    assert (last["status"], last["code"]) == (503, "durability_not_reached")
    assert last["reached"] == "fast"
    assert (await mirrored_api.get(f"/v1/tasks/{last['taskId']}")).status == 200


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"[{", 400, "malformed_json"),
        (b'[{"type":"a","type":"b"}]', 400, "malformed_json"),
        (b"{}", 422, "invalid_task"),
        (b"[" + b",".join([b"{}"] * 1_001) + b"]", 422, "invalid_task"),
        (b"[" * 100_000, 422, "invalid_task"),
        (b'["' + b"x" * 16 * 1_048_576 + b'"]', 413, "payload_too_large"),
    ],
    ids=["empty", "cut off", "a key twice", "no array", "1,001 tasks", "never closed", "too large"],
)
async def test_a_batch_that_is_none_is_refused_whole(api, stores, raw, status, code):
    answer = await api.post(raw, path="/v1/tasks/batch")
    assert (answer.status, answer.code) == (status, code)
    assert await stores.nothing_is_kept()


async def test_no_tasks_are_no_error(api):
    assert (await batch(api, [])).document == {"items": []}


async def test_a_batch_has_no_key_of_its_own(api, stores):
    answer = await batch(api, [TASK], headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.code) == (422, "invalid_task")
    assert await stores.nothing_is_kept()


async def test_other_content_is_refused(api):
    for content_type in ("text/plain", "application/vnd.lifeboat.envelope+json"):
        refused = await api.post(b"[]", path="/v1/tasks/batch", content_type=content_type)
        assert (refused.status, refused.code) == (415, "unsupported_media_type")


async def test_a_traceparent_is_kept_with_every_task(api):
    answer = await batch(api, [TASK, TASK], headers={"traceparent": "00-ab-cd-01"})
    for item in answer.document["items"]:
        task = (await api.get(f"/v1/tasks/{item['taskId']}")).document
        assert task["context"]["traceparent"] == "00-ab-cd-01"


async def test_accepted_tasks_are_counted_once(api):
    await batch(api, [TASK | {"taskId": "a"}, TASK | {"taskId": "a"}, TASK, {}])
    exposed = (await api.get("/metrics")).body.decode()
    labels = 'accepted_by="redis",level="fast",queue="default",tenant="default"'
    assert f"lifeboat_tasks_accepted_total{{{labels}}} 2.0" in exposed


async def test_a_task_may_be_called_batch(api):
    await api.submit(taskId="batch")
    assert (await api.get("/v1/tasks/batch")).document["taskId"] == "batch"
