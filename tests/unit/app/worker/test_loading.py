import pytest

from app.errors import SettingsError
from app.registry import TaskRegistry
from app.worker.loading import load_registry


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A user's program in the working directory."""
    (tmp_path / "their_tasks.py").write_text(
        "from app.registry import TaskRegistry\nregistry = TaskRegistry()\nother = 3\n"
    )
    (tmp_path / "their_broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_registry_is_loaded_from_the_working_directory(program):
    assert isinstance(load_registry("their_tasks:registry"), TaskRegistry)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("their_tasks", "must look like MODULE:registry"),
        (":registry", "must look like MODULE:registry"),
        ("no_such_module:registry", "cannot be imported: ModuleNotFoundError"),
        ("their_broken:registry", "cannot be imported: ZeroDivisionError"),
        ("their_tasks:missing", "has no such name there"),
        ("their_tasks:other", "has a int there"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_sentence(program, target, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_registry(target)
