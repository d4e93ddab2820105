"""Why RabbitMQ closed a connection: an operator's hand, or the node's own affairs. Pure.

The broker says both with reply code 320, ``CONNECTION_FORCED - <words>``. The words of an operator
are the management plugin's default, whatever was typed into its reason field, or the explanation
given to ``rabbitmqctl close_connection``. The node's own words are few and known (read in RabbitMQ
3.10.8: ``rabbit_reader``, ``rabbit_connection_tracking``, ``rabbit_maintenance``), so everything
else is an operator's.
"""

import re
from typing import Final

FORCED: Final = 320
_PREFIX: Final = "CONNECTION_FORCED - "
_NODE_WORDS: Final = re.compile(
    r"broker forced connection closure with reason "
    r"|vhost '.*' is (deleted|down)$"
    r"|user '.*' is deleted$"
    r"|Node was put into maintenance mode$"
)


def closed_by_operator(reply_code: int, reply_text: str) -> bool:
    """Whether a person closed this connection by hand."""
    if reply_code != FORCED or not reply_text.startswith(_PREFIX):
        return False
    return _NODE_WORDS.match(reply_text.removeprefix(_PREFIX)) is None
