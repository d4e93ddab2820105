"""One mirror queue in memory, its publishers and its consumers.

Real: what a copy says (``app.amqp.message``) and what reads it. Modelled: the broker and the client
library. A publish may be confirmed, refused (Basic.Nack), returned as unroutable and acked all the
same, lost, or there without its confirm, now or later. Returns are told by ``message_id``, as the
client does it: two in flight under one id, and the unroutable one gets the confirm. An ack may be
lost with the connection, and its copy comes back; what was held comes back in another order.
"""

from itertools import count

from app.amqp.message import Copy, read_copy
from app.amqp.publishing import PublishOutcome
from app.errors import Unavailable
from rehydrator.source import CopiesLost, Delivery

CONFIRMED, RETURNED = PublishOutcome.CONFIRMED, PublishOutcome.RETURNED
REFUSED, UNKNOWN = PublishOutcome.REFUSED, PublishOutcome.UNKNOWN


class Message:
    """What lies in the queue; ``copy`` is None for a fence; ``by``: who holds it unacked."""

    def __init__(self, publication):
        self.headers = dict(publication.headers)
        self.body = publication.body
        self.type = publication.type
        read = read_copy(self.headers, self.body, self.type)
        self.copy = read if isinstance(read, Copy) else None
        self.confirmed = False
        self.by = None


class FakeBroker:
    """``ready`` in order, ``unacked`` are held by sources; ``late`` may still arrive."""

    def __init__(self, promises, without=frozenset()):
        self.ready = []
        self.unacked = []
        self.late = []
        self.quarantine = []
        self.promises = promises
        self.without = without
        self._numbers = count(1)

    @property
    def messages(self):
        return [*self.unacked, *self.ready]

    @property
    def copies(self):
        return [each.copy for each in self.messages if each.copy]

    def accept(self, publication):
        message = Message(publication)
        if "quarantine" in publication.routing_key:
            self.quarantine.append(message)
        else:
            self.ready.append(message)
        return message

    def publish(self, batch, fates):
        """One outcome a publication; ``fates`` are the broker's, those left out confirm."""
        ids = [next(self._numbers) if "message_id" not in self.without else 0 for _ in batch]
        fates = [*fates, *("confirm" for _ in batch)][: len(batch)]
        outcomes = []
        for publication, fate in zip(batch, fates, strict=True):
            match fate:
                case "confirm" | "arrive":
                    message = self.accept(publication)
                    message.confirmed = fate == "confirm"
                    outcomes.append(CONFIRMED if fate == "confirm" else UNKNOWN)
                case "later":
                    self.late.append(publication)
                    outcomes.append(UNKNOWN)
                case "nack":
                    outcomes.append(REFUSED)
                case "return":
                    outcomes.append(None)
                case _:
                    outcomes.append(UNKNOWN)
        return _told_by_id(ids, outcomes)

    def let_in(self, index):
        self.ready.append(Message(self.late.pop(index % len(self.late))))

    def ack(self, message, *, lost):
        if message not in self.unacked:
            return
        if message.copy and not lost:
            self.promises.acked(message)
        if not lost:
            self.unacked.remove(message)

    def give_back(self, source, *, turned, behind):
        """What a source held is ready again: in front or behind, in its order or turned."""
        back = [each for each in self.unacked if each.by is source]
        self.unacked = [each for each in self.unacked if each.by is not source]
        for each in back:
            each.by = None
        if turned:
            back.reverse()
        self.ready = [*self.ready, *back] if behind else [*back, *self.ready]


def _told_by_id(ids, outcomes):
    """A return names an id; the client takes it for the last message sent under it."""
    told = list(outcomes)
    for place, outcome in enumerate(outcomes):
        if outcome is None:
            last = max(n for n, each in enumerate(ids) if each == ids[place])
            # The broker acks what it returned as well.
            told[place] = CONFIRMED
            told[last] = RETURNED
    return told


class FakePublisher:
    """``Publisher`` as one process has it."""

    connected, blocked = True, False

    def __init__(self, broker, faults):
        self._broker = broker
        self._faults = faults

    async def publish(self, batch, deadline_ms):
        fates = self._faults.publish_fates()
        try:
            return await self._faults.call(
                "rabbitmq", "publish", lambda: self._broker.publish(batch, fates)
            )
        except Unavailable:
            return [UNKNOWN] * len(batch)


class FakeSource:
    """``CopySource``: one channel; ``faults.acks_are_lost`` has its acks never arrive."""

    lanes = 1
    window = 1_000
    waiting = 0

    def __init__(self, broker, faults):
        self._broker = broker
        self._faults = faults
        self._tags = {}
        self._numbers = count(1)
        self.ended = False

    @property
    def held(self):
        return len(self._tags)

    async def batch(self, max_n, wait_ms):
        if self.ended:
            raise CopiesLost("the connection is gone")
        taken, self._broker.ready = self._broker.ready[:max_n], self._broker.ready[max_n:]
        self._broker.unacked += taken
        deliveries = []
        for message in taken:
            message.by = self
            tag = next(self._numbers)
            self._tags[tag] = message
            deliveries.append(
                Delivery(self, tag, message.headers, message.body, message.type, None, False)
            )
        return deliveries

    async def ack(self, deliveries):
        tags = [each.tag for each in deliveries]

        def apply():
            for tag in tags:
                message = self._tags.pop(tag, None)
                if message is not None and not self.ended:
                    self._broker.ack(message, lost=self._faults.acks_are_lost)
            return len(tags)

        return await self._faults.call("rabbitmq", "ack", apply)

    async def catch_up(self):
        return 0

    async def grow(self):
        """The window is wide enough."""

    async def hand_back(self):
        self.end(turned=False, behind=True)
        return True

    def end(self, *, turned, behind):
        self.ended = True
        self._broker.give_back(self, turned=turned, behind=behind)
