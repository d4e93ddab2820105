"""A server that does not come up says so, and leaves nothing where it was called."""

import pytest

from app.stack.process import StackError
from app.stack.rabbitmq import RabbitMQServer


async def test_the_crash_dump_of_a_node_lies_with_its_data(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    node = RabbitMQServer(tmp_path / "node")
    (tmp_path / "node" / "rabbitmq.conf").write_text("nonsense = 1\n")
    try:
        with pytest.raises(StackError, match="ended at once"):
            await node.start()
    finally:
        await node.stop()
    assert list(here.iterdir()) == []
    assert (tmp_path / "node" / "erl_crash.dump").exists()
