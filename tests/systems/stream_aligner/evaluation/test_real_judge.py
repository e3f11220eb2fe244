"""A real model answers and judges; small as it is, what it says is counted, not believed."""

import json
import re
from pathlib import Path

import pytest

from equipoise.systems.stream_aligner import science_commands

pytestmark = pytest.mark.standard


def test_a_real_model_answers_and_judges(tmp_path: Path, smollm2: Path) -> None:
    file, rules = tmp_path / "questions.jsonl", tmp_path / "rules.json"
    asked = ["Name a colour.", "What is 2 + 3?", "Why is the sky blue?"]
    file.write_text("".join(json.dumps({"question": question}) + "\n" for question in asked))
    rules.write_text(json.dumps([{"find": r"\b([Tt])he\b", "replace": r"\1hat"}]))
    found = science_commands.evaluate(
        file=file,
        corrector=f"rules:{rules}",
        upstream="local:smollm2-135m",
        judge="local:smollm2-135m",
        methods="raw,post-hoc",
        out=tmp_path / "run",
        file_tokens="40",
        judge_tokens="120",
    )
    raw, post_hoc = found["rows"]
    assert raw["help_judged"] == 0
    assert 1 <= post_hoc["help_judged"] <= 3
    kept = (tmp_path / "run" / "judgements-help.jsonl").read_text().splitlines()
    verdicts = [json.loads(line)["verdict"] for line in kept]
    assert len(verdicts) == 2 * post_hoc["help_judged"]  # both orders
    assert set(verdicts) <= {"first", "second", "tie", None}
    assert post_hoc["help_unparsed"] == verdicts.count(None) / len(verdicts)
    answers = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").open()]
    for row in answers:
        texts = {name: told["text"] for name, told in row["answers"].items()}
        assert texts["post-hoc"] == re.sub(r"\b([Tt])he\b", r"\1hat", texts["raw"])
