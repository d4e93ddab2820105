"""The tree itself: sizes, homes of things, and that every script has its header and its test."""

import ast
import re
from pathlib import Path

import pytest

from app.state import TaskState

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "mirror", "rehydrator")
LINES_MAX = 400
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted((ROOT / "app/broker/lua").glob("*.lua"))
VERBS = [path for path in SCRIPTS if not path.name.startswith("_")]

MAY_PRINT = ("app/cli", "app/drill", "app/bench", "app/stack")
MAY_READ_ENVIRONMENT = (
    "app/settings.py",
    "app/stack",
    # These start our own processes and hand their environment on.
    "app/bench/ground.py",
    "app/cli/system.py",
    "app/drill/commands.py",
    "app/drill/matrix.py",
    # What a shell wants completed is no setting.
    "app/cli/completion.py",
)
# What a script answers may read like a state without being written into a hash.
ALSO_VERDICTS = {"start": {"expired"}}
WITHOUT_TOKEN = {
    "attach": "makes the token",
    "probe": "looks at no queue",
    "announce_worker": "workers are an env's",
    "forget_worker": "workers are an env's",
    "list_workers": "workers are an env's",
}


def name_of(path):
    return str(path.relative_to(ROOT))


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=name_of)


def is_in(path, places):
    name = name_of(path)
    return any(name == place or name.startswith(f"{place}/") for place in places)


def calls_of(tree, name):
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def attributes_of(tree, owner, names):
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
        and node.attr in names
    ]


def texts_of(tree):
    """String literals but docstrings, with their lines; of f-strings the literal parts."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


def code_of(script):
    """A script's text without its comments."""
    return re.sub(r"--.*", "", script.read_text())


def test_there_is_something_to_look_at():
    assert len(MODULES) > 50
    assert len(VERBS) >= 25


@each(MODULES)
def test_a_module_fits_on_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= LINES_MAX


@each(MODULES)
def test_a_module_says_what_it_owns(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@each([path for path in MODULES if not is_in(path, MAY_PRINT)])
def test_only_programs_for_people_print(path):
    assert calls_of(ast.parse(path.read_text()), "print") == []


@each([path for path in MODULES if not is_in(path, MAY_READ_ENVIRONMENT)])
def test_only_the_settings_read_the_environment(path):
    assert attributes_of(ast.parse(path.read_text()), "os", {"environ", "getenv", "environb"}) == []


# The drill reads the stores with code of its own: it trusts nothing of what it judges.
@each([path for path in MODULES if not is_in(path, ("app/broker", "app/drill/keys.py"))])
def test_keys_have_one_home(path):
    found = [line for line, text in texts_of(ast.parse(path.read_text())) if "lb:" in text]
    assert found == []


@each(SCRIPTS)
def test_scripts_know_no_key_by_name(path):
    assert "lb:" not in code_of(path)


@each(SCRIPTS)
def test_scripts_know_no_state_by_name(path):
    quoted = set(re.findall(r"""['"](\w+)['"]""", code_of(path)))
    assert not quoted & {str(state) for state in TaskState} - ALSO_VERDICTS.get(path.stem, set())


@each(VERBS)
def test_a_script_says_what_it_takes_and_gives(path):
    header = []
    for line in path.read_text().splitlines():
        if not line.startswith("--"):
            break
        header.append(line)
    assert len(header) >= 4
    assert not header[0].startswith("-- KEYS")
    for part in ("-- KEYS: ", "-- ARGV: ", "-- Returns: "):
        assert sum(line.startswith(part) for line in header) == 1, part


@each([path for path in VERBS if path.stem not in WITHOUT_TOKEN])
def test_a_script_checks_the_token_before_anything_else(path):
    header, _, body = path.read_text().partition("if stale() then return STALE end\n")
    assert body
    assert "redis." not in re.sub(r"--.*", "", header)
    assert re.search(r"^-- KEYS: 1 generation\b", header, re.MULTILINE)
    assert re.search(r"^-- ARGV: 1 token\b", header, re.MULTILINE)


@each(VERBS)
def test_a_script_has_a_test_that_names_it(path):
    tests = (ROOT / "tests/integration/broker").glob("test_*.py")
    assert any(
        f"``{path.name}``" in (ast.get_docstring(ast.parse(t.read_text())) or "") for t in tests
    )


@each(VERBS)
def test_a_script_is_called_by_its_name_from_one_module(path):
    callers = [
        name_of(module)
        for module in MODULES
        if re.search(rf'script(?:_and)?\(\s*"{path.stem}"', module.read_text())
    ]
    assert len(callers) == 1
    assert callers[0].startswith("app/broker/")
