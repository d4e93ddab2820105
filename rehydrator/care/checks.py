"""What would lose data, judged from what the servers say of themselves. Pure.

Each check is a name, a grade and a sentence that says what to do.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.amqp.management import NodeFacts, QueueFacts
from app.amqp.topology import differences, mismatch_sentence
from app.broker.server import RedisFacts
from app.ledger.server import LedgerFacts

Grade = Literal["ok", "warn", "fail"]

LEAST: Final[Mapping[str, tuple[int, ...]]] = {
    "python": (3, 11),
    "redis": (7, 0),
    "rabbitmq": (3, 10),
    "mongodb": (6, 0),
    "sqlite": (3, 35),
}
SKEW_MS_MAX: Final = 2_000
MEMORY_SHARE_MAX: Final = 0.85
DISK_LIMITS: Final = 2
"""Free disk of a broker below so many times its alarm's limit is a warning."""
QUORUM: Final = 3
HARMFUL_POLICIES: Final[Mapping[str, str]] = {
    "delivery-limit": "drops a copy that was returned so often",
    "message-ttl": "deletes copies of unfinished tasks by age",
    "expires": "deletes the queue while nobody consumes",
    "max-length": "makes the broker refuse or drop copies",
    "max-length-bytes": "makes the broker refuse or drop copies",
    "overflow": "may drop the oldest copies",
    "dead-letter-exchange": "sends dropped copies elsewhere",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One answer."""

    name: str
    grade: Grade
    sentence: str

    def document(self) -> dict[str, Any]:
        """As the command prints it."""
        return {"name": self.name, "status": self.grade, "detail": self.sentence}


def away(name: str, store: str, detail: str) -> Check:
    """A server that gives no answer."""
    sentence = f"{store} gives no answer: {detail.rstrip('.')}. Start it, or mend its URL."
    return Check(name, "fail", sentence)


def about_version(program: str, version: str) -> Check:
    """Whether a program is new enough."""
    least = LEAST[program]
    wanted = ".".join(map(str, least))
    if parsed(version) < least:
        return Check(
            f"{program}-version",
            "fail",
            f"{program} {version} is older than {wanted}, the least that Lifeboat is made for:"
            " upgrade it.",
        )
    return Check(f"{program}-version", "ok", f"{program} {version}; {wanted} is the least.")


def about_settings(unknown: str | None) -> Check:
    """Whether variables were misspelt; ``unknown``: the sentence about them."""
    if unknown:
        return Check("settings", "warn", unknown)
    return Check("settings", "ok", "Every variable that begins with LIFEBOAT_ is a setting.")


def about_python() -> Check:
    """This interpreter."""
    return about_version("python", ".".join(map(str, sys.version_info[:3])))


def parsed(version: str) -> tuple[int, ...]:
    """``7.0.15`` as numbers; what is no number ends it."""
    numbers: list[int] = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def about_clock(name: str, store: str, theirs_ms: int, before_ms: int, after_ms: int) -> Check:
    """A server's clock beside this machine's, read just before and just after."""
    apart_ms = max(before_ms - theirs_ms, theirs_ms - after_ms, 0)
    if apart_ms > SKEW_MS_MAX:
        return Check(
            name,
            "warn",
            f"The clock of {store} is {apart_ms / 1_000:.1f} s off this machine's: due times and"
            " expiries shift by as much. Have both keep time by NTP.",
        )
    return Check(name, "ok", f"The clock of {store} agrees with this machine's.")


def about_redis(facts: RedisFacts) -> list[Check]:
    """Redis: what evicts, forgets or refuses."""
    return [
        about_version("redis", facts.version),
        _role(facts),
        _eviction(facts),
        _append_only(facts),
        _memory(facts),
    ]


def _role(facts: RedisFacts) -> Check:
    if facts.role != "master":
        return Check(
            "redis-role",
            "fail",
            f"This Redis is a {facts.role}: it takes no writes. Point LIFEBOAT_REDIS_URL at the"
            " primary.",
        )
    return Check("redis-role", "ok", "It is a primary.")


def _eviction(facts: RedisFacts) -> Check:
    name = "redis-eviction"
    if facts.eviction == "noeviction":
        return Check(name, "ok", "maxmemory-policy is noeviction.")
    lost = f" It has evicted {facts.evicted:,} keys." if facts.evicted else ""
    return Check(
        name,
        "fail",
        f"maxmemory-policy is {facts.eviction}: a full Redis deletes tasks.{lost} Set it to"
        " noeviction.",
    )


def _append_only(facts: RedisFacts) -> Check:
    name = "redis-aof"
    if not facts.append_only:
        return Check(
            name,
            "warn",
            "The append-only file is off: every restart of Redis loses all of it, and what has no"
            " copy yet is gone. Set appendonly yes, or accept a rehydrate at each restart.",
        )
    if not facts.append_only_ok:
        return Check(name, "fail", "The append-only file cannot be written: look at its disk.")
    return Check(name, "ok", "The append-only file is on.")


def _memory(facts: RedisFacts) -> Check:
    name = "redis-memory"
    if not facts.memory_max:
        return Check(
            name,
            "warn",
            "maxmemory is not set: a full machine kills Redis instead of refusing submits. Set it"
            " below the machine's memory.",
        )
    share = facts.memory / facts.memory_max
    if share > MEMORY_SHARE_MAX:
        return Check(
            name,
            "fail" if share >= 1 else "warn",
            f"{share:.0%} of maxmemory is used: soon every submit is refused. Add workers, or"
            " memory.",
        )
    return Check(name, "ok", f"{share:.0%} of maxmemory is used.")


def about_queue(facts: QueueFacts) -> list[Check]:
    """One of our queues in RabbitMQ: its arguments, its policies, its members."""
    name = f"rabbitmq-queue {facts.name}"
    return [
        _arguments(name, facts),
        *(
            Check(
                name,
                "fail",
                f"A policy sets {key} on {facts.name}: it {HARMFUL_POLICIES[key]}. Take it off.",
            )
            for key in sorted(facts.policy.keys() & HARMFUL_POLICIES.keys())
        ),
        _members(name, facts),
    ]


def _arguments(name: str, facts: QueueFacts) -> Check:
    found = differences(facts.name, facts.arguments)
    if found:
        return Check(name, "fail", mismatch_sentence(facts.name, found, ""))
    return Check(name, "ok", "Its arguments are as they must be.")


def _members(name: str, facts: QueueFacts) -> Check:
    members, online = len(facts.members), len(facts.online)
    if members and online * 2 <= members:
        return Check(
            name,
            "fail",
            f"{online} of the {members} members of {facts.name} are online: no majority, it takes"
            " no copies. Start the other nodes.",
        )
    if online < QUORUM:
        return Check(
            name,
            "warn",
            f"{facts.name} has {online} of {QUORUM} members online: with one node more lost, copies"
            " are lost or not taken. Run three nodes; `rabbitmq-queues grow` adds members.",
        )
    return Check(name, "ok", f"{online} of {members} members are online.")


def about_nodes(nodes: Sequence[NodeFacts]) -> list[Check]:
    """The broker's nodes: alarms, disk, partitions."""
    return [each for node in nodes for each in _node(node)]


def _node(node: NodeFacts) -> list[Check]:
    name = f"rabbitmq-node {node.name}"
    found = []
    if not node.running:
        return [Check(name, "warn", f"{node.name} is down: start it.")]
    if node.memory_alarm:
        found.append(
            Check(
                name, "fail", f"{node.name} has a memory alarm: it takes no copies. Give it more."
            )
        )
    if node.disk_alarm:
        found.append(
            Check(name, "fail", f"{node.name} has a disk alarm: it takes no copies. Free its disk.")
        )
    elif node.disk_free and node.disk_free < DISK_LIMITS * node.disk_limit:
        found.append(
            Check(
                name,
                "warn",
                f"{node.name} has {node.disk_free >> 20:,} MiB of disk left; at"
                f" {node.disk_limit >> 20:,} it takes no copies any more. Free some.",
            )
        )
    if node.partitioned:
        found.append(
            Check(name, "fail", f"{node.name} does not see all other nodes: mend the network.")
        )
    return found or [Check(name, "ok", "No alarm.")]


def about_ledger(facts: LedgerFacts) -> list[Check]:
    """The ledger: whether a recorded outcome stays recorded."""
    return [about_version(facts.kind, facts.version), _durable(facts), *_serving(facts)]


def _durable(facts: LedgerFacts) -> Check:
    name = "ledger-durability"
    if not facts.durable:
        return Check(
            name,
            "fail",
            f"A write as outcomes are written was not acknowledged: {facts.why_not}.",
        )
    if facts.kind == "mongodb" and facts.members < QUORUM:
        what = f"a replica set of {facts.members}" if facts.members else "no replica set"
        return Check(
            name,
            "warn",
            f"Writes are journaled, but MongoDB is {what}: with its disk the record is gone. Run"
            " three members.",
        )
    return Check(name, "ok", "Writes are acknowledged as outcomes need it.")


def _serving(facts: LedgerFacts) -> list[Check]:
    """A set's members: whether all serve, and whether another primary would be found."""
    found = []
    name = "ledger-members"
    if facts.online is not None and facts.online < facts.members:
        found.append(
            Check(
                name,
                "warn",
                f"{facts.online} of the {facts.members} members of MongoDB's set serve: with one"
                " more lost there may be no primary, and outcomes wait. Start the others.",
            )
        )
    if facts.direct and facts.members > 1:
        found.append(
            Check(
                name,
                "warn",
                f"LIFEBOAT_MONGO_URL leads to one of {facts.members} members, also when another is"
                " the primary. Name them all, with replicaSet and without directConnection.",
            )
        )
    return found


def about_identity(name: str, where: str, known: str, ledger: str) -> Check:
    """Whether Redis, or a copy, remembers the configured ledger; '' = it remembers none."""
    if known not in ("", ledger):
        return Check(
            name,
            "fail",
            f"{where} remembers another ledger ({known}) than the one configured ({ledger}). Point"
            " LIFEBOAT_MONGO_URL or LIFEBOAT_SQLITE_PATH at that one.",
        )
    return Check(name, "ok", f"{where} belongs to the configured ledger.")
