"""Two runs side by side: what was set otherwise, what came out, how it went."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from equipoise.core.config import diff_configs
from equipoise.core.files import from_json
from equipoise.core.metrics import read_metrics
from equipoise.report.curves import SHOWN, Series, curve_svg, numeric_series
from equipoise.report.results import flatten_results, tables_by_kind
from equipoise.report.tables import is_interval, is_number, table_html
from equipoise.serving.pages import StrictJSON
from equipoise.web.pages import pages
from equipoise.web.reports import FILE_POLICY
from equipoise.web.run_index import RunIndex, as_json, read_object


def compare_page(request: Request) -> Response:
    """Show two runs, named by `a` and `b` or by two `run`s; with fewer, say how to pick them."""
    picked = request.query_params.getlist("run")
    if len(picked) == 2:
        return RedirectResponse(f"/compare?{urlencode({'a': picked[0], 'b': picked[1]})}", 303)
    index: RunIndex = request.app.state.index
    choices = [as_json(info) for info in index.runs()]
    names = {side: request.query_params.get(side, "") for side in ("a", "b")}
    context: dict[str, Any] = {"title": "Compare", "choices": choices, "names": names}
    if not all(names.values()):
        note = "Pick two runs." if len(picked) < 2 else "Pick two runs, not more."
        return pages().response(request, "compare.html", **context, note=note, found=None)
    found = _compare(index, *names.values())
    return pages().response(request, "compare.html", **context, note="", found=_shown(found))


def compare_json(request: Request) -> Response:
    """Return what differs between the runs `a` and `b`."""
    names = [request.query_params.get(side, "") for side in ("a", "b")]
    if not all(names):
        raise HTTPException(422, "Name two runs as ?a=ROOM/RUN&b=ROOM/RUN.")
    found = _compare(request.app.state.index, *names)
    return StrictJSON(found)


def compare_curve(request: Request) -> Response:
    """Return one metric of both runs as a picture."""
    index: RunIndex = request.app.state.index
    metric = request.query_params.get("metric", "")
    curves: dict[str, Series] = {}
    for side in ("a", "b"):
        series = _series(_folder(index, request.query_params.get(side, "")))
        if metric in series:
            curves[side.upper()] = series[metric]
    if not curves:
        raise HTTPException(404, f"Neither run has a metric called {metric!r}.")
    svg = curve_svg(metric, curves)
    return Response(
        svg, media_type="image/svg+xml", headers={"content-security-policy": FILE_POLICY}
    )


def _folder(index: RunIndex, name: str) -> Path:
    room, _, folder = name.partition("/")
    return index.folder(room, folder)


def _series(folder: Path) -> dict[str, Series]:
    return numeric_series(read_metrics(folder / "metrics.jsonl"))


def _compare(index: RunIndex, first: str, second: str) -> dict[str, Any]:
    """Return both runs, `config` and `measured` as name -> pair, and the metrics of either."""
    folders = [_folder(index, name) for name in (first, second)]
    configs = [read_object(folder / "config.json") for folder in folders]
    results = [
        flatten_results(from_json(read_object(folder / "results.json"))) for folder in folders
    ]
    series = [_series(folder) for folder in folders]
    return {
        "runs": [as_json(index.info(folder)) for folder in folders],
        "config": diff_configs(*configs),
        "measured": {
            name: (results[0].get(name), results[1].get(name))
            for name in dict.fromkeys([*results[0], *results[1]])
        },
        "metrics": list(dict.fromkeys([*series[0], *series[1]])),
    }


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison as the page's parts; the tables are escaped where they are made."""
    rows = [
        {"result": name, "a": a, "b": b, "difference": _difference(a, b)}
        for name, (a, b) in found["measured"].items()
        if not isinstance(a, list) and not isinstance(b, list)
    ]
    settings = [{"setting": name, "a": a, "b": b} for name, (a, b) in found["config"].items()]
    names = {"a": found["runs"][0]["id"], "b": found["runs"][1]["id"]}
    return {
        "runs": found["runs"],
        "config": table_html(settings) if settings else "",
        "results": tables_by_kind(rows, ("a", "b")),
        "curves": [
            {"name": metric, "href": f"/compare/curve.svg?{urlencode(names | {'metric': metric})}"}
            for metric in found["metrics"][:SHOWN]
        ],
        "left": found["metrics"][SHOWN:],
    }


def _difference(a: Any, b: Any) -> float | None:
    first, second = (value["estimate"] if is_interval(value) else value for value in (a, b))
    return second - first if is_number(first) and is_number(second) else None
