"""One HTTP exchange of an answer: admitted, answered as a stream or whole, ended with the client.

The client's leaving is watched for all the time, and ends everything that runs for it.
"""

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from equipoise.core.console import note
from equipoise.serving.admission import Admission
from equipoise.serving.keys import Grant
from equipoise.systems.stream_aligner.proxy.answering import AnswerSession
from equipoise.systems.stream_aligner.proxy.channel import Channel, ClientLeft, read_body
from equipoise.systems.stream_aligner.proxy.chat_answers import (
    DONE,
    HEARTBEAT,
    AnswerForm,
    new_request_id,
)
from equipoise.systems.stream_aligner.proxy.chat_wire import (
    AnswerRequest,
    CallCollector,
    read_request,
)
from equipoise.systems.stream_aligner.proxy.driving import stop
from equipoise.systems.stream_aligner.proxy.errors import ProxyError, as_proxy_error, bad
from equipoise.systems.stream_aligner.proxy.outputs import Finished, Opened, Output, Passed, Shown
from equipoise.systems.stream_aligner.proxy.recording import Recorder
from equipoise.systems.stream_aligner.proxy.upstream_parts import AnswerUpstream, UpstreamFailed

HEARTBEAT_SECONDS = 15.0
_WAITING = 8  # outputs that wait for a slow client; then its answer waits too


class AnswerEndpoint:
    """The ASGI application of an answering route.

    Args:
        kind: `chat` or `completions`.
        desk: the proxy's shared state (see `app.Desk`).
        heartbeat: seconds of silence after which a comment is sent.
    """

    def __init__(self, kind: str, desk: Any, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._kind, self._desk, self._heartbeat = kind, desk, heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        requests = self._desk.records.metrics.requests
        channel = Channel(receive, send)
        try:
            await self._serve(Request(scope, receive), channel)
            requests.labels("200").inc()
        except (ClientLeft, ClientDisconnect):
            requests.labels("cancelled").inc()
        except asyncio.CancelledError:  # the server stops and has waited long enough
            requests.labels("cancelled").inc()
            problem = ProxyError(503, "the server has stopped", code="draining")
            await channel.fail(problem, scope)
            raise
        except Exception as error:  # noqa: BLE001 - every fault gets OpenAI's form
            problem = as_proxy_error(error)
            if problem.status == 500:
                note(f"{type(error).__name__}: {error}")
            requests.labels(str(problem.status)).inc()
            await channel.fail(problem, scope)
        finally:
            await channel.stop_watching()

    async def _serve(self, http: Request, channel: Channel) -> None:
        desk = self._desk
        grant: Grant = await desk.authorise(http)
        desk.refuse_when_stopping(http)
        asked = read_request(await read_body(http, desk.max_body), self._kind)
        with ExitStack() as stack:
            stack.enter_context(grant.request())
            channel.watch()
            admission: Admission = desk.admission
            async with channel.unless_left(admission.admitted()):
                desk.refuse_when_stopping(http)
                stack.enter_context(desk.counted())
                await self._answer(asked, grant, channel)

    async def _answer(self, asked: AnswerRequest, grant: Grant, channel: Channel) -> None:
        desk = self._desk
        settings = desk.settings
        if asked.json_mode and settings.config.json_mode == "reject":
            raise bad("JSON answers are not served here: edits could break them", "response_format")
        # a server that serves one model takes any name
        model = asked.model or settings.config.upstream_model or "default"
        asked = replace(asked, body={**asked.body, "model": model}, model=model)
        request_id = new_request_id()
        recorder = Recorder(
            desk.records,
            settings.config,
            request_id=request_id,
            question=asked.question,
            model=model,
            key_name=grant.entry.name,
        )
        outputs: asyncio.Queue[Output | BaseException] = asyncio.Queue(_WAITING)
        begun = False

        def opened() -> None:
            nonlocal begun
            if not begun:
                begun = True
                with suppress(asyncio.QueueFull):  # then there is something to send anyway
                    outputs.put_nowait(Opened())

        upstream: AnswerUpstream = desk.upstream
        session = AnswerSession(
            asked,
            settings,
            upstream,
            recorder,
            outputs.put,
            opened,
            grant.entry.upstream_key_env,
        )
        settings.reviewer.acquire()
        work = asyncio.create_task(_run(session, outputs))
        form = AnswerForm(self._kind, model, request_id)
        outcome = "cancelled"
        try:
            if asked.stream:
                writer = self._stream(outputs, form, channel, asked.include_usage)
            else:
                writer = _whole(outputs, form, channel)
            await writer
            outcome = "finished"
        except UpstreamFailed as error:
            outcome = "upstream_lost"
            recorder.request(outcome, usage=session.usage(), reason=str(error), code=error.code)
            raise
        finally:
            settings.reviewer.release()
            await stop(work)
            if outcome != "upstream_lost":
                recorder.request(outcome, usage=session.usage(), equipoise=session.report())

    async def _stream(
        self,
        outputs: "asyncio.Queue[Output | BaseException]",
        form: AnswerForm,
        channel: Channel,
        include_usage: bool,
    ) -> None:
        while True:
            output = await channel.next_output(outputs, self._heartbeat)
            match output:
                case None:
                    if channel.is_open:
                        await channel.write(HEARTBEAT)
                    continue
                case BaseException():
                    raise output
            if not channel.is_open:
                await channel.open(form.role())
            match output:
                case Shown(text):
                    await channel.write(form.text(text))
                case Passed(fields):
                    await channel.write(form.delta(fields))
                case Finished(reason, usage, report):
                    last = form.finish(reason, report)
                    last += form.usage(usage) if include_usage else b""
                    await channel.write(last + DONE)
                    await channel.end()
                    return


async def _run(session: AnswerSession, outputs: "asyncio.Queue[Output | BaseException]") -> None:
    """Run a session; its end, good or bad, is the last output."""
    try:
        last: Output | BaseException = await session.run()
    except Exception as error:  # noqa: BLE001 - raised where the outputs are read
        last = error
    await outputs.put(last)


async def _whole(
    outputs: "asyncio.Queue[Output | BaseException]", form: AnswerForm, channel: Channel
) -> None:
    texts: list[str] = []
    thoughts: list[str] = []
    calls = CallCollector()
    while True:
        match await channel.next_output(outputs, None):
            case Shown(text):
                texts.append(text)
            case Passed(fields) if "reasoning_content" in fields:
                thoughts.append(str(fields["reasoning_content"]))
            case Passed(fields):
                calls.add(fields)
            case Finished(reason, usage, report):
                called = calls.fields()
                content = "".join(texts)
                message: dict[str, Any] = {
                    "role": "assistant",
                    "content": None if called and not content else content,
                    "refusal": None,
                    **called,
                }
                if thoughts:
                    message["reasoning_content"] = "".join(thoughts)
                await channel.answer(form.whole(message, reason, usage, report))
                return
            case BaseException() as error:
                raise error
            case _:
                continue
