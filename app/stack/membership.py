"""How RabbitMQ nodes of one machine know each other: names, cookie, epmd, whom to join."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from app.stack.process import ChildProcess, free_port
from app.stack.sources import rabbitmq_source


class Epmd(ChildProcess):
    """Where nodes of one machine find each other; a cluster has one, on a port of its own."""

    def __init__(self, folder: Path, *, detached: bool = False) -> None:
        self.port = free_port()
        super().__init__(
            "epmd",
            [rabbitmq_source().beside("epmd"), "-port", str(self.port), "-address", "127.0.0.1"],
            log=folder / "epmd.log",
            detached=detached,
        )


@dataclass(frozen=True, slots=True)
class Membership:
    """A node's place in a cluster: node ``number`` of ``size``, from 1."""

    tag: str
    """The cookie, and part of the names."""
    epmd: Epmd
    number: int
    size: int

    def node_name(self, number: int) -> str:
        """As Erlang knows it."""
        return f"lifeboat-{self.tag}-{number}@localhost"

    @property
    def configuration(self) -> str:
        """Lines of ``rabbitmq.conf``: whom to join, and to stop without a majority."""
        nodes = "".join(
            f"cluster_formation.classic_config.nodes.{number} = {self.node_name(number)}\n"
            for number in range(1, self.size + 1)
        )
        return (
            "cluster_formation.peer_discovery_backend = classic_config\n"
            f"{nodes}cluster_partition_handling = pause_minority\n"
        )


def kept_tag(folder: Path) -> str:
    """A node's name and cookie: with another name it would not find its data again."""
    note = folder / "node"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(secrets.token_hex(4))
    return note.read_text()
