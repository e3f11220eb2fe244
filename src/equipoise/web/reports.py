"""A run's report and files, served so that nothing in them can act on the studio."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from equipoise.report.media import TYPES
from equipoise.report.page import policy
from equipoise.report.run_page import run_html
from equipoise.serving.security import POLICY
from equipoise.web.run_index import RunIndex

# Model text stands in reports. The frame has an origin of its own, and the only script it may run
# is the report's, by its hash.
SANDBOX = "allow-scripts allow-popups allow-popups-to-escape-sandbox"
REPORT_POLICY = f"{policy()}; frame-ancestors 'self'; sandbox {SANDBOX}"
FRAMING_POLICY = f"{POLICY}; frame-src 'self'"
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

_SOURCES = ("run.json", "config.json", "results.json", "metrics.jsonl", "report.json")


async def run_report(request: Request) -> Response:
    """Return the run's saved report, or one drawn now where it is absent or older than the run."""
    folder = _folder(request)
    saved = folder / "report.html"
    if is_current(saved, folder):
        text = await run_in_threadpool(saved.read_text, encoding="utf-8", errors="replace")
    else:
        text = await run_in_threadpool(run_html, folder)
    return HTMLResponse(text, headers={"content-security-policy": REPORT_POLICY})


def is_current(report: Path, folder: Path) -> bool:
    """Return whether a saved report is at least as new as everything it was made from."""
    try:
        made = report.stat().st_mtime_ns
        changed = [
            (folder / name).stat().st_mtime_ns for name in _SOURCES if (folder / name).exists()
        ]
    except OSError:
        return False
    return made >= max(changed, default=0)


def run_file(request: Request) -> Response:
    """Return a file of a run folder: media and plots to be shown, all else as plain text."""
    index: RunIndex = request.app.state.index
    path = index.file(_folder(request), request.path_params["file"])
    kind = TYPES.get(path.suffix.lower(), "text/plain; charset=utf-8")
    if path.suffix.lower() in (".safetensors", ".gguf", ".bin"):
        kind = "application/octet-stream"
    headers = {"content-security-policy": FILE_POLICY}
    if kind.startswith(("video/", "audio/")):
        # too large for the page itself; the sandboxed report that shows it counts as another site
        headers["cross-origin-resource-policy"] = "cross-origin"
    return FileResponse(path, media_type=kind, headers=headers)


def _folder(request: Request) -> Path:
    index: RunIndex = request.app.state.index
    return index.folder(request.path_params["room"], request.path_params["name"])
