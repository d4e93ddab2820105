"""A Redis in memory: keys, streams with one group, hashes that expire, a run id; and its seam.

Real: everything above ``RedisConnection`` (``Delivery``, ``Recovery``, ``Intake``, ``Journal``,
``Survey``, the sessions). Modelled: the connection, the server's data types as far as the scripts
use them, and the scripts themselves, as plain Python in ``fakes_scripts``. ``test_fake_redis`` runs
the same operations on this one and on a real Redis, so that the two cannot drift apart.

What it may do to its callers (``Faults`` decides): answer, do it and lose the reply, do nothing, or
do it later. What may become of its data: wiped, set back to an older snapshot, single keys lost.
Stream ids follow the clock, so that two histories give the same id to different entries.
"""

import copy
from collections import defaultdict
from functools import lru_cache

from app.errors import StaleGeneration
from tests.model.fakes_scripts import SCRIPTS, Keys, raw_entry
from tests.model.streams import Stream, id_of

keys_of = lru_cache(1_000)(Keys)


class Data:
    """Everything that is lost with a wipe and comes back with a snapshot."""

    def __init__(self):
        self.hashes = {}
        self.expiries = {}
        self.streams = {}
        self.sets = {}


class FakeRedis:
    """``without`` names the guards that its scripts leave out, to show that they are needed."""

    def __init__(self, clock_ms, without=frozenset()):
        self.clock_ms = clock_ms
        self.without = without
        self.data = Data()
        self.run_number = 1
        self.published = []
        self.living = list
        self.observers = defaultdict(list)

    @property
    def run_id(self):
        return f"run{self.run_number}"

    # --- what becomes of the data

    def snapshot(self):
        return copy.deepcopy(self.data)

    def wipe(self):
        self.data = Data()
        self.run_number += 1

    def come_back_as(self, snapshot):
        self.data = copy.deepcopy(snapshot)
        self.run_number += 1

    def restart(self):
        self.run_number += 1

    def lose(self, key):
        self.delete(key)
        self.data.streams.pop(key, None)
        self.data.sets.pop(key, None)

    # --- primitives

    def hash(self, key):
        expiry = self.data.expiries.get(key)
        if expiry is not None and expiry <= self.clock_ms():
            self.delete(key)
        return self.data.hashes.get(key)

    def fields(self, key):
        """The hash to read from: empty where there is none."""
        return self.hash(key) or {}

    def put(self, key, **fields):
        hashed = self.hash(key)
        if hashed is None:
            hashed = self.data.hashes[key] = {}
        hashed.update({name: str(value) for name, value in fields.items()})

    def unset(self, key, *names):
        hashed = self.fields(key)
        for name in names:
            hashed.pop(name, None)

    def delete(self, key):
        self.data.hashes.pop(key, None)
        self.data.expiries.pop(key, None)

    def expire(self, key, ms):
        if self.hash(key) is not None:
            self.data.expiries[key] = self.clock_ms() + int(ms)

    def zset(self, key):
        return self.data.sets.setdefault(key, {})

    def stream(self, key):
        """The stream, or an empty one that is not kept."""
        return self.data.streams.get(key) or Stream()

    def xadd(self, key, **fields):
        if key not in self.data.streams:
            self.data.streams[key] = Stream()
        return self.data.streams[key].add(self.clock_ms(), fields)

    def entry(self, key, entry_id):
        return self.stream(key).entries.get(id_of(entry_id)) if entry_id else None

    def owns(self, lane, entry, consumer):
        if "owner" in self.without:
            return self.entry(lane, entry) is not None
        owner = self.stream(lane).owners.get(id_of(entry))
        return owner is not None and owner[0] == consumer

    def drop_entry(self, lane, entry):
        stream = self.stream(lane)
        stream.owners.pop(id_of(entry), None)
        stream.entries.pop(id_of(entry), None)

    def envelope_of(self, lane, entry):
        found = self.entry(lane, entry)
        return found["envelope"] if found else None

    # --- scripts

    def run(self, name, keys, arguments):
        """One script, whole; replies as hiredis gives them.

        Raises:
            StaleGeneration: the token is not this history's (rule 1).
        """
        if name == "list_workers":
            return self.living()
        keys = keys_of(tuple(keys))
        given = [str(each) if isinstance(each, int) else each for each in arguments]
        if name == "attach":
            return SCRIPTS[name](self, keys, given)
        known = self.fields(keys.generation)
        fits = known.get("token") == given[0] and known.get("run_id") == self.run_id
        if not fits and not ("token" in self.without and known.get("token")):
            raise StaleGeneration
        if "token" in self.without:
            given[0] = known["token"]
        return SCRIPTS[name](self, keys, given)

    def xrange(self, key, start, count):
        stream = self.stream(key)
        behind = (-1, 0) if start == "-" else id_of(start.removeprefix("("))
        ids = [each for each in sorted(stream.entries) if each > behind][:count]
        return [raw_entry(each, stream.entries[each]) for each in ids]

    def hmget(self, key, names):
        return [self.fields(key).get(name) for name in names]


class FakeConnection:
    """``RedisConnection`` as one process has it; ``faults`` says what becomes of each call."""

    def __init__(self, redis, faults, promises):
        self._redis = redis
        self._faults = faults
        self._promises = promises

    async def script(self, name, keys, arguments):
        def apply():
            reply = self._redis.run(name, keys, arguments)
            if name == "start":
                self._promises.started(self._faults.who, keys)
            return reply

        return await self._faults.call("redis", name, apply)

    async def script_and(self, name, keys, arguments, command):
        def apply():
            _, key, start, _, _, count = command
            return self._redis.run(name, keys, arguments), self._redis.xrange(key, start, count)

        return await self._faults.call("redis", name, apply)

    async def fields(self, key, *names):
        return await self._faults.call("redis", "fields", lambda: self._redis.hmget(key, names))
