"""What is done to tasks that are named: each by itself, one that is refused hinders no other."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from app.cli import http
from app.client.errors import Refused


@dataclass(frozen=True, slots=True)
class Named:
    """How many of the named tasks are as asked now, and why the others are not."""

    done: int
    refused: Sequence[Refused]

    def document(self) -> dict[str, Any]:
        """As ``--json`` shows it; ``error`` and ``refused`` only where some were."""
        counted = {"matched": self.done, "done": self.done}
        if not self.refused:
            return counted
        refused = [
            {"taskId": each.task_id, "code": each.code, "error": http.sentence_of(each)}
            for each in self.refused
        ]
        return {**counted, "error": " ".join(self.sentences()), "refused": refused}

    def sentences(self) -> list[str]:
        """Why some are not, each reason once."""
        return list(dict.fromkeys(http.sentence_of(each) for each in self.refused))


async def act_on_each(ids: Sequence[str], act: Callable[[str], Awaitable[object]]) -> Named:
    """Do ``act`` to each; no answer at all ends it.

    Raises:
        ClientError: nobody can say what became of one; those before it are done.
    """
    done, refused = 0, []
    for each in dict.fromkeys(ids):
        try:
            await act(each)
        except Refused as error:
            refused.append(error.about(each))
        else:
            done += 1
    return Named(done, refused)


def report(named: Named, *, json: bool) -> None:
    """Tell it; one that was refused makes the command fail."""
    for sentence in named.sentences():
        sys.stderr.write(sentence + "\n")
    if json or named.done:
        http.show(
            named.document(),
            http.say(f"{named.done:,} matched, {named.done:,} done."),
            json=json,
        )
    if named.refused:
        raise typer.Exit(http.FAILED)
