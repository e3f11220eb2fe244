"""The studio's own addresses: start page, runs, one run and its report, two runs, and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from equipoise.core.planned import planned
from equipoise.core.rooms import Room, rooms
from equipoise.core.runs import RunInfo
from equipoise.serving.pages import StrictJSON
from equipoise.web import comparing, reports
from equipoise.web.pages import pages
from equipoise.web.run_index import RunIndex, as_json, read_object

NAVIGATION = (("Rooms", "/"), ("Runs", "/runs"))
STATUSES = ("running", "done", "failed", "interrupted", "broken")
_RECENT = 8


def routes() -> list[BaseRoute]:
    """Return the routes; the application's state holds the run index."""
    run = "/runs/{room}/{name}"
    return [
        Route("/", start_page),
        Route("/runs", runs_page),
        Route("/runs/table", runs_table),
        Route("/compare", comparing.compare_page),
        Route("/compare/curve.svg", comparing.compare_curve),
        Route(run, run_page),
        Route(f"{run}/status", run_status),
        Route(f"{run}/report.html", reports.run_report),
        Route(run + "/{file:path}", reports.run_file),
        Route("/v1/rooms", rooms_json),
        Route("/v1/runs", runs_json),
        Route(run.replace("/runs", "/v1/runs"), run_json),
        Route("/v1/compare", comparing.compare_json),
        Route("/v1/{rest:path}", nothing_here),
    ]


@dataclass(frozen=True)
class RoomEntry:
    """A room as the start page shows it: built or planned, with its newest run."""

    room: Room
    is_planned: bool
    latest: RunInfo | None


def room_entries(index: RunIndex) -> list[RoomEntry]:
    """Return the rooms that are built, then those that are planned."""
    latest = index.latest()
    return [
        RoomEntry(room, is_planned, latest.get(room.name))
        for is_planned, group in ((False, rooms()), (True, planned()))
        for room in group.values()
    ]


def start_page(request: Request) -> Response:
    """Show the rooms and the newest runs."""
    index: RunIndex = request.app.state.index
    runs = index.runs()
    return pages().response(
        request,
        "start.html",
        title="",
        rooms=room_entries(index),
        runs=[as_json(info) for info in runs[:_RECENT]],
        more=max(0, len(runs) - _RECENT),
    )


def _filters(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "") for name in ("room", "status")}


def _table(request: Request) -> dict[str, Any]:
    """Return what the table of runs shows, with a fingerprint of it."""
    index: RunIndex = request.app.state.index
    rows = [as_json(info) for info in index.runs(**_filters(request))]
    return {
        "rows": rows,
        "picked": request.query_params.getlist("run"),
        "filters": _filters(request),
        "seen": sha256(repr(rows).encode("utf-8")).hexdigest()[:16],
    }


def runs_page(request: Request) -> Response:
    """List the runs, filtered by room and status; the table keeps itself up to date."""
    index: RunIndex = request.app.state.index
    return pages().response(
        request,
        "runs.html",
        title="Runs",
        room_names=sorted({info.room for info in index.runs()}),
        statuses=STATUSES,
        **_table(request),
    )


def runs_table(request: Request) -> Response:
    """Return the table alone; nothing when it is what the page shows already."""
    table = _table(request)
    if request.query_params.get("seen") == table["seen"]:
        return Response(status_code=204)
    return pages().response(request, "runs_table.html", **table)


def run_page(request: Request) -> Response:
    """Show one run: a line about it and its report in a frame that cannot act on the studio."""
    info = _asked_run(request)
    others = [as_json(other) for other in request.app.state.index.runs() if other.path != info.path]
    response = pages().response(
        request, "run.html", title=info.path.name, run=as_json(info), others=others
    )
    response.headers["content-security-policy"] = reports.FRAMING_POLICY
    return response


def run_status(request: Request) -> Response:
    """Return the run's badge, which asks again for itself while the run is going on."""
    return pages().response(request, "run_status.html", run=as_json(_asked_run(request)))


def _asked_run(request: Request) -> RunInfo:
    index: RunIndex = request.app.state.index
    return index.info(index.folder(request.path_params["room"], request.path_params["name"]))


def rooms_json(request: Request) -> Response:
    """Return the rooms with their verbs and newest runs."""
    return StrictJSON({"rooms": [_room(e) for e in room_entries(request.app.state.index)]})


def _room(entry: RoomEntry) -> dict[str, Any]:
    room = entry.room
    return {
        "name": room.name,
        "title": room.title,
        "paper": room.paper,
        "presets": list(room.presets),
        "verbs": list(room.verbs),
        "note": room.note,
        "planned": entry.is_planned,
        "pages": f"/{room.slug}/" if room.pages else None,
        "latest": as_json(entry.latest) if entry.latest else None,
    }


def runs_json(request: Request) -> Response:
    """Return the runs, filtered by `room` and `status`."""
    filters = _filters(request)
    return StrictJSON({"runs": [as_json(i) for i in request.app.state.index.runs(**filters)]})


def run_json(request: Request) -> Response:
    """Return one run with its configuration and results."""
    info = _asked_run(request)
    parts: Mapping[str, Any] = {
        "config": read_object(info.path / "config.json"),
        "results": read_object(info.path / "results.json"),
    }
    return StrictJSON({"run": as_json(info), **parts})


def nothing_here(request: Request) -> Response:
    """Answer any other address under `/v1/`."""
    raise HTTPException(404)
