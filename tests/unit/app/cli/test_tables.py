import io

from rich.console import Console

from app.cli.tables import at, table_of


def drawn(draw):
    out = io.StringIO()
    draw(Console(file=out, width=80))
    return out.getvalue()


def test_markup_of_others_is_text():
    text = drawn(table_of(("a",), [("[red]x[/red]",), ("[/nonsense]",)], empty=""))
    assert "[red]x[/red]" in text
    assert "[/nonsense]" in text


def test_nothing_is_a_sentence():
    assert drawn(table_of(("a",), [], empty="There is none.")) == "There is none.\n"


def test_values_are_read_at_a_glance():
    text = drawn(table_of(("a", "b", "c"), [(1_234, None, True)], empty=""))
    for shown in ("1,234", "-", "yes"):
        assert shown in text


def test_moments_are_utc():
    assert at(1_767_225_600_000) == "2026-01-01 00:00:00Z"
    assert at(None) is None
