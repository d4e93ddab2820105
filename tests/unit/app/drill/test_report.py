"""The report: one file that asks nobody for anything, and says in words what it shows."""

import re
from html.parser import HTMLParser

import pytest

from app.drill.report import report, verdict_in_words
from app.drill.timeline import timeline
from app.drill.verdict import Sample

VOID = {"meta", "rect", "path"}
DEPTH = {"queued": 3, "running": 2, "scheduled": 1, "retrying": 0}
FAULT = {
    "name": "redis <killed> & wiped",
    "at": 12_000,
    "doneAt": 12_400,
    "inFlight": {"queued": 3},
}
FIGURES = {
    "submitted": 1_000, "accepted": 1_000, "refused": 0, "unknown": 0, "acceptedByRabbitmq": 0,
    "executed": 998, "lost": 0, "phantom": 0, "failedButRun": 0, "duplicateExecutions": 12,
    "duplicateResults": 0, "zombies": 0, "unearned": 0, "altered": 0, "openLeft": 0, "stuck": 0, "restored": 300, "copiesLeft": 0,
    "copiesMissing": None, "rpoTasks": 13, "rpoSeconds": 0.02, "rtoFirstSeconds": None,
    "rtoAllSeconds": 9.5,
}  # fmt: skip


class Page(HTMLParser):
    """Tags, ids and what refers to them; nesting is checked on the way."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.named, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.named += given.get("aria-labelledby", "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def document():
    versions = {"redis": "7.0.15", "rabbitmq": "3.10.8"}
    return FIGURES | {
        "scenario": "redis-wipe", "seed": 1, "durability": "fast", "versions": versions,
        "tasks": 1_000, "startedAt": 10_000, "faults": [FAULT], "why": [], "verdict": "ok",
    }  # fmt: skip


@pytest.fixture
def drawn():
    samples = [
        Sample(10_000, DEPTH, 4, 7),
        Sample(11_000, None, None, 7),
        Sample(13_000, DEPTH, 5, 6),
    ]
    return timeline(samples, [10_500, 11_000], [12_000], [FAULT])


def written(document, drawn):
    return report(
        document, drawn, story="Redis dies", command="lifeboat drill --scenario redis-wipe"
    )


def test_it_asks_nobody_for_anything(document, drawn):
    text = written(document, drawn)
    assert not re.search(r"https?://|//\w|src=|@import|url\(|<script|<link", text)


def test_it_is_nested_rightly_and_every_picture_has_its_words(document, drawn):
    page = Page(written(document, drawn))
    pictures = [given for tag, given in page.tags if tag == "svg" and "aria-hidden" not in given]
    assert len(pictures) == len(drawn.panels)
    assert all(each["role"] == "img" for each in pictures)
    assert set(page.named) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "no answer at 1 samples" in written(document, drawn)


def test_every_figure_and_every_fault_is_named(document, drawn):
    text = written(document, drawn)
    for name in FIGURES:
        assert f"<code>{name}</code>" in text
    assert "redis &lt;killed&gt; &amp; wiped" in text
    assert "<killed>" not in text


def test_a_line_is_broken_where_there_was_no_answer(document, drawn):
    text = written(document, drawn)
    unmirrored = re.findall(r'd="(M[^"]*)"', text.partition("<h3>Journal")[2])[3]
    assert unmirrored.count("M") == 2


def test_the_verdict_is_said_in_words(document, drawn):
    assert "Of 1,000 accepted tasks none was lost" in written(document, drawn)
    document |= {"verdict": "failed", "why": ["Lost: 3 accepted <tasks>."]}
    text = written(document, drawn)
    assert 'class="verdict failed"' in text
    assert "<li>Lost: 3 accepted &lt;tasks&gt;.</li>" in text


def test_a_drill_without_a_fault_or_a_sample_is_a_report_too(document):
    Page(written(document | {"faults": []}, timeline([], [], [], [])))


def test_a_hundred_faults_do_not_hide_the_lines(document):
    faults = [FAULT | {"at": 10_000 + 1_000 * n, "doneAt": 10_500 + 1_000 * n} for n in range(100)]
    text = written(document | {"faults": faults}, timeline([], [10_000], [110_000], faults))
    assert "and 90 more, listed below" in text
    assert text.count('class="band"') == 4 * 100
    assert 'class="edge"' not in text
    assert text.count("<tr><td") >= 100


def test_a_fault_without_work_in_flight_is_not_said_to_have_had_any(document):
    document["faults"] = [FAULT, {**FAULT, "inFlight": {"queued": 0}}]
    assert verdict_in_words(document).startswith("1 fault came with work in flight")
