from pathlib import Path
from typing import Any

import pytest

from equipoise.systems.stream_aligner.evaluation.file_report import (
    file_report,
    method_rows,
    plot_changes,
)
from equipoise.systems.stream_aligner.evaluation.files import FileQuestion
from equipoise.systems.stream_aligner.evaluation.text import Written

ROW: dict[str, Any] = {
    "method": "stream",
    "help_judged": 3,
    "help_omega": 10.0,
    "help_omega_low": -5.0,
    "help_omega_high": 25.0,
    "help_omega_original_first": 0.0,
    "help_omega_corrected_first": 20.0,
    "help_agreement": 0.5,
    "help_unparsed": 0.0,
    "copy_rate": 0.75,
    "edit_distance": 0.1,
    "benign_copy_rate": None,
    "benign_edit_distance": None,
    "unreviewed": 0,
}


def measured(*rows: dict[str, Any], kind: str = "questions") -> dict[str, Any]:
    return {
        "file": "file.jsonl",
        "kind": kind,
        "upstream": "stored answers",
        "corrector": "identity",
        "questions": 2,
        "answers": 2,
        "scores": [{"score": "help", "judge": "local:judge", "answers": 2}],
        "rows": list(rows),
    }


WRITTEN = [
    {"raw": Written("It is red.", None, 10, 0), "stream": Written("It is blue.", 0.0, 10, 1)},
    {"raw": Written("Same.", None, 5, 0), "stream": Written("Same.", 1.0, 5, 1)},
]
QUESTIONS = [FileQuestion("Which colour?", benign=True), FileQuestion("And?", target=3.0)]


def test_tables_leave_out_what_is_not_known() -> None:
    columns = {"{score}_omega": "omega, {score}", "benign_copy_rate": "benign", "copy_rate": "all"}
    rows = method_rows(measured({**ROW, "method": "raw", "copy_rate": None}, ROW), columns)
    assert rows[1] == {
        "method": "stream",
        "omega, help": {"estimate": 10.0, "low": -5.0, "high": 25.0},
        "all": 0.75,
    }
    assert rows[0]["all"] is None


def test_the_page_shows_methods_gains_changes_and_answers() -> None:
    report = file_report(measured(ROW), QUESTIONS, WRITTEN)
    kinds = [block["type"] for block in report.blocks]
    assert kinds.count("table") == 3
    assert [b["file"] for b in report.blocks if b["type"] == "figure"] == [
        "plots/methods.svg",
        "plots/edit-distance.svg",
    ]
    assert "2 answers to 2 questions of kind questions" in report.lead
    assert "Judged by help: local:judge." in report.lead
    shown = [block for block in report.blocks if block["type"] == "compare"]
    assert [(block["left"], block["right"]) for block in shown] == [
        ("It is red.", "It is blue."),
        ("Same.", "Same."),
    ]
    titles = [block["title"] for block in report.blocks if block["type"] == "section"]
    assert titles == ["Answers", "Which colour?", "And?"]


@pytest.mark.parametrize("kind", ["xstest", "beavertails", "hh", "llmfao"])
def test_answers_of_other_kinds_are_not_shown(kind: str) -> None:
    report = file_report(measured(ROW, kind=kind), QUESTIONS, WRITTEN)
    assert not [block for block in report.blocks if block["type"] == "compare"]
    assert "Which colour?" not in str(report.blocks)
    (said,) = [block["text"] for block in report.blocks if block["type"] == "section"]
    assert "may hold harmful text" in said


def test_a_page_without_gains_and_without_judges() -> None:
    unknown = {name: None if "omega" in name else value for name, value in ROW.items()}
    report = file_report(measured(unknown), QUESTIONS, WRITTEN)
    assert any("No gain can be drawn" in block.get("text", "") for block in report.blocks)
    bare = {name: value for name, value in ROW.items() if "help" not in name}
    report = file_report(measured(bare) | {"scores": []}, QUESTIONS, WRITTEN)
    assert report.lead.endswith("Not judged.")
    assert [block["type"] for block in report.blocks].count("table") == 2
    raw_only = file_report(measured({**ROW, "method": "raw"}), QUESTIONS, WRITTEN)
    assert not [block for block in raw_only.blocks if block["type"] in ("figure", "compare")]


def test_the_histogram_counts_the_unchanged_apart() -> None:
    figure = plot_changes({"aligner": [0.0, 0.25, 3.0], "stream": [0.0, 0.0, 0.95]})
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["aligner, 1 unchanged", "stream, 2 unchanged"]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights[0] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]  # what is above 1 counts as 1
    assert heights[1] == [0] * 9 + [1]


def test_a_score_without_judgements_does_not_hide_the_others_gains() -> None:
    unknown = {n.replace("help", "harm"): None for n in ROW if n.startswith("help")}
    both = measured(ROW | unknown)
    both["scores"].append({"score": "harm", "judge": "local:judge", "answers": 2})
    files = [b["file"] for b in file_report(both, QUESTIONS, WRITTEN).blocks if "file" in b]
    assert "plots/methods.svg" in files


def test_markup_in_texts_and_names_shows_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    written = [{"raw": Written(evil, None, 9, 0), "stream": Written(f"{evil}!", 0.0, 9, 1)}]
    told = measured(ROW) | {"file": evil, "upstream": evil, "corrector": evil}
    page = file_report(told, [FileQuestion(evil)], written).save(tmp_path).read_text()
    assert "alert(1)" in page
    assert evil not in page
