"""Servers from a root beside the machine: chosen by a variable, entered without a trace."""

import os
import subprocess
from pathlib import Path

import pytest

from app.stack import roots, sources
from app.stack.process import StackError


@pytest.fixture
def root(tmp_path):
    """A root whose ``usr`` is the machine's own."""
    root = tmp_path / "a root"
    (root / "usr/lib/rabbitmq/lib/rabbitmq_server-9.9/sbin").mkdir(parents=True)
    (root / "usr/lib/rabbitmq/lib/rabbitmq_server-9.9/sbin/rabbitmq-server").touch()
    roots._write_programs(root)
    subprocess.run(["rm", "-r", str(root / "usr")], check=True)
    (root / "usr").symlink_to("/usr")
    return root


@pytest.fixture
def chosen(root, monkeypatch):
    monkeypatch.setenv(roots.VARIABLE, str(root))
    return root


def test_the_chosen_root_has_the_servers_whatever_docker_has(chosen, monkeypatch):
    monkeypatch.setattr(sources, "has_image", lambda _: True)
    for source, name in (
        (sources.redis_source("redis:8"), "redis-server"),
        (sources.rabbitmq_source("rabbitmq:4"), "rabbitmq-server"),
    ):
        assert (source.image, source.program) == ("", chosen / "programs" / name)
    assert sources.rabbitmq_source().beside("epmd") == str(chosen / "programs" / "epmd")


def test_without_a_choice_the_machine_has_them(monkeypatch):
    monkeypatch.setenv(roots.VARIABLE, "")
    assert roots.chosen_root() is None
    assert sources.redis_source() == sources.Source("redis", sources._on_path("redis-server"))
    assert sources.redis_source().beside("no-such-program") == "no-such-program"


def test_a_root_without_servers_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(roots.VARIABLE, str(tmp_path))
    for source in (sources.redis_source, sources.rabbitmq_source):
        with pytest.raises(StackError, match=f"python -m app.stack root {tmp_path}"):
            source()


def test_a_root_that_is_there_is_not_made_again(root, monkeypatch):
    monkeypatch.setattr(roots, "_download", None)
    roots.make_root(root)


def may_enter():
    """Whether this machine lets one make a mount namespace at all, asked without our script."""
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *mapped, "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_program_of_a_root_keeps_the_process_and_leaves_no_mount(root):
    said = r"""echo $$; grep -c ' /usr ' /proc/self/mounts; echo "$LC_ALL"; printf '%s\n' "$@" """
    command = [str(root / "programs" / "enter"), "sh", "-c", said, "sh", "two words", "$HOME"]
    before = Path("/proc/self/mounts").read_text()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, errors = process.communicate(timeout=30)
    if process.returncode and not may_enter():
        pytest.skip(f"this machine lets nobody make a mount namespace: {errors}")
    assert process.returncode == 0, errors
    pid, mounts, *rest = out.splitlines()
    assert int(pid) == process.pid
    assert int(mounts) == before.count(" /usr ") + 1
    assert rest == ["C.UTF-8", "two words", "$HOME"]
    assert Path("/proc/self/mounts").read_text() == before
