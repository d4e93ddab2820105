"""The question before something that cannot be undone."""

import sys

import typer


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; ``--yes`` is the answer.

    Raises:
        Abort: the answer is no.
        BadParameter: nobody is there to answer.
    """
    if yes:
        return
    # Typer's own writes half of its question to stdout, which is the document's.
    sys.stderr.write(f"{question} [y/N]: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise typer.BadParameter("Nobody is there to answer; give it.", param_hint="--yes")
    if answer.strip().lower() not in ("y", "yes"):
        raise typer.Abort
