"""What shells ask: the script to install, and what may come next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("lifeboat")


def ask(**environment):
    return subprocess.run(
        [PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown(shell):
    shown = subprocess.run(
        [PROGRAM, "--show-completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "_LIFEBOAT_COMPLETE" in shown.stdout


@pytest.mark.parametrize(
    ("line", "word", "found"),
    [
        ("lifeboat ta", 1, "task"),
        ("lifeboat task ca", 2, "cancel"),
        ("lifeboat dead retry --al", 3, "--all"),
    ],
)
def test_bash_is_told_what_may_come_next(line, word, found):
    ran = ask(_LIFEBOAT_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(word))
    assert ran.stdout.split() == [found]


def test_zsh_is_told_what_may_come_next():
    ran = ask(_LIFEBOAT_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="lifeboat queue pa")
    assert "pause" in ran.stdout
    assert "inspect" not in ran.stdout


CARRIES = """
import atexit, sys
sys.argv = ["lifeboat", *sys.argv[1:]]
stores = ("redis", "motor", "aio_pika", "fastapi")
atexit.register(lambda: print([m for m in stores if m in sys.modules], file=sys.stderr))
from app.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("task", "--help"), {}),
        (
            (),
            {
                "_LIFEBOAT_COMPLETE": "complete_bash",
                "COMP_WORDS": "lifeboat task c",
                "COMP_CWORD": "2",
            },
        ),
    ],
    ids=["run", "completed"],
)
def test_a_command_over_http_carries_no_store(arguments, environment):
    ran = subprocess.run(
        [sys.executable, "-c", CARRIES, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout
    assert ran.stderr.strip() == "[]"


def test_completion_is_installed_where_the_shell_looks(tmp_path):
    subprocess.run(
        [PROGRAM, "--install-completion", "bash"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert "lifeboat" in (tmp_path / ".bashrc").read_text()
