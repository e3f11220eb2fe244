"""Pages from templates, all inside one frame: navigation, light and dark, fit for a phone; JSON."""

import json
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from equipoise.core.files import to_json


class Pages:
    """The templates of one package, each extending `frame.html`; everything they show is escaped.

    In a template `request` is the request, `site` the name of the server, `nav` its links.
    """

    def __init__(self, package: str, **filters: Any) -> None:
        """Find templates in the folder `templates` of `package`, then among the frame's own.

        Args:
            package: dotted name, e.g. `equipoise.systems.libra`.
            **filters: functions that its templates may call as filters.
        """
        folders = dict.fromkeys([package, "equipoise.serving"])
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(name) for name in folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(filters)

    def response(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """Return a template filled in for the request."""
        # a request refused in front of the application knows none
        state = getattr(request.scope.get("app"), "state", None)
        whole = {
            "request": request,
            "title": "",
            "site": getattr(state, "site", "Equipoise"),
            "nav": getattr(state, "nav", ()),
            "here": request.url.path,
        }
        text = self._environment.get_template(template).render(whole | context)
        # what a model wrote may hold half of a surrogate pair, which UTF-8 cannot
        return HTMLResponse(text.encode("utf-8", "replace"), status)


class StrictJSON(JSONResponse):
    """JSON that every reader takes: NaN and infinity as strings, all bytes ASCII."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(to_json(content), separators=(",", ":")).encode("ascii")


@cache
def frame_pages() -> Pages:
    """Return the pages that every server has."""
    return Pages("equipoise.serving")
