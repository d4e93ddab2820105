"""A misspelt variable is told with the name that was meant."""

import pytest

from app.unknown_names import sentence_about

KNOWN = ["LIFEBOAT_CONCURRENCY", "LIFEBOAT_ENV", "LIFEBOAT_MONGO_URL"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], None),
        (KNOWN, None),
        (
            ["LIFEBOAT_CONCURENCY", "LIFEBOAT_ENV"],
            (
                "No setting is called LIFEBOAT_CONCURENCY (did you mean LIFEBOAT_CONCURRENCY?): it has"
                " no effect."
            ),
        ),
        (["LIFEBOAT_ZZZZQ"], "No setting is called LIFEBOAT_ZZZZQ: it has no effect."),
        (
            ["LIFEBOAT_ZZZZQ", "LIFEBOAT_MONGODB_URL"],
            (
                "No setting is called LIFEBOAT_MONGODB_URL (did you mean LIFEBOAT_MONGO_URL?), nor"
                " LIFEBOAT_ZZZZQ: they have no effect."
            ),
        ),
    ],
)
def test_unknown_names_are_told_with_the_nearest(given, sentence):
    assert sentence_about(given, KNOWN, "LIFEBOAT_") == sentence
