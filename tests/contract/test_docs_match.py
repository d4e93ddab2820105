"""The pages say what the code does: generated ones equal, names exist, links lead somewhere."""

import ast
import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.cli.main import COMMANDS
from app.cli.references import FOLDER, PAGES
from app.envelope import decode, request_digest
from app.metrics import Metrics
from app.names import TaskKey
from app.registry import Discard, Retry, Stopped, Suspend, TaskContext, TaskRegistry
from app.settings import Settings

ROOT = Path(__file__).parents[2]
MARKDOWN = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMPOSE = sorted((ROOT / "compose").iterdir())
HANDLERS = ROOT / "docs/how-to/write-a-handler.md"
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"LIFEBOAT_[A-Z_]*[A-Z]")
METRIC = re.compile(r"lifeboat_[a-z_]*[a-z]")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
SOURCE = re.compile(r"`((?:app|mirror|rehydrator|tests)/[\w/.]*?)`")
COMMAND = re.compile(r"(?:bin/|`)lifeboat ([a-z]+)")
LINES_OF_README_MAX = 150


def name_of(path):
    return str(path.relative_to(ROOT))


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=name_of)


def anchors_of(path):
    """Anchors of a page's headings, as its hosts make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_says_what_the_code_says(name):
    assert (ROOT / FOLDER / name).read_text() == PAGES[name](), "run `make docs`"


@each(MARKDOWN)
def test_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors_of(page), f"{target}: there is no such heading"


def test_every_page_can_be_reached():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            targets = [each.partition("#")[0] for each in LINK.findall(page.read_text())]
            ahead += [
                (page.parent / each).resolve() for each in targets if each and ":" not in each
            ]
    assert set(MARKDOWN) - reached == set()


@each([*MARKDOWN, *COMPOSE])
def test_settings_that_are_named_exist(path):
    known = {f"LIFEBOAT_{field.upper()}" for field in Settings.model_fields}
    assert set(VARIABLE.findall(path.read_text())) - known == set()


@each(MARKDOWN)
def test_metrics_that_are_named_exist(path):
    known = {
        f"{metric.name}{ending}"
        for metric in Metrics().registry.collect()
        for ending in ("", "_total", "_info", "_bucket", "_sum", "_count")
    }
    assert set(METRIC.findall(path.read_text())) - known == set()


@each(MARKDOWN)
def test_commands_that_are_named_exist(path):
    assert set(COMMAND.findall(path.read_text())) - set(COMMANDS) == set()


@each(MARKDOWN)
def test_files_that_are_named_exist(path):
    named = set(SOURCE.findall(path.read_text()))
    assert {each for each in named if not (ROOT / each).exists()} == set()


@each(MARKDOWN)
def test_tests_that_are_named_exist(path):
    for file, name in TEST.findall(path.read_text()):
        assert (ROOT / file).exists(), file
        defined = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in defined, f"{file} has no {name}"


@pytest.mark.parametrize("section", range(1, 13))
def test_every_rule_names_a_test_and_its_code(section):
    page = (ROOT / "docs/explanation/rules.md").read_text()
    text = re.split(r"^## \d+\. ", page, flags=re.MULTILINE)[section]
    assert TEST.search(text)
    assert SOURCE.search(text)


@pytest.mark.parametrize("promise", range(1, 7))
def test_every_promise_names_a_test(promise):
    page = (ROOT / "docs/explanation/guarantees.md").read_text()
    assert TEST.search(next(line for line in page.splitlines() if f"| P{promise} |" in line))


@each([page for page in MARKDOWN if page.name not in PAGES])
def test_nothing_is_left_to_write(path):
    assert not re.search(r"TODO|TBD|FIXME|TESTS:", path.read_text())


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= LINES_OF_README_MAX


def test_the_envelope_of_the_reference_is_one():
    page = (ROOT / "docs/reference/envelope.md").read_text()
    example = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
    document = json.loads(example)
    envelope = decode(example.encode())
    given = {"type": envelope.type, "payload": envelope.payload, **document["options"]}
    assert envelope.request_digest == request_digest(given)


@pytest.fixture
def handlers():
    """The names that the blocks marked ``executed`` define, run in their order."""
    blocks = re.findall(r"```python executed\n(.*?)```", HANDLERS.read_text(), re.DOTALL)
    names = {"__name__": "tasks"}
    for block in blocks:
        exec(compile(block, name_of(HANDLERS), "exec"), names)
    return names


def context_of(handlers, **members):
    given = {"run": 1, "attempt": 1, "deadline_ms": 0, "context": {}} | members
    return TaskContext(TaskKey("default", "default", "7"), **given)


async def test_the_first_handler_of_the_guide_runs(handlers):
    registry = handlers["registry"]
    assert isinstance(registry, TaskRegistry)
    handler = registry.get("mail.welcome")
    assert issubclass(handler.payload, BaseModel)
    payload = handler.payload(user="ada")
    result = await handler.function(*handler.arguments(payload, context_of(handlers)))
    assert result == {"to": "ada", "key": "default/default/7"}
    with pytest.raises(Discard):
        payload = handler.payload(user="ada", language="la")
        await handler.function(*handler.arguments(payload, context_of(handlers)))


def test_the_second_handler_of_the_guide_says_what_the_table_says(handlers):
    charge, bill = handlers["charge"], handlers["Charge"]
    assert charge(bill(account="ada", cents=5)) == "5 from ada"
    with pytest.raises(Discard):
        charge(bill(account="ada", cents=0))
    with pytest.raises(Suspend):
        charge(bill(account="locked", cents=5))
    with pytest.raises(Retry) as retry:
        charge(bill(account="busy", cents=5))
    assert retry.value.after == 60


async def test_the_third_handler_of_the_guide_charges_once(handlers):
    once, bill = handlers["charge_once"], handlers["Charge"](account="ada", cents=5)
    assert await once(bill, context_of(handlers)) == "charged"
    assert await once(bill, context_of(handlers, attempt=2)) == "was charged before"


async def test_the_handlers_of_the_guide_share_what_their_lifespan_opens(handlers):
    handler = handlers["reports"].get("report.write")
    payload, told = handler.payload(months=["May", "June"]), []
    async with handler.lifespan() as archive:
        context = context_of(handlers, state=archive, report=lambda *said: told.append(said))
        assert await handler.function(*handler.arguments(payload, context)) == 2
        assert archive.open
    assert not archive.open
    assert told == [(0.5, "wrote May"), (1.0, "wrote June")]


def test_the_thread_of_the_guide_looks_whether_it_is_wanted(handlers):
    handler = handlers["registry"].get("report.pages")
    payload, context = handler.payload(months=["May"]), context_of(handlers)
    assert handler.function(*handler.arguments(payload, context)) == 3
    context.stop.set()
    with pytest.raises(Stopped):
        handler.function(*handler.arguments(payload, context))
