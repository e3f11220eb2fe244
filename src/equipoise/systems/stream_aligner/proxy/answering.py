"""One answer of the proxy: the loop's source, its reviews and emissions, and what it all cost."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from equipoise.systems.stream_aligner.correction import Correction, settled
from equipoise.systems.stream_aligner.loop import (
    Answer,
    End,
    Failure,
    LoopOptions,
    Review,
    Step,
    review_loop,
)
from equipoise.systems.stream_aligner.proxy.chat_wire import AnswerRequest
from equipoise.systems.stream_aligner.proxy.costs import VERDICTS, AnswerCosts
from equipoise.systems.stream_aligner.proxy.driving import drive
from equipoise.systems.stream_aligner.proxy.outputs import Finished, Output, Passed, Shown
from equipoise.systems.stream_aligner.proxy.read_ahead import AHEAD, ReadAhead
from equipoise.systems.stream_aligner.proxy.recording import Recorder
from equipoise.systems.stream_aligner.proxy.reloading import Settings
from equipoise.systems.stream_aligner.proxy.reviewing import breaks_json
from equipoise.systems.stream_aligner.proxy.upstream_parts import (
    AnswerUpstream,
    UpstreamAsk,
    UpstreamFailed,
    UpstreamPart,
)
from equipoise.systems.stream_aligner.segments import Segment, Segmenter
from equipoise.text.stops import StopScanner

_AT_ONCE = ("detect", "off")
"""Modes in which nothing waits for a review: text leaves as it comes."""

_NEWS = 24  # characters of a begun sentence that are worth reading ahead


class _Ended(Exception):
    """The answer ends here, for this reason."""


class AnswerSession:
    """Drives the loop for one request.

    Args:
        request: what was asked.
        settings: policy and corrector, which stay the same for this answer.
        upstream: the model.
        recorder: where segments are recorded.
        put: takes each output in order, and may let the answer wait.
        opened: called once, when the upstream has begun to answer.
        key_env: environment variable with the upstream's key for this client.
    """

    def __init__(
        self,
        request: AnswerRequest,
        settings: Settings,
        upstream: AnswerUpstream,
        recorder: Recorder,
        put: Callable[[Output], Awaitable[None]],
        opened: Callable[[], object],
        key_env: str | None = None,
    ) -> None:
        self._request, self._config, self._upstream = request, settings.config, upstream
        self._reviewer, self._recorder, self._put = settings.reviewer, recorder, put
        self._opened, self._key_env = opened, key_env
        self._whole_json = request.json_mode and self._config.json_mode == "whole"
        self._options = self._loop_options()
        self._at_once = self._options.mode in _AT_ONCE
        self._shown = StopScanner(request.stop)
        self._thoughts = Segmenter(max_chars=self._config.max_chars)
        self._thinking = False
        self._calls_passed = False
        self._review: tuple[float, float] | None = None  # begun (Unix time), seconds
        self._reviewed = 0  # sentences of the answer
        self._prefix = ""
        self._costs = AnswerCosts()
        self._begin_stream()

    def _loop_options(self) -> LoopOptions:
        """Return how the answer is reviewed; JSON is one segment, or not reviewed at all."""
        options = self._config.loop_options()
        if not self._request.json_mode or options.mode == "off":
            return options
        if not self._whole_json:
            return replace(options, mode="off")
        mode = "detect" if options.mode == "detect" else "aligner"
        return replace(options, mode=mode, whole=True)

    def _may_restart(self) -> bool:
        return self._upstream.induction and not self._calls_passed

    async def run(self) -> Finished:
        """Answer; whatever the upstream raises passes through.

        Raises:
            UpstreamFailed: the upstream did not answer, or not to the end.
        """
        try:
            await self._upstream.prepare(self._request.model, self._key_env)
            machine = review_loop(self._options, self._may_restart, all_steps=False)
            try:
                answer = await drive(machine, self, self._consult, self._emit)
                reason = answer.finish_reason
                if self._ended_by_upstream(answer):
                    await self._release_calls(everything=True)
            except _Ended as end:
                reason = str(end)
            finally:
                self._costs.settle()
            if tail := self._shown.close():
                await self._put(Shown(tail))
        except UpstreamFailed:
            if tail := self._shown.close():  # it has been reviewed
                await self._put(Shown(tail))
            raise
        return Finished(reason, self.usage(), self.report())

    def usage(self) -> dict[str, int]:
        """Return the usage of the emitted answer so far."""
        return self._costs.usage(self._request)

    def report(self) -> dict[str, Any]:
        """Return the `equipoise` object so far."""
        return self._costs.report(self._request, induction=self._upstream.induction)

    def _ended_by_upstream(self, answer: Answer) -> bool:
        last = answer.steps[-1].verdict if answer.steps else "copy"
        refused = last in ("unreviewed", "drop") and answer.finish_reason == "content_filter"
        return self._end is not None and last != "stop" and not refused

    # --- the loop's source

    def _begin_stream(self) -> None:
        self._stream: ReadAhead | None = None
        self._end: End | None = None
        self._reason: str | None = None
        self._scanner = StopScanner(self._request.stop)
        self._received = 0  # characters of this stream
        self._begun, self._anticipated = "", -_NEWS  # the sentence that is being written
        self._held: deque[tuple[int, Mapping[str, Any]]] = deque()

    async def open(self, prefix: str) -> None:
        """Ask the upstream to continue from `prefix`, with what is left of the token limit."""
        await self.close()
        self._costs.settle()
        self._begin_stream()
        shown, counts = self._costs.answer_tokens, self._costs.counts
        limit = self._request.max_tokens
        if limit is not None and shown >= limit:
            self._end = End("length")
            return
        body = self._request.upstream_body(shown, counts["upstream_requests"])
        ask = UpstreamAsk(self._request.kind, body, prefix, self._request.question, self._key_env)
        counts["upstream_requests"] += 1
        ahead = AHEAD if self._options.speculate or not self._may_restart() else 0
        parts = self._upstream.answer(ask, self._opened)
        if self._at_once:
            self._stream = ReadAhead(parts, None, self._pass_at_once)
        else:
            self._stream = ReadAhead(parts, ahead)
        self._costs.begin(self._stream)

    async def read(self) -> str | End:
        """Return the next text, up to a stop string; pass on what is no text, in its place."""
        while self._end is None:
            assert self._stream is not None
            self._anticipate(self._stream)
            part = await self._stream.take()
            if part is None:
                await self._end_thoughts()
                return self._ended(self._reason or "stop", self._scanner.close())
            if part.usage is not None:
                self._costs.told(part.usage)
            self._reason = part.finish_reason or self._reason
            if part.reasoning and not self._at_once:
                await self._think(part.reasoning)
            text = ""
            if part.text:
                await self._end_thoughts()
                self._received += len(part.text)
                text = self._scanner.feed(part.text)
            if part.calls and not self._at_once:
                self._held.append((self._received, part.calls))
                await self._release_calls()
            if self._scanner.stopped:
                return self._ended("stop", text)
            if text:
                self._begun += text
                return text
        return self._end

    def _anticipate(self, stream: ReadAhead) -> None:
        """Have the corrector read what there is of a sentence, where the rest is still to come."""
        if self._reviews_more() and stream.waiting_characters == 0:
            begun = self._begun.lstrip()
            if not 0 <= len(begun) - self._anticipated < _NEWS:
                self._anticipated = len(begun)
                question, spent = self._request.question, self._costs.reviewed
                self._reviewer.anticipate(question, self._prefix, begun, spent)

    def _reviews_more(self) -> bool:
        """Return whether the sentence that is being written will be reviewed."""
        rounds = self._options.rounds
        single = self._options.mode in ("stream", "detect") and not self._options.whole
        return single and (rounds is None or self._reviewed < rounds)

    async def _pass_at_once(self, part: UpstreamPart) -> bool:
        """Show a part as it arrives; return whether more may be shown."""
        if part.reasoning and self._config.reasoning != "hide":
            await self._put(Passed({"reasoning_content": part.reasoning}))
        if shown := self._shown.feed(part.text):
            await self._put(Shown(shown))
            self._recorder.shown(None)
        if part.calls and not self._shown.stopped:
            await self._pass_calls(part.calls)
        return not self._shown.stopped

    def _ended(self, reason: str, tail: str) -> str | End:
        self._end = End(reason)
        return tail or self._end

    async def close(self) -> int:
        """Close the stream; what it cost is counted with the next one, or at the end."""
        stream, self._stream = self._stream, None
        if stream is None:
            return 0
        ahead = stream.waiting_characters
        await stream.close()
        return ahead

    # --- reviews and emissions

    async def _consult(self, review: Review) -> Correction | str | Failure:
        begun = time.time()
        said, seconds, tokens = await self._reviewer.review(
            self._request.question, review.prefix, review.sentence
        )
        self._costs.reviewed(tokens)
        if self._whole_json and breaks_json(review.sentence, said):
            said = Failure("the correction is no JSON, the proposal was")
        self._costs.counts["corrector_calls"] += 1
        self._review = (begun, seconds)
        if isinstance(said, Failure):
            self._recorder.failed()
        return said

    async def _emit(self, step: Step, text: str) -> None:
        self._begun = self._begun[len(step.segment.raw) :]
        self._reviewed += self._review is not None
        self._prefix, self._anticipated = step.prefix + text, -_NEWS
        is_whole = self._record(step)
        self._costs.decided(step.segment, text if is_whole else "")
        if not is_whole:
            await self._refuse()
        if self._at_once:  # it has been shown
            self._review = None
            return
        if shown := self._shown.feed(text):
            await self._put(Shown(shown))
            self._recorder.shown(self._review)
        self._review = None
        if self._shown.stopped:
            raise _Ended("stop")
        if self._lets_calls_pass(step, text):
            await self._release_calls()

    async def _refuse(self) -> NoReturn:
        """End the answer by the policy, behind all that has been shown."""
        await self.close()
        shown = self._shown.close()
        if self._config.on_failure == "static":
            shown += self._config.static_text
        if shown:
            await self._put(Shown(shown))
        raise _Ended("content_filter")

    def _lets_calls_pass(self, step: Step, text: str) -> bool:
        """Return whether tool calls may follow: not what stopped, dropped or refused its text."""
        if step.verdict in ("copy", "edit"):
            return True
        return step.verdict == "unreviewed" and text == step.segment.raw

    def _record(self, step: Step) -> bool:
        """Record a step before it is shown; return False where that failed and must not."""
        if not step.segment.text:
            return True
        self._costs.counts[VERDICTS.get(step.verdict, "unreviewed")] += 1
        if self._review is not None:
            self._costs.counts["rounds"] += 1
            if self._options.speculate and self._end is None:
                self._recorder.speculated(step.verdict == "copy")
        return self._recorder.segment(step, self._review) or self._config.on_failure == "open"

    async def _release_calls(self, *, everything: bool = False) -> None:
        """Pass on the tool calls before which all text has been decided."""
        while self._held and (everything or self._held[0][0] <= self._costs.consumed):
            await self._pass_calls(self._held.popleft()[1])

    async def _pass_calls(self, calls: Mapping[str, Any]) -> None:
        self._calls_passed = True
        self._costs.called()
        await self._put(Passed(calls))

    async def _think(self, text: str) -> None:
        """Do with reasoning what the configuration says; after a restart it is hidden."""
        how = self._config.reasoning
        if how == "hide" or self._costs.counts["upstream_requests"] > 1:
            return
        if how == "pass":
            await self._put(Passed({"reasoning_content": text}))
            return
        self._thinking = True
        for thought in self._thoughts.feed(text):
            await self._review_thought(thought)

    async def _end_thoughts(self) -> None:
        if self._thinking:
            self._thinking = False
            for thought in self._thoughts.close():
                await self._review_thought(thought)
            self._thoughts = Segmenter(max_chars=self._config.max_chars)

    async def _review_thought(self, thought: Segment) -> None:
        """Review one sentence of reasoning; it is no part of the prefix."""
        text = thought.text
        if text:
            said = await self._consult(Review("", text, True))
            if isinstance(said, Failure):
                correction = Correction(text, None, said.reason)
            else:
                correction = settled(said, text)
            verdict = "unreviewed" if isinstance(said, Failure) else correction.verdict or "copy"
            step = Step("", thought, correction.text, verdict, correction.note)
            kept = self._record(step)
            self._review = None
            if not kept or (verdict == "unreviewed" and self._config.on_failure != "open"):
                await self._refuse()
            text = correction.text
            if verdict == "stop":
                raise _Ended("stop")
        if thought.leading + text and (text or not thought.text):
            await self._put(Passed({"reasoning_content": thought.leading + text}))
