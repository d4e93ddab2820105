"""``lifeboat bench``: how fast this machine runs Lifeboat, beside the bare minimum."""

import sys
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console

from app.bench.play import BENCHES, USUAL, play
from app.bench.show import show
from app.cli.images import images_of
from app.cli.options import Json
from app.settings import load

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help=f"Of {', '.join(BENCHES)}; without any: {', '.join(USUAL)}."
    ),
]
Seconds = Annotated[float, typer.Option(min=0.1, max=600, help="Time of one measurement.")]


def bench(names: Names = None, seconds: Seconds = 3.0, json: Json = False) -> None:
    """Measure on private servers, each beside a reference in the same minutes."""
    chosen = list(dict.fromkeys(names or USUAL))
    for name in chosen:
        if name not in BENCHES:
            raise typer.BadParameter(f"{name}: choose of {', '.join(BENCHES)}.", param_hint="NAME")
    progress = Console(stderr=True, highlight=False)
    rows = uvloop.run(
        play(
            chosen,
            seconds,
            images_of(load()),
            lambda text: progress.print(text, soft_wrap=True),
        )
    )
    if json:
        sys.stdout.write(orjson.dumps([row.document() for row in rows]).decode() + "\n")
    else:
        show(rows, Console(highlight=False))
