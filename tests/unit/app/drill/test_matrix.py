"""Which games the matrix plays, and what it makes of what a drill printed."""

import orjson
import pytest
from rich.console import Console

from app.drill.matrix import PAIRS, Round, main, outcome, rounds, show, summary
from app.drill.scenarios import SCENARIOS

PLAYED = Round("redis-wipe", "newer", 1)
OK = orjson.dumps({"verdict": "ok", "versions": {"redis": "8.0.2"}, "why": []})
FAILED = orjson.dumps({"verdict": "failed", "versions": {}, "why": ["2 tasks are lost."]})


def test_each_scenario_is_played_on_both_pairs_and_random_once_a_seed():
    played = rounds(SCENARIOS, PAIRS, [1, 2, 3])
    assert len(played) == len(set(played)) == 2 * (len(SCENARIOS) + 2)
    assert {each.seed for each in played if each.scenario == "random"} == {1, 2, 3}
    assert {each.seed for each in played if each.scenario != "random"} == {1}
    assert {each.scenario for each in played if each.pair == "newer"} == set(SCENARIOS)


@pytest.mark.parametrize(
    ("code", "out", "verdict", "words"),
    [
        (0, OK, "ok", ""),
        (1, FAILED, "failed", "2 tasks are lost."),
        (1, b"", "no verdict", "redis ended at once."),
        (None, b"", "no verdict", "It took over"),
        # A drill that says ok and ends badly has not said ok.
        (1, OK, "no verdict", "redis ended at once."),
        (0, b"not JSON", "no verdict", "redis ended at once."),
    ],
)
def test_only_a_drill_that_says_ok_and_ends_well_is_ok(code, out, verdict, words):
    found = outcome(PLAYED, code, out, "Starting ...\nredis ended at once.\n\n", 1.0)
    assert found.verdict == verdict
    assert words in found.words
    assert bool(found.words) == (verdict != "ok")


def test_one_bad_game_or_none_at_all_is_a_failed_matrix():
    good, bad = outcome(PLAYED, 0, OK, "", 1.0), outcome(PLAYED, 1, FAILED, "", 1.0)
    assert summary([good], 0, 1.0)["verdict"] == "ok"
    assert summary([good], 0, 1.0)["pairs"] == {"newer": {"redis": "8.0.2"}}
    assert summary([good, bad], 0, 1.0)["verdict"] == "failed"
    assert summary([], 0, 1.0)["verdict"] == "failed"


def test_the_table_names_pair_versions_and_reason():
    outcomes = [outcome(PLAYED, 0, OK, "", 1.0), outcome(PLAYED, 1, FAILED, "", 61.0)]
    console = Console(record=True, width=80, quiet=False)
    show(outcomes, summary(outcomes, 0, 62.0), console)
    text = console.export_text()
    for words in ("newer: redis 8.0.2", "newer-redis-wipe-1: 2 tasks are lost.", "2 games in 1.0"):
        assert words in text


def test_without_the_newer_servers_it_says_how_to_have_them(tmp_path, capsys):
    assert main(["--root", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert "make matrix-setup" in capsys.readouterr().err
