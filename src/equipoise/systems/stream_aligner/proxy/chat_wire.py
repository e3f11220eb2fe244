"""Requests of OpenAI's chat and completion endpoints: read, checked, and what must be refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner.proxy.errors import ProxyError, bad
from equipoise.text.openai_wire import MAX_STOPS

KINDS = ("chat", "completions")
_LIMITS = ("max_tokens", "max_completion_tokens")
_OWN = ("stream", "stream_options", "n", "best_of", "logprobs", "top_logprobs", "echo")
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")


@dataclass(frozen=True)
class AnswerRequest:
    """A checked request.

    Attributes:
        kind: `chat` or `completions`.
        body: the fields that are sent upstream.
        question: the last user message (of a completion, the prompt), which the corrector sees.
        stream: whether the answer is streamed to the client.
        include_usage: whether a streamed answer ends with its usage.
        stop: strings that end the answer and are never emitted.
        max_tokens: longest answer, None where the client sets no limit.
        seed: for sampling.
        json_mode: the answer must be JSON.
        model: as the client names it, None where it does not.
    """

    kind: str
    body: Mapping[str, Any]
    question: str
    stream: bool
    include_usage: bool
    stop: tuple[str, ...]
    max_tokens: int | None
    seed: int | None
    json_mode: bool
    model: str | None

    def upstream_body(self, spent_tokens: int, asked: int) -> dict[str, Any]:
        """Return the body of the request number `asked` (from 0), `spent_tokens` after the start.

        The limit of tokens is what is left of it; the seed goes on by one a request, so that a
        sentence asked for anew is drawn anew.
        """
        body = dict(self.body)
        for name in _LIMITS:
            if body.get(name) is not None:
                body[name] = max(1, body[name] - spent_tokens)
        if self.seed is not None:
            body["seed"] = self.seed + asked
        return body


def read_request(raw: bytes, kind: str) -> AnswerRequest:
    """Read and check a request body.

    Raises:
        ProxyError: 400 with the field at fault as `param`.
    """
    body = _read_object(raw)
    _check_common(body)
    request = AnswerRequest(
        kind=kind,
        body={name: value for name, value in body.items() if name not in _OWN},
        question="",
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        stop=_read_stop(body.get("stop")),
        max_tokens=min((body[n] for n in _LIMITS if body.get(n) is not None), default=None),
        seed=body.get("seed"),
        json_mode=_is_json_mode(body),
        model=body.get("model"),
    )
    if kind == "chat":
        question = _check_messages(body.get("messages"))
        _refuse_chat_fields(body)
        return replace(request, question=question)
    prompt = _check_prompt(body)
    return replace(request, question=prompt, body={**request.body, "prompt": prompt})


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise bad(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise bad(f"the body is {type(body).__name__}; it must be an object")
    try:
        _check_sendable(body)
    except UnicodeEncodeError:
        raise bad(
            "the body holds a lone surrogate, which is no valid Unicode", _not_sendable(body)
        ) from None
    except RecursionError:
        raise bad("the body is nested too deeply") from None
    except ValueError:  # Python's reader takes them, no writer does
        raise bad("NaN and infinity are no numbers of JSON", _not_sendable(body)) from None
    return body


def _check_sendable(value: Any) -> None:
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _not_sendable(body: Mapping[str, Any]) -> str | None:
    """Return the field that cannot be sent on."""
    for name, value in body.items():
        try:
            _check_sendable(value)
        except ValueError:
            return name
    return None


def _check_common(body: Mapping[str, Any]) -> None:
    def check(name: str, allowed: Any, wanted: str) -> Any:
        value = body.get(name)
        if value is None:
            return None
        is_bool_as_number = isinstance(value, bool) and allowed is not bool
        if is_bool_as_number or not isinstance(value, allowed):
            raise bad(f"{name} is {type(value).__name__}; it must be {wanted}", name)
        return value

    check("model", str, "text")
    check("stream", bool, "true or false")
    options = check("stream_options", dict, "an object")
    if options is not None and not body.get("stream"):
        raise bad("stream_options is for streamed answers; set stream", "stream_options")
    for name in _LIMITS:
        limit = check(name, int, "an integer")
        if limit is not None and limit < 1:
            raise bad(f"{name} is {limit}; it must be >= 1", name)
    check("seed", int, "an integer")
    for name in _NUMBERS:
        check(name, int | float, "a number")
    for name in ("n", "best_of"):
        if check(name, int, "an integer") not in (None, 1):
            raise bad(f"{name} must be 1: one answer is reviewed at a time", name)
    check("response_format", dict, "an object")
    check("tools", list, "a list")


def _refuse_chat_fields(body: Mapping[str, Any]) -> None:
    for name in ("logprobs", "top_logprobs"):
        if body.get(name):
            raise bad(f"{name} are not given: an edited sentence has none", name)
    modalities = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise bad("only text can be reviewed, so only text is answered", "modalities")
    if body.get("audio") is not None:
        raise bad("audio cannot be reviewed, so it is not answered", "audio")


def _read_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    texts = [stop] if isinstance(stop, str) else stop
    if (
        not isinstance(texts, list)
        or len(texts) > MAX_STOPS
        or not all(isinstance(text, str) and text for text in texts)
    ):
        raise bad(f"stop must be text or a list of up to {MAX_STOPS} texts, none empty", "stop")
    return tuple(texts)


def _check_messages(messages: Any) -> str:
    """Check the messages and return the text of the last user message."""
    if messages is None:
        raise bad("messages is missing; give a list of at least one message", "messages")
    if not isinstance(messages, list) or not messages:
        raise bad("messages must be a list of at least one message", "messages")
    question = ""
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad(f"message {place} must be an object with a role", f"messages[{place}]")
        text = _message_text(message.get("content"), place)
        if message["role"] == "user":
            question = text
    return question


def _message_text(content: Any, place: int) -> str:
    """Return the text of a message's content; images and files go upstream, the corrector reads."""
    if content is None or isinstance(content, str):
        return content or ""
    param = f"messages[{place}].content"
    if not isinstance(content, list):
        raise bad(f"the content of message {place} must be text or a list of parts", param)
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise bad(f"a part of message {place} is no object with a type", param)
        if not isinstance(part.get("text"), str | None):
            raise bad(f"the text of a part of message {place} is no text", param)
        if part["type"] == "text":
            if part.get("text") is None:
                raise bad(f"a text part of message {place} has no text", param)
            texts.append(part["text"])
    return "\n".join(texts)


def _is_json_mode(body: Mapping[str, Any]) -> bool:
    return (body.get("response_format") or {}).get("type") in ("json_object", "json_schema")


def _check_prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise bad("prompt must be one text: token ids and batches cannot be reviewed", "prompt")
    for name in ("logprobs", "echo", "suffix"):
        value = body.get(name)
        if value is not None and value is not False and value != "":  # logprobs=0 asks for some
            raise bad(f"{name} is not supported: only reviewed text is answered", name)
    return prompt


def unsupported_path(path: str, supported: tuple[str, ...], method_only: bool) -> ProxyError:
    """Build the error of an address that the proxy does not serve."""
    if method_only:
        return ProxyError(405, f"{path} does not take this method", code="method_not_allowed")
    names = ", ".join(supported)
    return ProxyError(
        404,
        f"{path} is not served: nothing passes unreviewed. Supported: {names}",
        code="unsupported_path",
    )


class CallCollector:
    """Joins streamed tool-call deltas into the calls of a whole message."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}
        self._function: dict[str, Any] = {}

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take the tool fields of one delta.

        Raises:
            RunFailed: they have not OpenAI's form.
        """
        try:
            for delta in fields.get("tool_calls") or []:
                index = delta.get("index")
                if not isinstance(index, int | None):
                    raise TypeError
                call = self._calls.setdefault(len(self._calls) if index is None else index, {})
                _merge(call, {name: value for name, value in delta.items() if name != "index"})
            _merge(self._function, fields.get("function_call") or {})
        except (AttributeError, TypeError):
            raise RunFailed("the upstream's tool calls have not the form of OpenAI's API") from None

    def fields(self) -> dict[str, Any]:
        """Return the fields of the whole message: none where no tool was called."""
        found: dict[str, Any] = {}
        if self._calls:
            found["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        if self._function:
            found["function_call"] = self._function
        return found


def _merge(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if isinstance(value, dict):
            _merge(whole.setdefault(name, {}), value)
        elif isinstance(value, str) and name == "arguments":
            whole[name] = whole.get(name, "") + value
        elif value is not None:
            whole[name] = value
