"""What the studio answers at which address: its pages, its JSON, the files of runs."""

from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from equipoise.core.planned import planned
from equipoise.core.rooms import Room, rooms
from equipoise.core.runs import RunInfo, info_of
from equipoise.report.results import tables_by_kind
from equipoise.report.run_page import duration
from equipoise.serving import POLICY, Pages, StrictJSON
from equipoise.web import comparing
from equipoise.web.run_files import RunFiles
from equipoise.web.run_index import STATUSES, RunIndex, as_json, read_object, run_id

_CURVES = 24


def routes() -> list[BaseRoute]:
    """Return the studio's own routes; plain functions, so that reading files blocks no one else."""
    return [
        Route("/", _start),
        Route("/runs", _runs),
        Route("/runs/{room}/{name}", _run),
        Route("/runs/{room}/{name}/report.html", _report),
        Route("/files/{proof}/{room}/{name}/{relative:path}", _file),
        Route("/compare", _compare),
        Route("/compare/curve.svg", _curve),
        Route("/v1/rooms", _rooms_json),
        Route("/v1/runs", _runs_json),
        Route("/v1/runs/{room}/{name}", _run_json),
    ]


@cache
def _pages() -> Pages:
    filters = {"duration": duration, "run_id": run_id, "when": _when, "dashed": _dashed}
    return Pages("equipoise.web", label=_label, **filters)


def _label(run: RunInfo) -> str:
    """Return what people call a run: its room and verb, once where they are the same."""
    return " ".join(dict.fromkeys([_dashed(run.room), run.verb or run.path.name]))


def _when(started: str) -> str:
    return started[:16].replace("T", " ")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _index(request: Request) -> RunIndex:
    return request.app.state.index


def _files(request: Request) -> RunFiles:
    return request.app.state.files


def _start(request: Request) -> Response:
    return _pages().response(
        request,
        "start.html",
        built=list(rooms().values()),
        planned=list(planned().values()),
        latest=_index(request).latest(),
    )


def _runs(request: Request) -> Response:
    room, status = (request.query_params.get(key, "") for key in ("room", "status"))
    index = _index(request)
    found = index.runs(room, status)
    known = sorted({*rooms(), *(info.room for info in index.runs())})
    return _pages().response(
        request,
        "runs.html",
        title="Runs",
        runs=found,
        known=known,
        room=room.replace("-", "_"),
        wanted=status,
        statuses=STATUSES,
    )


def _run(request: Request) -> Response:
    folder = _index(request).folder(**request.path_params)
    address = _files(request).address(folder)
    response = _pages().response(
        request, "run.html", title=folder.name, run=info_of(folder), report=address
    )
    response.headers["content-security-policy"] = f"{POLICY}; frame-src 'self'"
    return response


def _report(request: Request) -> Response:
    folder = _index(request).folder(**request.path_params)
    return RedirectResponse(_files(request).address(folder), 307)


def _file(request: Request) -> Response:
    return _files(request).response(**request.path_params)


def _compare(request: Request) -> Response:
    index = _index(request)
    picked = [name for name in request.query_params.getlist("run") if name]
    context: dict[str, Any] = {"title": "Compare", "runs": index.runs(), "picked": picked}
    if len(picked) != 2:
        return _pages().response(request, "compare.html", comparison=None, **context)
    first, second = (index.named(name) for name in picked)
    comparison = comparing.compared(first, second)
    names = list(comparing.curves(first, second))
    query = [("run", name) for name in picked]
    plots = [
        (name, "/compare/curve.svg?" + urlencode([*query, ("name", name)], quote_via=quote))
        for name in names[:_CURVES]
    ]
    results = comparing.result_rows(comparison)
    return _pages().response(
        request,
        "compare.html",
        comparison=comparison,
        config=_tables(comparing.config_rows(comparison)),
        results=_tables(results),
        plots=plots,
        left_out=names[_CURVES:],
        **context,
    )


def _tables(rows: list[dict[str, Any]]) -> Markup:
    """Return rows as tables, numbers apart; all that they show has been escaped there."""
    return Markup(tables_by_kind(rows, ("first", "second")))  # noqa: S704


def _curve(request: Request) -> Response:
    index = _index(request)
    picked = request.query_params.getlist("run")
    first, second = (index.named(name) for name in [*picked, "", ""][:2])
    svg = comparing.curve(first, second, request.query_params.get("name", ""))
    rules = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    return Response(svg, media_type="image/svg+xml", headers={"content-security-policy": rules})


def _rooms_json(request: Request) -> Response:
    latest = _index(request).latest()
    listed = [(room, "built") for room in rooms().values()]
    listed += [(room, "planned") for room in planned().values()]
    found = [_room_json(room, state, latest.get(room.name)) for room, state in listed]
    return StrictJSON({"rooms": found})


def _room_json(room: Room, state: str, latest: RunInfo | None) -> dict[str, Any]:
    return {
        "name": room.name,
        "slug": room.slug,
        "title": room.title,
        "paper": room.paper,
        "state": state,
        "presets": list(room.presets),
        "verbs": list(room.verbs),
        "pages": f"/{room.slug}/" if room.pages else None,
        "latest": as_json(latest) if latest else None,
    }


def _runs_json(request: Request) -> Response:
    wanted = (request.query_params.get(key, "") for key in ("room", "status"))
    return StrictJSON({"runs": [as_json(run) for run in _index(request).runs(*wanted)]})


def _run_json(request: Request) -> Response:
    folder = _index(request).folder(**request.path_params)
    parts = {name: read_object(folder / f"{name}.json") for name in ("config", "results")}
    return StrictJSON(as_json(info_of(folder)) | parts)
