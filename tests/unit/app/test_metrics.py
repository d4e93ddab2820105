"""The catalogue of metrics: names and labels, never an id."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import __version__
from app.metrics import CONTENT_TYPE, Metrics

# Contract section 8; all but the last carry tenant and queue as well.
CONTRACT = {
    "tasks_accepted_total": {"level", "accepted_by"},
    "tasks_settled_total": {"outcome"},
    "task_duration_seconds": {"type", "outcome"},
    "task_pickup_latency_seconds": set(),
    "queue_depth": {"state"},
    "queue_oldest_age_seconds": set(),
    "mirror_confirmed_total": set(),
    "mirror_returned_total": set(),
    "mirror_refused_total": set(),
    "mirror_unknown_total": set(),
    "unmirrored_tasks": set(),
    "unmirrored_oldest_age_seconds": set(),
    "mirror_blocked": set(),
    "copies_retired_total": set(),
    "copies_refreshed_total": set(),
    "rehydrate_tasks_total": {"outcome"},
    "quarantined_tasks": set(),
    "workers": set(),
    "reconcile_findings": {"name"},
    "redis_generation_changes_total": set(),
    "lease_lost_total": set(),
}

# What Lifeboat says beyond the contract.
MORE = {"missing_copies", "spooled_outcomes", "spool_damage_total", "redis_losses_total"}


def collectors(metrics):
    return [each for each in vars(metrics).values() if hasattr(each, "labels")]


def touched():
    """Every metric with one series."""
    metrics = Metrics()
    for each in collectors(metrics):
        each.labels(*(f"a-{label}" for label in each._labelnames))
    return metrics


def samples(metrics):
    """Name of a sample -> the names of its labels."""
    text = metrics.exposition().decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contracts_names_and_labels(name):
    found = samples(touched())
    full = f"lifeboat_{name}"
    labels = found.get(full, found.get(f"{full}_count"))
    assert labels == CONTRACT[name] | {"tenant", "queue"}


def test_nothing_else_is_exported():
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples(touched())}
    assert names == {f"lifeboat_{name}" for name in {*CONTRACT, *MORE, "build_info"}}


def test_no_label_is_an_id():
    labels = set().union(*samples(touched()).values())
    assert not {label for label in labels if re.search(r"id|task|key|user|chat|worker", label)}


def test_the_build_says_its_version():
    assert f'lifeboat_build_info{{version="{__version__}"}} 1.0' in Metrics().exposition().decode()


def test_a_metric_without_a_value_exports_no_series():
    assert samples(Metrics()) == {"lifeboat_build_info": {"version"}}


def test_every_metric_has_a_help_text():
    text = touched().exposition().decode()
    helped = re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE)
    assert all(len(words) > 10 for _, words in helped)
    assert len(helped) >= len(CONTRACT)


def test_two_processes_in_one_do_not_share_values():
    one, other = touched(), Metrics()
    assert "lifeboat_queue_depth{" in one.exposition().decode()
    assert "lifeboat_queue_depth{" not in other.exposition().decode()


def test_the_content_type_is_prometheus_text():
    assert CONTENT_TYPE.startswith("text/plain; version=")
