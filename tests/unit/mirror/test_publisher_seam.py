"""The versions whose undocumented attributes the batched publisher and the source rely on.

A new version is to be read (``mirror.publisher.wire``, ``app.amqp.connection.is_blocked``,
``rehydrator.source``, ``rehydrator.sink``) and the integration tests run before these lines are changed.
"""

from importlib.metadata import version

import pytest


@pytest.mark.parametrize(("package", "known"), [("aio-pika", "10.2.1"), ("aiormq", "7.2.4")])
def test_the_versions_that_were_read(package, known):
    assert version(package) == known
