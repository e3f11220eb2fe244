"""Regenerate what documents take from the code and from committed results.

`python -m docs.generate` rewrites; `--check` says which files would change and exits 1.
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.stream_aligner_science import rows_of
from equipoise.cli import build_app
from equipoise.core.planned import planned
from equipoise.core.rooms import rooms

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def results(name: str) -> dict[str, Any]:
    """Return a committed result file, empty where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def rooms_table() -> str:
    """Return the ten rooms with their state."""
    rows: list[list[str]] = []
    for room in sorted([*rooms().values(), *planned().values()], key=lambda room: room.name):
        title = room.title.replace("|", "\\|")
        if room.verbs:
            state = "works: " + ", ".join(f"`{verb}`" for verb in sorted(room.verbs))
            name = f"[`{room.slug}`](docs/rooms/{room.slug}.md)"
        else:
            state, name = "planned", f"`{room.slug}`"
        rows.append([name, title, state])
    return table(["room", "system", "state"], rows)


def figures_table() -> str:
    """Return the figures of every result file, the foundation's first, as recorded."""
    names = sorted((p.stem for p in RESULTS.glob("*.json")), key=lambda n: (n != "foundation", n))
    return figures_of([results(name) for name in names])


def figures_of(records: list[dict[str, Any]]) -> str:
    """Return the figures of some result files as one table."""
    found = [record for record in records if record.get("figures")]
    rows = [cells for record in found for cells in map(figure_cells, record["figures"]) if cells]
    if not rows:
        return "Not measured yet: `make bench`."
    return table(["figure", "ours", "beside", "how"], rows) + "\n\n" + measured_on(found)


def figure_cells(figure: dict[str, str]) -> list[str]:
    """Return a figure's cells; of those that name targets, only where one is set."""
    if "what" not in figure:
        return [figure["name"], figure["value"], figure.get("beside", ""), figure.get("note", "")]
    if not figure["target"]:
        return []
    goal = {"yes": "reached", "no": "missed"}.get(figure["reached"], "not measured")
    how = f"goal {figure['target']}: {goal}"
    if figure["conditions"]:
        how += f"; {figure['conditions']}"
    return [figure["what"], figure["ours"], figure["peer"], how]


def measured_on(records: list[dict[str, Any]]) -> str:
    """Return the line below a table of figures."""
    machines = " and ".join(dict.fromkeys(record["machine"] for record in records))
    return f"Measured by `make bench` on {machines}. A ratio compares two things of one run."


def targets_table(name: str) -> str:
    """Return the figures of a result file that name their targets, each with all it says."""
    record = results(name)
    if not record.get("figures"):
        return "Not measured yet: `make bench`."
    columns = ["what", "ours", "target", "reached", "peer", "conditions"]
    rows = [
        [figure[column].removeprefix(f"{name}: ") for column in columns]
        for figure in record["figures"]
    ]
    loads = [part["load_before"] for part in record.values() if "load_before" in part]
    busy = f" Load before the parts: {min(loads):g} to {max(loads):g}." if loads else ""
    return table(columns, rows) + "\n\n" + measured_on([record]) + busy


def science_table() -> str:
    """Return what the stream aligner's experiments came to: a row an experiment."""
    science = results("stream_aligner").get("science")
    if not science:
        return "Not measured yet: `equipoise stream-aligner reproduce --preset small`."
    rows = rows_of(science)
    return table(list(rows[0]), [list(row.values()) for row in rows])


def rflaf_sets() -> str:
    """Return rflaf's scores beside its baselines: a row a data set, the best one in bold."""
    part = results("rflaf").get("sets")
    if part is None:
        return "Not measured yet: `make bench`."
    models = list(dict.fromkeys(row["model"] for row in part["rows"]))
    sets: dict[str, dict[str, Any]] = {}
    for row in part["rows"]:
        sets.setdefault(row["data"], {})[row["model"]] = row
    lines = []
    for name, scores in sets.items():
        best = max(scores, key=lambda model: scores[model]["mean"])
        cells = []
        for model in models:
            row = scores[model]
            text = f"{row['mean']:.3f} ± {(row['high'] - row['low']) / 2:.3f}"
            cells.append(f"**{text}**" if model == best else text)
        seconds = f"{scores[models[0]]['fit_seconds']:.1f}"
        lines.append([name, next(iter(scores.values()))["metric"], *cells, seconds])
    return table(["data", "metric", *models, f"{models[0]}'s fit, s"], lines)


def rflaf_published() -> str:
    """Return the published test errors of the synthetic sets beside ours."""
    part = results("rflaf").get("synthetic")
    if part is None:
        return "Not measured yet: `make bench`."
    lines = [
        [
            row["data"],
            row["model"],
            *("" if row.get(k) is None else f"{row[k]:.2g}" for k in ("published", "measured")),
        ]
        for row in part["rows"]
    ]
    return table(["set", "model", "published MSE, best epoch", "ours"], lines)


def command_help() -> str:
    """Return the help of every command, as the command line prints it."""
    app = build_app()
    lines = [["equipoise"], *([name] for name in sorted(app) if not name.startswith("-"))]
    groups = ("runs", "models", "data")
    for name in groups:
        lines += [[name, verb] for verb in app[name] if not verb.startswith("-")]
    for room in rooms().values():
        lines += [[room.slug, verb] for verb in room.verbs]
    parts = ["# Command line", "", "Generated from the commands themselves by `make docs`.", ""]
    for line in lines:
        tokens = [] if line == ["equipoise"] else line
        text = help_text(app, tokens)
        parts += [f"## {' '.join(['equipoise', *tokens])}", "", "```text", text, "```", ""]
    return "\n".join(parts)


def help_text(app: Any, tokens: list[str]) -> str:
    """Return the help of one command at a width of 100, without trailing blanks."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=100, force_terminal=False, color_system=None)
    with contextlib.redirect_stdout(buffer):
        app.help_print(tokens, console=console)
    return "\n".join(line.rstrip() for line in buffer.getvalue().strip().splitlines())


def papers() -> str:
    """Return the BibTeX of all ten rooms."""
    entries = [*rooms().values(), *planned().values()]
    return "\n\n".join(r.bibtex.strip() for r in sorted(entries, key=lambda r: r.name)) + "\n"


def fill(text: str, name: str, content: str) -> str:
    """Return `text` with what stands between the markers of `name` replaced."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"no markers {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def pages() -> dict[Path, str]:
    """Return every generated file with the content that it should have."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = fill(readme, "rooms", rooms_table())
    readme = fill(readme, "figures", figures_table())
    room = ROOT / "src" / "equipoise" / "systems" / "rflaf" / "README.md"
    rflaf = room.read_text(encoding="utf-8")
    rflaf = fill(rflaf, "sets", rflaf_sets())
    rflaf = fill(rflaf, "published", rflaf_published())
    rflaf = fill(rflaf, "figures", figures_of([results("rflaf")]))
    aligner_room = room.parent.parent / "stream_aligner" / "README.md"
    aligner = fill(
        aligner_room.read_text(encoding="utf-8"), "figures", targets_table("stream_aligner")
    )
    aligner = fill(aligner, "science", science_table())
    return {
        ROOT / "README.md": readme,
        room: rflaf,
        aligner_room: aligner,
        ROOT / "docs" / "cli.md": command_help(),
        ROOT / "docs" / "papers.bib": papers(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name those that differ."""
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(("stale: " if "--check" in arguments else "wrote ") + str(path.relative_to(ROOT)))
        if "--check" not in arguments:
            path.write_text(pages()[path], encoding="utf-8")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
