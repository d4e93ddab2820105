"""A spool file on a real disk: locked while its owner lives, whole after every failed append."""

import os
import resource
from contextlib import contextmanager

import pytest

from app.worker.spool_file import SpoolFile
from app.worker.spool_format import Header, SpoolDamaged

HEADER = Header("env", "ledger", "w1")
MUCH = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w1-1.spool"


@pytest.fixture
def file(path):
    file = SpoolFile.create(path, HEADER)
    yield file
    file.close()


def adopted(path):
    found = SpoolFile.adopt(path)
    header, scan = found.look()
    return found, header, scan


def test_records_are_read_in_order_about_so_many_bytes_at_a_time(file):
    file.append([b"a" * 10, b"b" * 10])
    file.append([b"c" * 10])
    assert file.next_bodies(30) == [b"a" * 10, b"b" * 10]
    assert file.next_bodies(30) == [b"c" * 10]
    assert file.next_bodies(30) == []


def test_a_record_longer_than_asked_for_comes_alone(file):
    file.append([b"a" * 100, b"b"])
    assert file.next_bodies(1) == [b"a" * 100]


def test_the_living_are_told_by_their_lock(file, path):
    assert SpoolFile.adopt(path) is None
    file.append([b"one"])
    file.close()
    heir, header, scan = adopted(path)
    assert (header, scan.bodies[1:]) == (HEADER, [b"one"])
    assert heir.next_bodies(MUCH) == [b"one"]
    assert SpoolFile.adopt(path) is None
    heir.close()


def test_a_file_that_is_gone_is_nobodys(path):
    assert SpoolFile.adopt(path) is None


def test_a_torn_tail_is_cut_off(file, path):
    file.append([b"one", b"two"])
    sound = path.stat().st_size
    file.close()
    with path.open("ab") as tail:
        tail.write(b"LBSP\0\0")
    heir, _, scan = adopted(path)
    assert heir.cut(scan) == 6
    assert path.stat().st_size == sound
    assert heir.next_bodies(MUCH) == [b"one", b"two"]
    heir.close()


def test_an_append_counts_once_it_is_on_disk(file, path, monkeypatch):
    before, synced = file.bytes, []

    def sync(_descriptor):
        synced.append((path.stat().st_size > before, file.bytes, file.records))

    monkeypatch.setattr(os, "fdatasync", sync)
    file.append([b"one", b"two"])
    assert synced == [(True, before, 0)]
    assert (file.bytes, file.records) == (path.stat().st_size, 2)


def test_what_could_not_be_synced_does_not_count(file, path, monkeypatch):
    before = file.bytes

    def fail(_descriptor):
        raise OSError("no")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError):
        file.append([b"one"])
    assert (path.stat().st_size, file.bytes, file.records) == (before, before, 0)
    # The next sync may say that all is well although it is not.
    assert file.sealed


@contextmanager
def disk_full(size):
    """No file of this process grows beyond so many bytes: not even the one pytest prints to."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_record(file, path):
    file.append([b"one"])
    sound = path.stat().st_size
    with disk_full(sound + 5), pytest.raises(OSError):
        file.append([b"two"])
    assert path.stat().st_size == sound
    # After a failed fsync the next one may lie.
    assert file.sealed
    assert file.next_bodies(MUCH) == [b"one"]


def test_a_disk_too_full_for_a_header_leaves_no_file(path):
    with disk_full(5), pytest.raises(OSError):
        SpoolFile.create(path, HEADER)
    assert list(path.parent.iterdir()) == []


def test_a_disk_that_gives_back_something_else_is_found_out(file, path):
    file.append([b"one"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpoolDamaged, match="w1-1"):
        file.next_bodies(MUCH)


def test_what_is_kept_aside_is_adopted_by_nobody(file, path):
    aside = file.set_aside()
    assert aside.exists()
    assert not path.exists()
    assert list(path.parent.glob("*.spool")) == []
