"""A drill as one HTML file that needs nothing else: the verdict, the figures, the picture."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any, Final

from app.drill.picture import picture
from app.drill.show import ROWS, figure, flight
from app.drill.timeline import Line, Timeline

TILES: Final = (
    ("accepted", "tasks accepted"),
    ("lost", "accepted tasks lost"),
    ("duplicateResults", "results recorded twice"),
    ("duplicateExecutions", "effects repeated (at least once)"),
    ("copiesLeft", "copies left in RabbitMQ"),
    ("rpoTasks", "tasks without a copy at the fault (RPO)"),
    ("rtoFirstSeconds", "to the first effect after the fault (RTO)"),
    ("rtoAllSeconds", "until all work from before was done"),
)
HOW: Final = (
    "The same seed makes the same tasks; what the machine does meanwhile is its own. The producers'"
    " and the receiver's books are independent of Lifeboat, and the stores were read once a second"
    " by code of the drill's own."
)


def report(document: Mapping[str, Any], timeline: Timeline, *, story: str, command: str) -> str:
    """The file's text.

    ``document`` is what ``--json`` prints, ``story`` says the scenario in words, ``command`` plays
    it again.
    """
    title = f"Drill {document['scenario']}: {document['verdict']}"
    style = (files("app.drill") / "report.css").read_text()
    body = "\n".join(
        (
            f"<h1>{escape(story[:1].upper() + story[1:])}</h1>",
            f'<p class="soft">{escape(_subtitle(document))}</p>',
            _verdict(document),
            _tiles(document),
            "<h2>What happened</h2>",
            picture(timeline),
            "<h2>Faults</h2>",
            _faults(document["faults"], document["startedAt"]),
            "<h2>All figures</h2>",
            _figures(document),
            "<h2>Play it again</h2>",
            f"<pre><code>{escape(command)}</code></pre>",
            f'<p class="soft">{HOW}</p>',
            f"<details><summary>The picture in numbers</summary>{_numbers(timeline)}</details>",
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """An HTML table of cells that are HTML; ``numeric`` columns stand to the right."""
    mark = [' class="n"' if i in numeric else "" for i in range(len(head))]
    top = "".join(f'<th scope="col"{mark[i]}>{each}</th>' for i, each in enumerate(head))
    lines = "\n".join(
        "<tr>" + "".join(f"<td{mark[i]}>{each}</td>" for i, each in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{lines}\n'
        "</tbody></table></div>"
    )


def _subtitle(document: Mapping[str, Any]) -> str:
    servers = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    at = datetime.fromtimestamp(document["startedAt"] / 1000, UTC)
    return (
        f"{document['scenario']}, {document['tasks']:,} tasks at {document['durability']}, seed"
        f" {document['seed']}. {servers}. {at:%Y-%m-%d %H:%M} UTC."
    )


def _verdict(document: Mapping[str, Any]) -> str:
    why = "".join(f"<li>{escape(each)}</li>" for each in document["why"])
    told = escape(verdict_in_words(document))
    return (
        f'<div class="verdict {document["verdict"]}"><p><strong>Verdict: {document["verdict"]}.'
        f"</strong> {told}</p>{f'<ul>{why}</ul>' if why else ''}</div>"
    )


def verdict_in_words(document: Mapping[str, Any]) -> str:
    """What the figures come to."""
    times = sum(any(each["inFlight"].values()) for each in document["faults"])
    faults = f"{times} fault{'' if times == 1 else 's'} came with work in flight"
    if document["verdict"] != "ok":
        return f"{faults.capitalize()}; this must not be:"
    lost = f"{document['lost']:,}" if document["lost"] else "none"
    return (
        f"{faults.capitalize()}. Of {document['accepted']:,} accepted tasks {lost} was lost, no"
        f" result was recorded twice, and no copy is left behind."
    )


def _tiles(document: Mapping[str, Any]) -> str:
    return (
        "<dl>"
        + "".join(
            f"<div><dt>{escape(meaning)}</dt><dd>{_with_unit(name, document)}</dd></div>"
            for name, meaning in TILES
        )
        + "</dl>"
    )


def _with_unit(name: str, document: Mapping[str, Any]) -> str:
    timed = name.endswith("Seconds") and document[name] is not None
    return figure(document[name]) + (" s" if timed else "")


def _faults(faults: Sequence[Mapping[str, Any]], started_ms: int) -> str:
    if not faults:
        return "<p>None was injected.</p>"
    rows = [
        (
            str(number),
            escape(each["name"]),
            f"{(each['at'] - started_ms) / 1000:.1f}",
            f"{(each['doneAt'] - each['at']) / 1000:.1f}",
            escape(flight(each)),
        )
        for number, each in enumerate(faults, 1)
    ]
    return table(("", "fault", "at s", "for s", "work in flight"), rows, (2, 3))


def _figures(document: Mapping[str, Any]) -> str:
    rows = [
        (f"<code>{name}</code>", figure(document[name]), escape(meaning)) for name, meaning in ROWS
    ]
    return table(("figure", "value", "what it counts"), rows, (1,))


def _numbers(timeline: Timeline) -> str:
    """The lines as tables: those of the books, then those of the stores."""
    rates, *stores = timeline.panels
    return _columns(rates.lines) + _columns([line for panel in stores for line in panel.lines])


def _columns(lines: Sequence[Line]) -> str:
    values = zip(*(line.values for line in lines), strict=True)
    rows = [
        (f"{at:.1f}", *("-" if each is None else f"{each:,.0f}" for each in row))
        for at, row in zip(lines[0].seconds, values, strict=True)
    ]
    head = ("second", *(escape(line.name) for line in lines))
    return table(head, rows, range(len(head)))
