"""What the sink relies on beyond documented behaviour, in the versions that were read.

aio-pika hands ``Connection.kwargs`` to aiormq, whose connection takes a ``transport_factory``, and
whose receiver asks the reader for bytes by these calls and no other.
"""

import inspect
import re
from importlib.metadata import version

import aio_pika.abc
import aiormq.connection
import pytest

from rehydrator.sink import SinkConnection, SinkTransport


@pytest.mark.parametrize(
    ("package", "known"), [("aio-pika", "10.2.1"), ("aiormq", "7.2.4"), ("pamqp", "4.0.1")]
)
def test_the_versions_that_were_read(package, known):
    assert version(package) == known


async def test_the_transport_reaches_aiormq_and_this_connection_alone():
    connection = SinkConnection("amqp://localhost/")
    other = aio_pika.Connection("amqp://localhost/")
    assert isinstance(connection.kwargs["transport_factory"], SinkTransport)
    assert "transport_factory" not in other.kwargs
    assert "transport_factory" in inspect.signature(aiormq.Connection).parameters
    assert "**self.kwargs" in inspect.getsource(aio_pika.Connection.connect)


def test_the_receiver_reads_by_these_calls():
    source = inspect.getsource(aiormq.connection.FrameReceiver)
    assert set(re.findall(r"self\.reader\.(\w+)", source)) == {"at_eof", "readexactly", "read"}
