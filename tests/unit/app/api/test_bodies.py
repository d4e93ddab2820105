"""What an operator selects: exactly one way, and never all by accident."""

import pytest

from app.api.bodies import SelectionBody, selection_of
from app.errors import InvalidTask
from app.task_queue.parked import Filter


def selected(**members):
    return selection_of(SelectionBody.model_validate(members))


def test_ids():
    selection = selected(ids=["a", "b"], payload={})
    assert selection.ids == ("a", "b")
    assert selection.asked == {"ids": ["a", "b"]}


def test_a_filter_with_a_chats_number():
    selection = selected(filter={"chatId": 7, "since": 0})
    assert selection.filter == Filter(chat_id="7", since_ms=0)
    assert (selection.ids, selection.asked) == (None, {"filter": {"chatId": 7, "since": 0}})


def test_all():
    selection = selected(all=True)
    assert (selection.ids, selection.filter, selection.asked) == (None, Filter(), {"all": True})


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"all": False},
        {"filter": {}},
        {"ids": ["a"], "all": True},
        {"filter": {"type": "a"}, "ids": ["a"]},
        {"filter": {"type": "a"}, "payload": {}},
    ],
)
def test_anything_else_is_refused(members):
    with pytest.raises(InvalidTask):
        selected(**members)
