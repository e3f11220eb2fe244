"""The room's pages in the studio: upload a table, watch its fit, predict, take the model away."""

import io
import math
import zipfile
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.runs import Run
from equipoise.serving import Pages, StrictJSON, takes_bodies
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.jobs import UPLOAD_LIMIT, Busy, Jobs

SETS = (
    "diabetes",
    "breast_cancer",
    "digits",
    "friedman1",
    "friedman2",
    "friedman3",
    "single_index",
)
SOLVERS = ("varpro", "als", "adam")
METRICS = {"r2": "R²", "accuracy": "accuracy"}
OPTIONS = {"target": str, "n_components": int, "n_basis": int, "rank": int, "solver": str}
PLOTS = {
    "activation": "The learnt activation with its 90 % band; beneath, where the data lie.",
    "predicted-vs-true": "Predictions with 90 % intervals over the truth of test rows.",
    "coverage": "How often intervals hold the truth, over how often they should.",
    "gcv-path": "Generalised cross-validation over the penalty; the mark was chosen.",
}
MOST_ROWS = 10_000
_LEVEL = 0.9
_FORM = UPLOAD_LIMIT + 2**16


def routes() -> list[BaseRoute]:
    """Return the routes, relative to `/rflaf`."""
    return [
        Route("/", _page),
        Route("/fit", _fit_form, methods=["POST"]),
        Route("/runs/{run}", _run_page),
        Route("/runs/{run}/{plot}.svg", _plot),
        Route("/runs/{run}/model.zip", _model),
        Route("/v1/fit", _fit_json, methods=["POST"]),
        Route("/v1/runs/{run}", _run_json),
        Route("/v1/runs/{run}/predict", _predict_json, methods=["POST"]),
    ]


@cache
def _pages() -> Pages:
    return Pages("equipoise.systems.rflaf")


@lru_cache(maxsize=8)
def _jobs_of(root: Path) -> Jobs:
    return Jobs(root)


def _jobs(request: Request) -> Jobs:
    return _jobs_of(Path(request.app.state.runs_root))


def _page(request: Request) -> Response:
    return _form(request, {})


def _form(request: Request, given: Mapping[str, Any], problem: str = "") -> Response:
    """Return the form with the values given; with a problem it is a refusal."""
    config = RFLAFConfig()
    values = {"data": "", "target": "", "n_components": 100, "solver": config.solver}
    values |= {"n_basis": config.n_basis, "rank": config.rank}
    return _pages().response(
        request,
        "rflaf.html",
        status=422 if problem else 200,
        title="RFLAF",
        sets=SETS,
        solvers=SOLVERS,
        values={name: given.get(name, value) for name, value in values.items()},
        problem=problem,
        limit=UPLOAD_LIMIT // 2**20,
    )


@takes_bodies(_FORM)
async def _fit_form(request: Request) -> Response:
    try:
        run = await _start(request)
    except InvalidInput as error:
        return _form(request, await request.form(), str(error))
    return RedirectResponse(f"/rflaf/runs/{run}", 303)


@takes_bodies(_FORM)
async def _fit_json(request: Request) -> Response:
    return StrictJSON({"run": await _start(request)}, 202)


async def _start(request: Request) -> str:
    """Start the fit that a form asks for."""
    async with request.form(max_files=1, max_fields=20) as form:
        upload = form.get("file")
        given = {name: str(form.get(name) or "").strip() for name in OPTIONS}
        options = [text for name, value in given.items() if value for text in _option(name, value)]
        if isinstance(upload, UploadFile) and upload.filename:
            if upload.size is not None and upload.size > UPLOAD_LIMIT:
                raise InvalidInput(f"the file is larger than {UPLOAD_LIMIT // 2**20} MiB")
            work: Any = (upload.filename, options, upload.file)
        else:
            work = (str(form.get("data") or ""), options)
            if work[0] not in SETS:
                raise InvalidInput(f"send a file, or name a data set: {', '.join(SETS)}")
        try:
            return await run_in_threadpool(_jobs(request).start, *work)
        except Busy as error:
            raise HTTPException(503, str(error)) from None


def _option(name: str, value: str) -> list[str]:
    kind = OPTIONS[name]
    if kind is int and not (value.isascii() and value.isdecimal() and len(value) < 6):
        raise InvalidInput(f"{name} is {value!r}; it must be a whole number")
    return [f"--{name.replace('_', '-')}={value}"]


def _state(request: Request) -> dict[str, Any]:
    """Return a run's status with its results once there are any."""
    run = request.path_params["run"]
    status, reason = _jobs(request).status(run)
    state: dict[str, Any] = {"run": run, "status": status}
    if reason:
        state["reason"] = reason
    if status == "done":
        folder = _jobs(request).folder(run)
        state["results"] = Run.open(folder).results
        _, columns = _trained(folder)
        if columns is not None:
            state |= {
                "target": columns.target,
                "task": columns.task,
                "columns": [*columns.numeric, *columns.coded],
            }
    return state


def _run_json(request: Request) -> Response:
    return StrictJSON(_state(request))


def _run_page(request: Request) -> Response:
    state = _state(request)
    plots, metric = [], ""
    if state["status"] == "done":
        metric = METRICS.get(state["results"].get("units", {}).get("RFLAF", ""), "score")
        folder = _jobs(request).folder(state["run"])
        plots = [pair for pair in PLOTS.items() if (folder / "plots" / f"{pair[0]}.svg").is_file()]
    shown = {"state": state, "plots": plots, "metric": metric}
    return _pages().response(request, "rflaf_run.html", title="RFLAF fit", **shown)


def _plot(request: Request) -> Response:
    plot = request.path_params["plot"]
    file = _jobs(request).folder(request.path_params["run"]) / "plots" / f"{plot}.svg"
    if plot not in PLOTS or not file.is_file():
        raise MissingData(f"this run has no plot {plot!r}")
    return Response(file.read_bytes(), media_type="image/svg+xml")


def _model(request: Request) -> Response:
    run = request.path_params["run"]
    folder = _jobs(request).folder(run)
    model = folder / "checkpoints" / "model"
    if not model.is_dir():
        raise MissingData("this run holds no model yet")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in (*sorted(model.iterdir()), folder / "columns.json"):
            if file.is_file():
                archive.write(file, f"{run}/{file.name}")
    headers = {"content-disposition": f'attachment; filename="{run}.zip"'}
    return Response(packed.getvalue(), media_type="application/zip", headers=headers)


async def _predict_json(request: Request) -> Response:
    try:
        body = await request.json()
    except ValueError:
        raise InvalidInput("the body must be a JSON object with `rows`") from None
    rows = body.get("rows") if isinstance(body, Mapping) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ROWS:
        raise InvalidInput(f"`rows` must be a list of 1 to {MOST_ROWS} objects")
    if not all(isinstance(row, Mapping) for row in rows):
        raise InvalidInput("each of `rows` must be an object of columns")
    folder = _jobs(request).folder(request.path_params["run"])
    return StrictJSON(await run_in_threadpool(_predict, folder, rows))


def _predict(folder: Path, rows: list[Any]) -> dict[str, list[Any]]:
    import pandas as pd

    from equipoise.systems.rflaf.training import predict_table

    model, columns = _trained(folder)
    if columns is None:
        raise InvalidInput("this run was not made from a table")
    table = pd.DataFrame(rows)
    level = _LEVEL if columns.task == "regression" else None
    found = predict_table(model, columns, table, level)
    return {
        name: [None if isinstance(v, float) and math.isnan(v) else v for v in column.tolist()]
        for name, column in found.items()
    }


def _trained(folder: Path) -> Any:
    path = folder / "checkpoints" / "model" / "meta.json"
    return _loaded(folder, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=4)
def _loaded(folder: Path, stamp: int) -> Any:
    from equipoise.systems.rflaf.training import open_training

    return open_training(folder)
