"""What an answer of the proxy costs: the upstream's tokens, the corrector's, and those shown."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from equipoise.systems.stream_aligner.proxy.chat_wire import AnswerRequest
from equipoise.systems.stream_aligner.proxy.read_ahead import ReadAhead, estimate_tokens
from equipoise.systems.stream_aligner.segments import Segment

VERDICTS = {"copy": "copies", "edit": "edits", "drop": "drops", "stop": "stops"}
"""Names of the counts of each verdict; all others are `unreviewed`."""

_PENALTIES = ("frequency_penalty", "presence_penalty")
_REPORTED = (
    "rounds",
    *VERDICTS.values(),
    "unreviewed",
    "corrector_calls",
    "upstream_requests",
    "upstream_tokens",
    "discarded_tokens",
    "corrector_tokens",
    "cached_tokens",
)


class AnswerCosts:
    """Adds up one answer's streams.

    Attributes:
        counts: what the `equipoise` object reports.
        answer_tokens: of the text that was shown, and of tool calls.
        consumed: characters of the present stream that have been decided.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.answer_tokens = 0
        self.consumed = 0
        self._prompt_tokens: int | None = None
        self._stream: ReadAhead | None = None
        self._usage: Mapping[str, Any] = {}
        self._unchanged = 0  # tokens shown as the stream gave them
        self._begun = 0  # tokens of the begun answer, which the stream's prompt holds

    def begin(self, stream: ReadAhead) -> None:
        """Count for a new stream."""
        self._stream, self._usage = stream, {}
        self.consumed = self._unchanged = 0
        self._begun = self.answer_tokens

    def told(self, usage: Mapping[str, Any]) -> None:
        """Note the usage that the upstream told of its stream."""
        self._usage = usage

    def decided(self, segment: Segment, text: str) -> None:
        """Count a segment that came out as `text`, its leading whitespace included."""
        length = len(segment.raw)
        tally = self._stream.tally if self._stream is not None else None
        tokens = 0
        if tally is not None:
            tokens = tally.until(self.consumed + length) - tally.until(self.consumed)
        self.consumed += length
        if text == segment.raw:
            self._unchanged += tokens
            self.answer_tokens += tokens
        elif text and tokens:  # as many a character as the upstream needed for its proposal
            self.answer_tokens += max(1, round(tokens * len(text) / length))
        else:
            self.answer_tokens += estimate_tokens(text)

    def reviewed(self, tokens: int) -> None:
        """Count what the corrector's model has read and written."""
        self.counts["corrector_tokens"] += tokens

    def called(self) -> None:
        """Count a piece of a tool call that was passed on."""
        self._unchanged += 1
        self.answer_tokens += 1

    def settle(self) -> None:
        """Add up the stream that has ended, if it has not been yet."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        tally, usage = stream.tally, self._usage
        completed, prompt = usage.get("completion_tokens"), usage.get("prompt_tokens")
        taken = tally.tokens + stream.thought_tokens + stream.call_tokens
        self.counts["upstream_tokens"] += completed if isinstance(completed, int) else taken
        self.counts["discarded_tokens"] += max(0, tally.tokens - tally.until(self.consumed))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, Mapping) and isinstance(details.get("cached_tokens"), int):
            self.counts["cached_tokens"] += details["cached_tokens"]
        if self._prompt_tokens is None and isinstance(prompt, int):
            self._prompt_tokens = max(0, prompt - self._begun)
        all_shown = (
            self._unchanged == tally.tokens + stream.call_tokens
            and self.consumed == tally.characters
            and stream.thought_tokens == 0
        )
        if isinstance(completed, int) and all_shown:
            self.answer_tokens += completed - self._unchanged  # the upstream counts better

    def usage(self, request: AnswerRequest) -> dict[str, int]:
        """Return the usage of the emitted answer; what no upstream counted is estimated."""
        prompt = self._prompt_tokens
        if prompt is None:
            prompt = estimate_tokens(str(request.body.get("messages", request.question)))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.answer_tokens,
            "total_tokens": prompt + self.answer_tokens,
        }

    def report(self, request: AnswerRequest, *, induction: bool) -> dict[str, Any]:
        """Return the `equipoise` object; `notes` only where there is something to know."""
        found: dict[str, Any] = {name: self.counts[name] for name in _REPORTED}
        found["induction"] = induction
        restarted = self.counts["upstream_requests"] > 1
        if restarted and any(request.body.get(name) for name in _PENALTIES):
            found["notes"] = ["frequency and presence penalties began anew with every restart"]
        return found
