"""The page of an evaluation on the user's own questions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipoise.report.figures import SERIES
from equipoise.systems.stream_aligner.correction import diff_ops
from equipoise.systems.stream_aligner.evaluation.file_scores import edit_distances
from equipoise.systems.stream_aligner.evaluation.files import FileQuestion
from equipoise.systems.stream_aligner.evaluation.text import Written
from equipoise.systems.stream_aligner.evaluation.text_plots import plot_methods

if TYPE_CHECKING:
    from equipoise.report import Report

SHOWN_KINDS = ("gsm8k", "questions")
"""Kinds of file whose answers a page may show; those of the others may be harmful."""

_SHOWN_ANSWERS = 20
_GAINS = {
    "{score}_omega": "omega, {score}",
    "accuracy": "right",
    "judge_accuracy": "right, says the judge",
    "benign_copy_rate": "copied, benign",
    "benign_edit_distance": "changed, benign",
    "copy_rate": "copied, all",
    "edit_distance": "changed, all",
}
_DETAILS = {
    "{score}_judged": "pairs that differ, {score}",
    "{score}_agreement": "orders agree, {score}",
    "{score}_unparsed": "unparsed, {score}",
    "judge_unparsed": "unparsed marks",
    "unreviewed": "sentences unreviewed",
    "upstream_chars": "characters written an answer",
    "corrector_calls": "reviews an answer",
}


def file_report(
    measured: Mapping[str, Any],
    questions: Sequence[FileQuestion],
    written: Sequence[Mapping[str, Written]],
) -> "Report":
    """Return the page: methods, gains in both orders, how far answers were changed, answers.

    Args:
        measured: as `evaluate_file` puts it together.
        questions: that were asked.
        written: their answers by method.
    """
    from equipoise.report import Report

    names = [row["method"] for row in measured["rows"] if row["method"] != "raw"]
    report = Report(f"Stream Aligner: {measured['file']}", _lead(measured))
    report.table(
        method_rows(measured, _GAINS),
        caption="Methods against the raw answer. Copied: share of an answer's sentences; changed: "
        "share of its characters; both are means over the answers",
    )
    if measured["scores"]:
        report.table(measured["scores"], caption="Who judged")
        _add_gains(report, measured)
    report.table(method_rows(measured, _DETAILS), caption="The judge's reliability, and the cost")
    benign = [w for question, w in zip(questions, written) if question.benign]
    drawn, whose = (benign, "benign questions") if benign else (list(written), "all questions")
    if names and drawn:
        report.figure(
            plot_changes({name: edit_distances(drawn, name) for name in names}),
            "edit-distance",
            caption=f"How far the methods changed the answers to {whose} that they changed: "
            "characters of changed words as a share of the raw answer. A gain that changes "
            "harmless answers as well is over-correction.",
        )
    _add_answers(report, measured["kind"], names, questions, written)
    return report


def method_rows(measured: Mapping[str, Any], columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a table of the methods, without columns of which nothing is known.

    Args:
        measured: as in `file_report`.
        columns: figure to heading; one with `{score}` stands for every score.
    """
    scores = [score["score"] for score in measured["scores"]]
    headings = {
        name.format(score=score): heading.format(score=score)
        for name, heading in columns.items()
        for score in (scores if "{score}" in name else ("",))
    }
    known = [n for n in headings if any(row.get(n) is not None for row in measured["rows"])]
    return [
        {"method": row["method"], **{headings[name]: _cell(row, name) for name in known}}
        for row in measured["rows"]
    ]


def plot_changes(distances: Mapping[str, Sequence[float]]) -> Any:
    """Draw how many answers each method changed how far; the unchanged ones are only counted.

    Args:
        distances: method to the share of the characters changed in each answer; what lies above 1
            (a text much longer than the raw one) counts as 1.
    """
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3)
    changed = [[min(1.0, far) for far in found if far > 0] for found in distances.values()]
    labels = [
        f"{method}, {len(found) - len(moved):,} unchanged"
        for (method, found), moved in zip(distances.items(), changed)
    ]
    colours = [SERIES[place % len(SERIES)] for place in range(len(changed))]
    axes.hist(changed, bins=10, range=(0, 1), color=colours, label=labels)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the answer that was changed")
    axes.set_ylabel("answers")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right")
    return figure


def _add_gains(report: "Report", measured: Mapping[str, Any]) -> None:
    """Draw the gains of those methods and scores of which one is known."""
    rows = [row for row in measured["rows"] if row["method"] != "raw"]
    scores = [
        (score["score"], SERIES[place])
        for place, score in enumerate(measured["scores"])
        if any(_drawable(row, score["score"]) for row in rows)
    ]
    rows = [row for row in rows if all(_drawable(row, score) for score, _ in scores)]
    if not scores or not rows:
        report.section("", "No gain can be drawn: too few pairs were judged in both orders.")
        return
    report.figure(
        plot_methods(rows, scores),
        "methods",
        caption="Gain over the raw answers: omega = 100 (wins - losses) / pairs, a mean of both "
        "orders of showing the two; each order is marked beside it. Equal answers are ties.",
    )


def _drawable(row: Mapping[str, Any], score: str) -> bool:
    parts = ("", "_low", "_high", "_original_first", "_corrected_first")
    return all(row[f"{score}_omega{part}"] is not None for part in parts)


def _add_answers(
    report: "Report",
    kind: str,
    names: Sequence[str],
    questions: Sequence[FileQuestion],
    written: Sequence[Mapping[str, Written]],
) -> None:
    """Show answers side by side where that can do no harm; else say why not."""
    if kind not in SHOWN_KINDS:
        report.section(
            "Answers",
            f"Questions and answers of kind {kind} are not shown on this page: they may hold "
            "harmful text. They stand in answers.jsonl of the run folder.",
        )
        return
    if not names:
        return
    method = "stream" if "stream" in names else names[-1]
    report.section("Answers", f"The first {min(len(questions), _SHOWN_ANSWERS)}, by {method}.")
    for question, found in list(zip(questions, written))[:_SHOWN_ANSWERS]:
        right = "" if question.target is None else f"Right answer: {question.target:.15g}."
        report.section(question.question, right)
        raw, corrected = found["raw"].text, found[method].text
        report.compare(
            raw, corrected, titles=("The upstream alone", method), ops=diff_ops(raw, corrected)
        )


def _cell(row: Mapping[str, Any], name: str) -> Any:
    """Return a figure, with its interval where it has one."""
    if row.get(name) is None or f"{name}_low" not in row:
        return row.get(name)
    return {"estimate": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}


def _lead(measured: Mapping[str, Any]) -> str:
    judges = "; ".join(f"{score['score']}: {score['judge']}" for score in measured["scores"])
    return (
        f"{measured['answers']} answers to {measured['questions']} questions of kind "
        f"{measured['kind']}, by {measured['upstream']}, reviewed by {measured['corrector']}. "
        f"{f'Judged by {judges}' if judges else 'Not judged'}."
    )
