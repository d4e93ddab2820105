"""Every list of the API: pages, a cursor, and the filters that the contract names."""

from typing import cast

import pytest

from app.api.application import create_application
from app.metrics import Metrics
from app.settings import Settings
from app.task_queue.task_queue import TaskQueue

PARKED = {"type", "error", "channel", "user", "chatId", "since", "until"}
FILTERS = {
    "/v1/queues": set(),
    "/v1/queues/{queue}/tasks": {"state", "type"},
    "/v1/queues/{queue}/dead": PARKED,
    "/v1/queues/{queue}/suspended": PARKED,
    "/v1/mirror": set(),
    "/v1/workers": set(),
    "/v1/quarantine": set(),
    "/v1/rehydrations": set(),
}
DOCUMENT = create_application(Settings(), cast(TaskQueue, None), Metrics()).openapi()


def schema_of(call):
    content = call["responses"]["200"].get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
    return DOCUMENT["components"]["schemas"].get(name, {})


def test_every_call_that_answers_with_a_list_is_known_here():
    lists = {
        path
        for path, methods in DOCUMENT["paths"].items()
        if "get" in methods and "items" in schema_of(methods["get"]).get("properties", {})
    }
    assert lists == set(FILTERS)


@pytest.mark.parametrize("path", FILTERS)
def test_a_list_has_items_and_a_cursor_and_takes_what_the_contract_says(path):
    call = DOCUMENT["paths"][path]["get"]
    assert schema_of(call)["required"] == ["items", "cursor"]
    taken = {each["name"]: each["schema"] for each in call["parameters"] if each["in"] == "query"}
    assert taken["limit"]["maximum"] == 200
    assert set(taken) - {"limit", "cursor"} == FILTERS[path]
