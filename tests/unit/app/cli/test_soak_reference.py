"""The page of the soaks says what they printed, and bounds only what was not seen."""

from app.cli.soak_reference import FIGURES, RESULTS, written

SOAK = {
    **dict.fromkeys((field for field, _ in FIGURES), 0),
    "accepted": 108_000, "seed": 7, "lifeboat": "0.1.0", "cores": 2, "verdict": "ok",
    "versions": {"redis": "7.0.15"}, "startedAt": 1_760_000_000_000, "endedAt": 1_760_003_720_000,
    "faults": [
        {"name": "rabbitmq alarm (memory), 4.5 s"},
        {"name": "rabbitmq alarm (disk), 0.5 s"},
        {"name": "mirror>redis connections reset, 0.0 s"},
    ],
}  # fmt: skip


def test_figures_faults_and_the_bound_are_the_soaks_own():
    page = written([("random-7", SOAK)])
    assert "3 faults in 62 minutes" in page
    assert "| accepted | 108,000 |" in page
    assert "| rabbitmq alarm | 2 |" in page
    assert "| mirror>redis connections reset | 1 |" in page
    assert "None of 108,000 lost" in page
    assert "fewer than one in 36,000" in page


def test_where_something_was_lost_no_bound_is_claimed():
    page = written([("random-7", SOAK | {"lost": 2, "verdict": "failed"})])
    assert "| lost: neither executed nor recorded as finished | 2 |" in page
    assert "rule of three" not in page


def test_each_kept_soak_has_its_report():
    kept = sorted(RESULTS.glob("*.json"))
    assert kept
    assert all(each.with_suffix(".html").is_file() for each in kept)
