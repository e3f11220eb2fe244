"""Errors in OpenAI's form, and how each fault of the proxy becomes one."""

import json
import math
from typing import Any

from starlette.responses import Response

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.serving.admission import QueueFull
from equipoise.serving.keys import RateExceeded
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamFailed

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "upstream_error",
    503: "overloaded_error",
    504: "upstream_error",
}


_DAY = 86_400  # seconds; an upstream may ask for any wait, and for one without end


class ProxyError(RunFailed):
    """What a client is told instead of an answer.

    Attributes:
        status: HTTP status.
        param: the field of the request that is at fault.
        code: short name of the fault.
        retry_after: seconds to wait before another try; 0 says nothing.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return `{"error": {...}}`."""
        return {
            "error": {
                "message": str(self),
                "type": _TYPES.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """Return the whole answer."""
        headers = {"cache-control": "no-store"}
        if self.retry_after > 0:
            headers["retry-after"] = str(math.ceil(min(self.retry_after, _DAY)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return json_response(self.body(), self.status, headers)


def bad(message: str, param: str | None = None) -> ProxyError:
    """Build the error of an unusable request; `param` is the field at fault."""
    return ProxyError(400, message, param=param, code="invalid_value" if param else "invalid_body")


def as_proxy_error(error: BaseException) -> ProxyError:
    """Return what a client is told of an error; of an unforeseen one no more than that it was."""
    match error:
        case ProxyError():
            return error
        case UpstreamFailed():
            return ProxyError(
                error.status, str(error), code=error.code, retry_after=error.retry_after
            )
        case QueueFull():
            return ProxyError(503, str(error), code="queue_full", retry_after=1.0)
        case RateExceeded():
            return ProxyError(429, str(error), code="rate_limit", retry_after=error.retry_after)
        case InvalidInput():
            return ProxyError(400, str(error), code="invalid_value")
        case RunFailed():
            return ProxyError(502, str(error), code="upstream_error")
        case _:
            return ProxyError(500, "something went wrong in the proxy", code="internal_error")


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a value as JSON; see `dump`."""
    return Response(dump(value), status, headers, media_type="application/json")


def dump(value: Any) -> bytes:
    """Return a value as JSON bytes in UTF-8; halves of surrogate pairs become U+FFFD.

    >>> dump({"a": "\\u00e9"})
    b'{"a":"\\xc3\\xa9"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
