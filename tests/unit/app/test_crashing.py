"""The points where a process may be told to die: each is in the code, and no other."""

import re
from pathlib import Path

import pytest

from app.crashing import NOWHERE, POINTS, CrashPoints, check
from app.drill.nemesis.kinds import OUT_OF_PLAY, kinds
from app.errors import SettingsError
from app.settings import load

ROOT = Path(__file__).parents[3]
REACHED = re.compile(r'\.reach\(\s*"([a-z_.]+)"')
EVERY = [point for points in POINTS.values() for point in points]
HOMES = {
    "api": ("app/task_queue", "app/api"),
    "worker": ("app/worker",),
    "mirror": ("mirror",),
    "rehydrator": ("rehydrator",),
}


def reached_in(*folders):
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return {point for file in files for point in REACHED.findall(file.read_text())}


@pytest.mark.parametrize("process", POINTS)
def test_a_process_comes_to_all_its_points_and_to_no_other(process):
    assert reached_in(*HOMES[process]) == set(POINTS[process])


def test_a_name_is_its_processes_own():
    assert len(EVERY) == len(set(EVERY))
    for process, points in POINTS.items():
        assert all(point.startswith(f"{process}.") for point in points)


def test_any_process_may_be_told_any_point(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for point in EVERY:
        monkeypatch.setenv("LIFEBOAT_CRASH_AT", point)
        assert load().crash_at == point


def test_a_point_that_is_none_is_answered_with_those_of_its_process(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFEBOAT_CRASH_AT", "mirror.nowhere")
    with pytest.raises(SettingsError, match=r"LIFEBOAT_CRASH_AT: there is no point") as refused:
        load()
    assert "mirror.after_lease" in str(refused.value)
    assert "worker." not in str(refused.value)


def test_a_name_of_no_process_is_answered_with_all():
    with pytest.raises(ValueError, match="there is no point 'nowhere'") as refused:
        check("nowhere")
    assert all(point in str(refused.value) for point in EVERY)


def test_only_the_chosen_point_is_died_at(monkeypatch):
    died = []
    monkeypatch.setattr("app.crashing.os._exit", died.append)
    for point in EVERY:
        CrashPoints("mirror.after_trim").reach(point)
        NOWHERE.reach(point)
    assert died == [137]


def test_a_game_may_have_any_process_die_where_it_comes_to():
    choices = [each.choice for each in kinds(mongo=True) if each.choice.kind == "dies at a point"]
    targets = [target for choice in choices for target in choice.targets]
    assert targets == ["api", "worker", "worker-2", "mirror", "rehydrator"]
    assert [point for choice in choices for point in choice.variants] == [
        point for point in EVERY if point not in OUT_OF_PLAY
    ]
    for choice in choices:
        process = choice.targets[0]
        assert all(point.startswith(f"{process}.") for point in choice.variants)
