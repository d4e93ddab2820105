"""Playing benches on private servers, one after the other."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.bench import mirror, rehydrate, run_tasks, submit_http, submit_python
from app.bench.ground import Ground
from app.bench.measure import Bench, Row, compare
from app.stack.sources import Images
from app.stack.stack import Stack

BENCHES: Final[Mapping[str, Bench]] = {
    each.name: each
    for each in (
        submit_http.BENCH,
        submit_python.BENCH,
        run_tasks.BENCH,
        mirror.BENCH,
        rehydrate.BENCH,
        mirror.COPIES,
    )
}
USUAL: Final = tuple(name for name in BENCHES if name != mirror.COPIES.name)
"""What is measured if nobody chooses: ``mirror-copies`` only explains a part of ``mirror``."""


async def play(
    names: Sequence[str], seconds: float, images: Images, say: Callable[[str], None]
) -> list[Row]:
    """Run the named benches, ``seconds`` for each measurement.

    Raises:
        StackError: a server or process cannot be had, did not come or did not do its work.
    """
    folder = Path(tempfile.mkdtemp(prefix="lifeboat-bench-"))
    try:
        stack = Stack(folder / "servers", images=images)
        say(f"Starting private servers: {', '.join(each.name for each in stack.servers)} ...")
        try:
            await stack.start()
            return await measure_all(Ground(stack, folder), names, seconds, say)
        finally:
            stack.discard()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def measure_all(
    ground: Ground, names: Sequence[str], seconds: float, say: Callable[[str], None]
) -> list[Row]:
    """A row for each name, in their order."""
    rows = []
    for name in names:
        bench = BENCHES[name]
        say(f"{name}: measuring, beside {bench.reference_name} ...")
        async with bench.open(ground) as sides:
            rows.append(await compare(bench, sides, seconds, say))
    return rows
