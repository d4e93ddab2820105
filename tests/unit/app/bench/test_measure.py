from app.bench.measure import ROUNDS, WARM_UP_S_MAX, Amount, Bench, Sides, compare


def played(rates, calls, name):
    coming = iter(rates)

    async def measure(seconds):
        calls.append((name, seconds))
        return next(coming)

    return measure


async def test_both_sides_are_measured_in_turns_after_a_warm_up_and_their_medians_compared():
    calls = []
    sides = Sides(
        ours=played([1.0, 50.0, 20.0, 30.0], calls, "ours"),
        reference=played([1.0, 100.0, 400.0, 60.0], calls, "reference"),
    )
    said = []

    row = await compare(Bench("run", "a bare reader", None), sides, 2.0, said.append)

    assert calls[:2] == [("ours", WARM_UP_S_MAX), ("reference", WARM_UP_S_MAX)]
    assert calls[2:] == [("ours", 2.0), ("reference", 2.0)] * ROUNDS
    assert len(said) == ROUNDS
    assert row.document() == {
        "name": "run",
        "rate": 30.0,
        "reference": 100.0,
        "referenceName": "a bare reader",
        "ratio": 0.3,
        "unit": "tasks/s",
    }


def test_an_amount_follows_the_rate_seen_last_within_its_bounds():
    amount = Amount(1_000.0, least=200, most=5_000)

    assert amount.for_seconds(2) == 2_000
    assert amount.saw(400.0) == 400.0
    assert amount.for_seconds(2) == 800
    assert amount.for_seconds(0.1) == 200
    assert amount.for_seconds(60) == 5_000
