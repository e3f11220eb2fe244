"""The tour's report: board, corrections, votes, demos, and what each stage cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.core.runs import Run

if TYPE_CHECKING:
    from equipoise.report import Report
    from equipoise.systems.libra import Board

_SHOWN = 4
LEAD = (
    "A small language model answered real questions under four settings; in one of them every "
    "sentence was reviewed before the next was written. Programs judged what it can do and what it "
    "should not do; the board ranks by balance of the two."
)


def write_tour_report(
    run: Run,
    board: "Board",
    *,
    judged: dict[str, Any],
    human: dict[str, Any] | None,
    links: list[dict[str, Any]],
    stages: list[dict[str, Any]],
) -> Path:
    """Write `report.html` of a tour and return its path."""
    from equipoise.report import Report
    from equipoise.systems.libra import add_board

    report = Report("A tour of Equipoise", lead=LEAD)
    add_board(report, board)
    _corrections(report, run)
    report.section(
        "Judgements become preferences",
        f"Every two judged answers to one item make a comparison record: {judged['records']} in "
        f"{judged['path']}, ready for training. Rated, they give:",
    )
    report.table(judged["rows"], caption="Bradley-Terry ratings from judged pairs; 95 % intervals")
    if human is not None:
        report.section(
            "Human votes",
            f"{human['votes']} votes on {human['models']} models from {human['file']} "
            f"({human['skipped']} rows skipped), rated in one fit.",
        )
        report.table(human["rows"], caption="The best of them; 95 % intervals and rank ranges")
    if links:
        report.section("The rooms", "Each room's demo has a report of its own.")
        for link in links:
            if (run.path / link["href"]).exists():
                report.link(link["title"], link["href"])
    report.section("What it took")
    report.table(
        [
            {
                "stage": stage["name"],
                "status": stage["status"],
                "seconds": f"{stage['seconds']:.1f}",
                "peak memory, MB": round(stage["peak_bytes"] / 1e6),
                "remark": stage["remark"],
            }
            for stage in stages
        ],
        caption="Memory of all processes of the tour together",
    )
    return report.save(run.path)


def _corrections(report: "Report", run: Run) -> None:
    """Show answers that review changed, those whose score it changed first."""
    from equipoise.systems.stream_aligner import diff_ops

    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for _, row in iter_jsonl(run.path / "answers.jsonl"):
        if not isinstance(row, JsonlProblem) and row["model"] in ("plain", "reviewed"):
            rows.setdefault((row["task"], row["item"]), {})[row["model"]] = row
    pairs = [(p["plain"], p["reviewed"]) for p in rows.values() if len(p) == 2]
    pairs = [(a, b) for a, b in pairs if a["reply"] and b["reply"] is not None]
    changed = [(a, b) for a, b in pairs if a["reply"] != b["reply"]]
    better = sum((b["value"] or 0) > (a["value"] or 0) for a, b in changed)
    worse = sum((b["value"] or 0) < (a["value"] or 0) for a, b in changed)
    report.section(
        "Sentence by sentence",
        f"Review changed {len(changed)} of {len(pairs)} answers: {better} of them scored better "
        f"afterwards, {worse} worse. The corrector checks every stated sum exactly and keeps a "
        "house policy of two rules; the model goes on from the corrected text.",
    )
    changed.sort(key=lambda pair: -abs((pair[1]["value"] or 0) - (pair[0]["value"] or 0)))
    for plain, reviewed in changed[:_SHOWN]:
        report.section("", f"Question: {plain['question']}")
        report.compare(
            plain["reply"],
            reviewed["reply"],
            titles=(f"as written (score {_score(plain)})", f"reviewed (score {_score(reviewed)})"),
            ops=diff_ops(plain["reply"], reviewed["reply"]),
        )


def _score(row: dict[str, Any]) -> str:
    return "-" if row["value"] is None else f"{row['value']:g}"
