"""Errors as a page or as `{"error": {"code", "message"}}`, by the address that was asked for."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from equipoise.core.errors import EquipoiseError, InvalidInput, MissingData, MissingExtra
from equipoise.serving.pages import StrictJSON, frame_pages
from equipoise.serving.policy import HEADERS

_CODES = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.GONE: "gone",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_input",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


def error_response(
    request: Request,
    status: int,
    message: str,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the form that suits the request: JSON under a `/v1/`, else a page."""
    code = code or _CODES.get(HTTPStatus(status), f"status_{status}")
    if wants_json(request):
        body: dict[str, Any] = {"error": {"code": code, "message": message}}
        return StrictJSON(body, status, headers=headers)
    response = frame_pages().response(
        request, "error.html", status=status, title=HTTPStatus(status).phrase, message=message
    )
    response.headers.update(headers or {})
    return response


def wants_json(request: Request) -> bool:
    """Return whether the request is for JSON: a `/v1/` in its path, or it accepts nothing else."""
    accept = request.headers.get("accept", "")
    return "/v1/" in request.url.path or ("application/json" in accept and "html" not in accept)


def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an `HTTPException`."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers) if error.headers else None
    message = error.detail
    if message == HTTPStatus(error.status_code).phrase and error.status_code == 404:
        message = f"There is nothing at {request.url.path}."
    return error_response(request, error.status_code, message, headers=headers)


def on_equipoise_error(request: Request, error: Exception) -> Response:
    """Answer one of the package's own errors, whose message is made for people."""
    if isinstance(error, MissingData):
        return error_response(request, 404, str(error))
    if isinstance(error, InvalidInput):
        return error_response(request, 422, str(error))
    if isinstance(error, MissingExtra):
        return error_response(request, 503, str(error), code="missing_extra")
    return error_response(request, 500, str(error), code="failed")


def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer a fault of this package without telling the client more than that it happened."""
    message = "Something went wrong here; the server's output says what."
    # this answer is given outside the middleware that adds the headers elsewhere
    return error_response(request, 500, message, headers=HEADERS)


HANDLERS = {
    HTTPException: on_http_error,
    EquipoiseError: on_equipoise_error,
    Exception: on_unexpected,
}
"""Exception class -> what answers it, for Starlette."""
