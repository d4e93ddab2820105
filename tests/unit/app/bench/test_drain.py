from app.bench.drain import rate_of


def test_neither_the_start_nor_what_left_before_the_first_look_counts():
    assert rate_of([(0.0, 500), (10.0, 400), (11.0, 100), (12.0, 0)]) == 200.0


def test_where_the_first_progress_seen_was_the_last_the_start_counts():
    assert rate_of([(0.0, 500), (10.0, 0)]) == 50.0
