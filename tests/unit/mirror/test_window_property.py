"""Any order of outcomes: the prefix never passes an entry without a confirm, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from app.broker.journal import JournalEntry
from mirror.window import Held, Window

SIZE = 8

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("settle"), st.integers(0, 99), st.lists(st.booleans(), min_size=5)),
        st.tuples(st.just("trim"), st.integers(1, 5)),
    ),
    max_size=80,
)


@given(STEPS)
def test_the_prefix_never_passes_an_entry_without_a_confirm(steps):
    window, read, flights, confirmed, trimmed = Window(SIZE), 0, [], set(), []
    for step, *details in steps:
        match step:
            case "add":
                count = min(details[0], window.room)
                numbers = range(read, read + count)
                window.add([Held(JournalEntry(f"{n}-0", "", 1, False, b""), None) for n in numbers])
                read += count
            case "take":
                flights.append(window.take(details[0]))
            case "settle" if flights:
                taken = flights.pop(details[0] % len(flights))
                outcomes = details[1][: len(taken)]
                window.settle(taken, outcomes)
                confirmed |= {
                    h.entry.journal_id for h, yes in zip(taken, outcomes, strict=True) if yes
                }
            case "trim":
                prefix = [entry.journal_id for entry in window.prefix(details[0])]
                assert set(prefix) <= confirmed
                trimmed += prefix
                window.drop(len(prefix))
        in_flight = sum(map(len, flights))
        # Trimmed in journal order without a gap; what is held is all the rest, within the bound.
        assert trimmed == [f"{n}-0" for n in range(len(trimmed))]
        assert len(trimmed) + len(window) == read
        assert len(window) <= SIZE
        held_confirmed = len(confirmed) - len(trimmed)
        assert window.waiting + in_flight + held_confirmed == len(window)
        # The longest one: the entry behind it has no confirm.
        longest = len(window.prefix(SIZE))
        assert f"{len(trimmed) + longest}-0" not in confirmed
