from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner import Correction, align_stream
from equipoise.systems.stream_aligner.audit.events import SegmentEvent
from equipoise.systems.stream_aligner.audit.log import redacted
from equipoise.systems.stream_aligner.audit.summary import (
    AuditRows,
    changed_chars,
    count_audit,
    shown_text,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow


def audited(pieces: list[str], corrector: Any, request_id: str = "r", **options: Any):
    """Run the real loop; return its answer and the lines that a proxy would write."""

    def upstream(question, prefix):
        asked.append(prefix)
        yield from pieces[len(asked) - 1 :]

    asked: list[str] = []
    steps = align_stream("Why?", upstream, corrector, speculate=False, **options)
    events = []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value, events
        if step.segment.text:
            events.append(
                SegmentEvent(
                    *(1.0, request_id, len(events), "Why?", len(step.prefix)),
                    *(step.segment.leading, step.segment.text, step.text, step.verdict, 1.0),
                    *("closed", "m", "k", step.note),
                ).record()
            )


def mixed(question: str, prefix: str, sentence: str) -> Correction:
    """Edit what names a fern, drop what names a stone, stop at the end, fail at a storm."""
    if "storm" in sentence:
        raise TimeoutError("late")
    if "stone" in sentence:
        return Correction("", "drop")
    if "end" in sentence:
        return Correction("Done.", "stop")
    return Correction(sentence.replace("fern", "moss"))


SENTENCES = ["A fern grows.", " It is green.", "\n\nA fern again.", " A stone.", " The end."]


def test_counts_of_a_real_answer():
    answer, records = audited(SENTENCES, mixed)
    assert [record["verdict"] for record in records] == ["edit", "copy", "edit", "drop", "stop"]
    assert count_audit(records).to_json() == {
        "requests": 1,
        "segments": 5,
        "copies": 1,
        "edits": 2,
        "drops": 1,
        "stops": 1,
        "unreviewed": 0,
        "timeouts": 0,
        "edit_rate": 0.4,
    }
    assert "".join(shown_text(record) for record in records) == answer.text


def test_late_correctors_are_timeouts_and_other_failures_are_not():
    line = {"request_id": "a", "verdict": "unreviewed", "original": "x", "corrected": "x"}
    lines = [line | {"note": note} for note in ("late", "late: 5 s", "ValueError: no", "")]
    lines += [{"request_id": "b", "event": "cancelled"}]
    lines += [line | {"verdict": "copy", "note": "late"}]  # reviewed after all
    counts = count_audit(lines).to_json()
    assert (counts["unreviewed"], counts["timeouts"], counts["requests"]) == (4, 2, 2)
    assert counts["segments"] == 5


def test_an_empty_log_counts_nothing():
    assert set(count_audit([]).to_json().values()) == {0}


def test_rows_hold_the_corrected_prefix_copies_included():
    _, records = audited(SENTENCES, mixed)
    rows = list(AuditRows(records))
    common = {"verdict": "edit", "source": "audit"}
    assert rows == [
        CorrectionRow("Why?", "", "A fern grows.", "A moss grows.", **common),
        CorrectionRow(
            "Why?", "A moss grows. It is green.", "A fern again.", "A moss again.", **common
        ),
    ]


words = st.sampled_from(["fern", "moss", "stone", "leaf", "storm", "end"])
sentences = st.lists(
    st.builds(lambda lead, word: f"{lead}A {word} is near.", st.sampled_from([" ", "\n\n"]), words),
    max_size=7,
)


@given(
    sentences, st.sampled_from(["open", "closed", "static"]), st.sampled_from(["stream", "detect"])
)
def test_every_edit_of_any_answer_gets_the_prefix_it_had(pieces, policy, mode):
    seen = []

    def watched(question, prefix, sentence):
        found = mixed(question, prefix, sentence)
        if "fern" in sentence:
            seen.append((prefix, sentence, found.text))
        return found

    # an answer before it whose corrections have other lengths shows what mode the log is of
    known = audited([" A fern.", " It is."], lambda q, p, s: "No.", "known", mode=mode)[1]
    answer, records = audited(pieces, watched, mode=mode, on_failure=policy, static_text="Sorry.")
    rows = AuditRows([*known, *records])
    assert [(row.prefix, row.last, row.correction) for row in rows][2:] == seen
    assert (rows.incomplete, rows.redacted) == (0, 0)
    if mode == "stream":
        assert "".join(shown_text(record) for record in records) == answer.text.rstrip()


def test_answers_that_were_written_at_the_same_time_are_kept_apart():
    one = audited(SENTENCES, mixed, "one")[1]
    other = audited([" A fern.", " A fern sleeps."], mixed, "other")[1]
    woven = [record for pair in zip(one, other) for record in pair] + one[len(other) :]
    assert sorted(map(str, AuditRows(woven))) == sorted(map(str, AuditRows([*one, *other])))


def test_edits_without_their_beginning_or_their_texts_give_no_rows():
    _, records = audited(SENTENCES, mixed)
    cut = AuditRows(records[1:])
    assert list(cut) == []
    assert cut.incomplete == 1
    hole = AuditRows([records[0], *records[2:]])
    assert [row.last for row in hole] == ["A fern grows."]
    assert hole.incomplete == 1
    hidden = AuditRows([redacted(record) for record in records])
    assert list(hidden) == []
    assert hidden.redacted == 2


@pytest.mark.parametrize(
    ("diff", "changed"),
    [
        ([["equal", "abc", "abc"]], 0),
        ([["replace", "ab", "wxyz"], ["delete", "q", ""], ["insert", "", "rs"]], 7),
        ([["equal", 5, 5], ["replace", 2, 3]], 3),
        ([], 0),
    ],
)
def test_changed_characters(diff, changed):
    assert changed_chars({"diff": diff}) == changed
