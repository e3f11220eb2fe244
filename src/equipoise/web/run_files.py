"""The files of run folders, shown so that nothing in them can act on the studio.

A report holds text of models. It is shown in a frame without an origin of its own: no cookie goes
with what it asks for, and its script (the report's own, by hash) cannot reach the studio. So the
address of a file carries a proof, made anew by each studio, without which there is no file: other
sites' pages cannot guess it.
"""

import hashlib
import hmac
import mimetypes
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, HTMLResponse, Response

from equipoise.core.errors import MissingData
from equipoise.core.runs import info_of
from equipoise.report import render_run, run_html
from equipoise.report.page import policy
from equipoise.web.run_index import RunIndex, run_id

_SANDBOX = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
_TEXT = (".json", ".jsonl", ".csv", ".txt", ".md", ".log", ".toml", ".bib")
_SHOWN = ("image/", "audio/", "video/")


@dataclass(frozen=True)
class RunFiles:
    """Addresses of run files and what is answered there."""

    index: RunIndex
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def address(self, folder: Path, relative: str = "report.html") -> str:
        """Return the address of a run's file, good as long as this studio runs."""
        name = run_id(folder)
        return f"/files/{self._proof(name)}/{quote(name)}/{quote(relative)}"

    def response(self, proof: str, room: str, name: str, relative: str) -> Response:
        """Return a run's file, a missing report made first.

        Raises:
            MissingData: the proof is wrong, or there is no such file.
        """
        expected = self._proof(f"{room}/{name}")
        if not hmac.compare_digest(proof.encode(), expected.encode()):
            raise MissingData("This address is no longer good; open the run from the list of runs.")
        folder = self.index.folder(room, name)
        if relative == "report.html" and not (folder / relative).exists():
            return self._guarded(HTMLResponse(self._report(folder)))
        path = self.index.file(folder, relative)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if path.suffix.lower() in _TEXT:
            kind = "text/plain"
        inline = kind in ("text/html", "text/plain") or kind.startswith(_SHOWN)
        where = "inline" if inline else "attachment"
        response = FileResponse(
            path, media_type=kind, filename=path.name, content_disposition_type=where
        )
        return self._guarded(response)

    def _proof(self, name: str) -> str:
        return hmac.new(self.secret, name.encode("utf-8"), hashlib.sha256).hexdigest()[:32]

    def _report(self, folder: Path) -> str:
        """Return the page of a run that has none; only a run that is over keeps it."""
        if info_of(folder).status in ("done", "failed"):
            try:
                return render_run(folder).read_text(encoding="utf-8")
            except OSError:  # a folder that cannot be written can still be shown
                pass
        return run_html(folder)

    def _guarded(self, response: Response) -> Response:
        rules = f"{_SANDBOX}; {policy()}; frame-ancestors 'self'"
        response.headers["content-security-policy"] = rules
        # asked for from a frame without origin, which counts as another site
        response.headers["cross-origin-resource-policy"] = "cross-origin"
        response.headers["referrer-policy"] = "no-referrer"
        return response
