import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.stream_aligner import Correction, StreamAlignerConfig
from equipoise.systems.stream_aligner.collection.collecting import (
    collect_file,
    gather_rows,
    iter_rows,
)
from equipoise.systems.stream_aligner.collection.on_policy import collect_on_policy
from equipoise.systems.stream_aligner.collection.teachers import (
    PromptedTeacher,
    Unparsed,
    make_teacher,
    read_teacher,
)
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.rows import CorrectionRow, read_rows
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, oracle

WORLD = ArithmeticWorld(steps=4, error_rate=0.5, seed=2)
QUESTIONS = WORLD.questions(6, 0)
SETTINGS = {"teacher": "oracle"}


def collect(out: Path, questions: list[str] = QUESTIONS, **changes: Any) -> Any:
    options = {"settings": SETTINGS, "upstream": WORLD.upstream, "teacher": oracle} | changes
    upstream, teacher = options.pop("upstream"), options.pop("teacher")
    return collect_file(questions, upstream, teacher, out, **options)


def test_every_sentence_gives_a_row_with_the_induced_prefix() -> None:
    rows, unparsed = gather_rows(QUESTIONS[0], WORLD.upstream, oracle, source="oracle")
    assert (len(rows), unparsed) == (4, 0)
    prefix = ""
    for row in rows:
        assert (row.prefix, row.source) == (prefix, "oracle")
        assert row.verdict == ("copy" if row.last == row.correction else "edit")
        prefix = f"{prefix} {row.correction}".strip()
    assert len(gather_rows(QUESTIONS[0], WORLD.upstream, oracle, rounds=2)[0]) == 2
    (whole,), _ = gather_rows(QUESTIONS[0], WORLD.upstream, oracle, mode="aligner")
    assert (whole.prefix, whole.correction) == ("", prefix)


def test_stops_and_drops_give_rows() -> None:
    said = iter([Correction("", "drop"), Correction("Yes.", "stop")])
    rows, _ = gather_rows("q", lambda q, p: ["No. ", "Yes. "], lambda q, p, s: next(said))
    assert [(row.last, row.correction, row.verdict) for row in rows] == [
        ("No.", "", "drop"),
        ("No.", "Yes.", "stop"),
    ]


def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    whole = collect(tmp_path / "whole.jsonl")
    assert (whole.questions, whole.rows, whole.unparsed) == (6, 24, 0)
    assert whole.verdicts["copy"] + whole.verdicts["edit"] == 24
    for limit in (0, 1, 10, 23):
        out, asked = tmp_path / f"cut-{limit}.jsonl", []

        def failing(question: str, prefix: str, sentence: str) -> Correction:
            if len(asked) == limit:  # noqa: B023
                raise KeyboardInterrupt
            asked.append(sentence)  # noqa: B023
            return oracle(question, prefix, sentence)

        with pytest.raises(KeyboardInterrupt):
            collect(out, teacher=failing)
        with out.open("a") as file:
            file.write('{"question": "half a')
        assert collect(out) == whole
        assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert collect(tmp_path / "whole.jsonl") == whole  # finished: nothing is asked again
    assert read_rows(tmp_path / "whole.jsonl").style == "stream"


def test_aligner_rows_are_read_as_such(tmp_path: Path) -> None:
    collect(tmp_path / "rows.jsonl", mode="aligner")
    read = read_rows(tmp_path / "rows.jsonl")
    assert (read.style, len(read.rows)) == ("aligner", 6)


def test_other_files_and_settings_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    collect(out)
    others: list[dict[str, Any]] = [
        {"settings": {"teacher": "x"}},
        {"rounds": 3},
        {"questions": QUESTIONS[:2]},
    ]
    for changes in others:
        with pytest.raises(InvalidInput, match="other questions or settings; name a new file"):
            collect(out, **changes)
    out.write_text("")
    with pytest.raises(InvalidInput, match="is shorter than"):
        collect(out)
    (tmp_path / "other.jsonl").write_text("x\n")
    with pytest.raises(InvalidInput, match="holds no collection"):
        collect(tmp_path / "other.jsonl")
    with pytest.raises(InvalidInput, match="rounds is 0"):
        collect(tmp_path / "new.jsonl", rounds=0)


def test_a_failing_teacher_is_no_corrector_failure(tmp_path: Path) -> None:
    def broken(question: str, prefix: str, sentence: str) -> str:
        raise RunFailed("the endpoint is gone")

    with pytest.raises(RunFailed, match="the endpoint is gone"):
        collect(tmp_path / "rows.jsonl", teacher=broken)


class Said:
    """A back end that answers from a list and notes how it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked, self.closed = iter(replies), [], False

    def generate(self, messages: Any, **options: Any) -> Any:
        self.asked.append((messages, options))
        return SimpleNamespace(text=next(self.replies))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("reply", "correction"),
    [
        ("I think.\nCORRECTION: [[ Yes. ]]\nEOS: [[FALSE]]", Correction("Yes.")),
        ("correction: [[Yes.]] eos: [[ true ]]", Correction("Yes.", "stop")),
        ("CORRECTION: [[]] EOS: [[FALSE]]", Correction("")),
        ("CORRECTION: [[a]] CORRECTION: [[b\nc]] EOS: [[TRUE]] EOS: [[FALSE]]", Correction("b\nc")),
        ("CORRECTION: [[Yes.]]", None),
        ("EOS: [[TRUE]]", None),
        ("CORRECTION: Yes. EOS: [[MAYBE]]", None),
        ("", None),
    ],
)
def test_answers_of_a_teacher(reply: str, correction: Correction | None) -> None:
    assert read_teacher(reply) == correction


def test_an_unreadable_answer_is_asked_for_once_more_then_left_out() -> None:
    good = "CORRECTION: [[Yes.]] EOS: [[FALSE]]"
    backend = Said("hm", good, "hm", "hm", good)
    teacher = PromptedTeacher(backend)  # type: ignore[arg-type]
    assert teacher("q", "p", "s") == Correction("Yes.")
    assert [options.get("temperature", 0) for _, options in backend.asked] == [0, 0.7]
    assert "##Answer_Last_Sentence: s" in backend.asked[0][0][1]["content"]
    with pytest.raises(Unparsed, match="answered twice without"):
        teacher("q", "p", "s")
    teacher.close()
    assert backend.closed

    replies = Said(good, "hm", "hm", good)
    answer = ["One.", " Two.", " Three."]

    def upstream(question: str, prefix: str) -> Iterator[str]:
        yield from answer[prefix.count(".") :]

    rows, unparsed = gather_rows("q", upstream, PromptedTeacher(replies))  # type: ignore[arg-type]
    assert unparsed == 1
    assert [(row.prefix, row.last) for row in rows] == [("", "One."), ("Yes. Two.", "Three.")]


def test_teachers_by_name() -> None:
    assert make_teacher("oracle:arithmetic") is oracle
    assert make_teacher("arithmetic")("", "", "1 + 1 = 3.") == Correction(
        "1 + 1 = 2.", note="1 + 1 = 2"
    )
    with pytest.raises(InvalidInput, match="unknown oracle 'aritmetic': did you mean 'arithmetic'"):
        make_teacher("oracle:aritmetic")
    with pytest.raises(InvalidInput, match="unknown corrector 'arithmetik'"):
        make_teacher("arithmetik")


def test_the_steering_corrector_sets_the_prefix_and_the_teacher_the_label() -> None:
    rows, _ = gather_rows(
        QUESTIONS[0], WORLD.upstream, oracle, steer=lambda question, prefix, sentence: sentence
    )
    raw = "".join(WORLD.upstream(QUESTIONS[0], ""))
    assert f"{rows[-1].prefix} {rows[-1].last}" == raw
    assert any(row.last != row.correction for row in rows)


@pytest.mark.standard
def test_on_policy_rounds_steer_by_the_last_corrector_and_resume(tmp_path: Path) -> None:
    config = StreamAlignerConfig.preset(
        "tiny", decoder=DecoderShape(width=8, layers=1, heads=1, window=2), epochs=1, batch=8
    )

    def run(out: Path) -> Any:
        return collect_on_policy(
            QUESTIONS, WORLD.upstream, oracle, out, config, count=2, settings=SETTINGS
        )

    done = run(tmp_path / "rows.jsonl")
    assert len(done.rounds) == 2
    rows = read_rows(tmp_path / "rows.jsonl").rows
    assert len(rows) == sum(found.rows for found in done.rounds)
    assert {row.source for row in rows} == {"round 1", "round 2"}
    assert (done.corrector / "results.json").exists()
    before = (tmp_path / "rows.jsonl").read_bytes()
    assert run(tmp_path / "rows.jsonl") == done
    assert run(tmp_path / "again.jsonl").rounds == done.rounds
    assert (tmp_path / "again.jsonl").read_bytes() == before


def test_rows_without_a_file() -> None:
    rows = list(iter_rows(QUESTIONS[:2], WORLD.upstream, oracle))
    assert len(rows) == 8
    assert all(isinstance(row, CorrectionRow) for row in rows)
    assert json.dumps(rows[0].to_json())
