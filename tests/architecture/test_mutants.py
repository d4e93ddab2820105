"""Every mutant of ``make mutants`` still applies to the tree, and the tests it names are there."""

import ast
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.planted import ALL

ROOT = Path(__file__).parents[2]
PRELUDE = "app/broker/lua/_prelude.lua"
each = pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)


def functions_of(path):
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_every_rule_is_taken_out_at_least_once():
    assert {str(rule) for rule in range(1, 13)} <= {mutant.rule for mutant in ALL}
    assert len({mutant.name for mutant in ALL}) == len(ALL) >= 25


@each
def test_it_applies(mutant):
    before = (ROOT / mutant.file).read_text()
    after = mutant.planted_in(before)
    assert after != before
    if mutant.file.endswith(".py"):
        ast.parse(after)


async def test_a_script_with_a_mutant_in_it_is_still_a_script(redis_url):
    scripts = [mutant for mutant in ALL if mutant.file.endswith(".lua")]
    redis = Redis.from_url(redis_url)
    for mutant in scripts:
        planted = mutant.planted_in((ROOT / mutant.file).read_text())
        prelude = "" if mutant.file == PRELUDE else (ROOT / PRELUDE).read_text()
        await redis.script_load(prelude + planted)
    assert scripts
    await redis.aclose()


@each
def test_the_tests_it_names_are_there(mutant):
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert name.partition("[")[0] in functions_of(ROOT / path)


@pytest.mark.parametrize(("text", "new"), [("", "b"), ("a a", "b"), ("a", "a")])
def test_one_that_does_not_apply_says_so(text, new):
    mutant = Mutant("m", "1", "some/file.py", "a", new, ("t",))
    with pytest.raises(DoesNotApply, match="m does not apply"):
        mutant.planted_in(text)
