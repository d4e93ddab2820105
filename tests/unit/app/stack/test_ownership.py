"""A wipe takes what a system made, and nothing that is somebody else's."""

import pytest

from app.stack.ownership import NotOursError, check_ours, take
from app.stack.running import end


async def test_a_folder_of_somebody_else_is_not_wiped(tmp_path):
    letter = tmp_path / "letter"
    letter.write_text("dear")
    with pytest.raises(NotOursError, match="was not made by `lifeboat up`: nothing is removed"):
        await end(tmp_path, wipe=True)
    assert letter.read_text() == "dear"


async def test_a_folder_that_a_system_took_is_wiped_with_what_came_later(tmp_path):
    folder = tmp_path / "system"
    take(folder)
    (folder / "books.jsonl").write_text("{}")
    take(folder)
    await end(folder, wipe=True)
    assert not folder.exists()


async def test_what_is_not_there_is_wiped_without_a_word(tmp_path):
    assert await end(tmp_path / "none", wipe=True) == []


def test_a_folder_that_holds_other_files_is_not_taken(tmp_path):
    (tmp_path / "redis").mkdir()
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(NotOursError, match="holds letter, which is no part of a system"):
        take(tmp_path)
    with pytest.raises(NotOursError):
        check_ours(tmp_path)


def test_what_drills_and_workers_write_does_not_keep_a_system_out(tmp_path):
    for name in ("drills", "spool"):
        (tmp_path / name).mkdir()
    take(tmp_path)
    check_ours(tmp_path)


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotOursError, match=r"cannot be used: .+\. Name a folder that can be"):
        take(tmp_path / "file" / "below")
