"""Private copies of the tree: what is planted is planted there, never in the tree itself."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def snapshot(target, commit=None):
    """The tree as it lies in the folder, or as ``commit`` has it, under ``target``."""
    target.mkdir()
    if commit is not None:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", target], check=True, input=archive.stdout)
        return
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        # One that is listed and gone was deleted and not committed yet.
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
