import json
from pathlib import Path

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.stream_aligner import science_commands
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.collection import commands as collect_commands
from equipoise.systems.stream_aligner.collection import smollm2_rows
from equipoise.systems.stream_aligner.collection.smollm2_rows import collect_rows, slips_of
from equipoise.systems.stream_aligner.experiments.commands import reproduce
from equipoise.systems.stream_aligner.rows import read_rows
from equipoise.systems.stream_aligner.worlds.smollm2 import PRACTICE_QUESTIONS, RealWorld


def test_the_real_world_is_evaluated_by_name(tmp_path: Path) -> None:
    found = science_commands.evaluate(
        world="smollm2",
        corrector="arithmetic",
        methods="raw,post-hoc,stream",
        model="scripted",
        questions=5,
        out=tmp_path / "run",
    )
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["raw", "post-hoc", "stream"]
    assert rows["stream"]["right"] == rows["stream"]["answers"] == 5
    assert rows["raw"]["stated_right"] < rows["post-hoc"]["stated_right"] == 15
    assert found["edit_precision"] == found["copy_rate"] == 1.0
    stored = json.loads((tmp_path / "run" / "results.json").read_text())["measured"]
    assert (stored["world"], stored["rows"]) == ("smollm2", found["rows"])
    assert json.loads(json.dumps(found)) == found


def test_a_model_that_is_not_there_is_missing_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    with pytest.raises(MissingData, match="equipoise models pull smollm2-135m"):
        science_commands.evaluate(
            world="smollm2", corrector="arithmetic", questions=1, out=tmp_path / "run"
        )


def test_rows_are_collected_from_the_real_world(tmp_path: Path) -> None:
    asked = RealWorld().questions(3, 0)
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps({"question": question}) + "\n" for question in asked))
    options = {"teacher": "arithmetic", "questions": file, "model": "scripted"}
    found = collect_commands.collect(
        upstream="world:smollm2", out=tmp_path / "rows.jsonl", **options
    )
    assert (found["questions"], found["rows"]) == (3, 9)
    for row in read_rows(tmp_path / "rows.jsonl").rows:
        assert all(sum_.correct for sum_ in stated_sums(row.correction))
    with pytest.raises(InvalidInput, match="smollm2"):
        collect_commands.collect(upstream="world:smolm2", out=tmp_path / "other.jsonl", **options)


def test_the_experiment_is_reproduced_by_name(tmp_path: Path) -> None:
    found = reproduce(only=("smollm2",), smollm2_answers="3", out=tmp_path / "run")
    measured = found["measured"]["smollm2"]
    assert measured["corrector"] == "exact oracle"
    assert [row["answers"] for row in measured["rows"]] == [3] * 5


@pytest.mark.standard
def test_the_model_really_slips_and_builds_on_corrected_sums(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2_rows, "PRACTICE_QUESTIONS", PRACTICE_QUESTIONS[:1])
    world = RealWorld(str(smollm2), max_tokens=30)
    first, second = world.questions(2, 11)
    with world.opened() as opened:
        rows = collect_rows(world, opened, questions=1, drills=2, sums=3, seed=11)
        alone = [align(one, opened.sums, correct_sums, mode="off").text for one in (first, second)]
        again = align(first, opened.sums, correct_sums, mode="off").text
        reviewed = align(first, opened.sums, correct_sums, speculate=True).text
    assert alone[0] == again  # greedy
    assert any(not found.correct for text in alone for found in stated_sums(text))
    assert list(stated_sums(reviewed))
    assert all(found.correct for found in stated_sums(reviewed))
    assert slips_of(rows.sentences)
    assert {row.question for row in rows.benign} == set(PRACTICE_QUESTIONS[:1])
