"""A wipe takes what a system made, and nothing that is somebody else's."""

import pytest

from app.stack.ownership import MARK, NotOursError, mark, parts_of, remove, take
from app.stack.process import StackError
from app.stack.running import wipe


def made(folder, *names):
    """What a system makes."""
    for name in names:
        (folder / name).mkdir()
        (folder / name / "data").write_text("x")


def test_a_folder_that_no_system_took_is_not_wiped(tmp_path):
    made(tmp_path, "redis")
    with pytest.raises(NotOursError, match=r"made nothing in .+: nothing is removed"):
        wipe(tmp_path)
    assert (tmp_path / "redis" / "data").read_text() == "x"


def test_a_system_s_folder_goes_with_all_that_it_made(tmp_path):
    folder = tmp_path / "system"
    take(folder)
    made(folder, "redis", "log")
    (folder / "ledger.sqlite").touch()
    # The next start.
    take(folder)
    assert wipe(folder) == []
    assert not folder.exists()


def test_what_lay_there_before_and_what_came_later_stays(tmp_path):
    made(tmp_path, "redis", "letters")
    take(tmp_path)
    made(tmp_path, "mongo", "drills")
    assert wipe(tmp_path) == ["drills", "letters", "redis"]
    assert (tmp_path / "redis" / "data").exists()
    with pytest.raises(NotOursError):
        wipe(tmp_path)


def test_what_is_not_there_is_wiped_without_a_word(tmp_path):
    assert wipe(tmp_path / "none") == []


def test_a_mark_leads_nowhere_else(tmp_path):
    made(tmp_path, "letters")
    folder = tmp_path / "system"
    take(folder)
    mark(folder, ["../letters", "link", "..", ""])
    (folder / "link").symlink_to(tmp_path / "letters")
    assert wipe(folder) == []
    assert (tmp_path / "letters" / "data").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"parts": 1}', b'{"parts": [1]}'])
def test_a_mark_that_cannot_be_read_is_none(tmp_path, content):
    made(tmp_path, "redis")
    (tmp_path / MARK).write_bytes(content)
    with pytest.raises(NotOursError):
        parts_of(tmp_path)


def test_what_cannot_be_removed_is_said(tmp_path, monkeypatch):
    take(tmp_path)
    made(tmp_path, "redis")

    def refuse(*_arguments, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StackError, match="redis cannot be removed: Permission denied"):
        remove(tmp_path)


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotOursError, match=r"cannot be used: .+\. Name a folder that can be"):
        take(tmp_path / "file" / "below")
