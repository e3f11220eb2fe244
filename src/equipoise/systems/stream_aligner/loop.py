"""The correction loop as one state machine without input or output.

`review_loop` is a generator: it yields requests, is sent their replies, and returns the `Answer`.
`align` and `align_stream` drive it in the calling thread; an asynchronous server drives the same
generator and awaits what each request asks for. Nothing here knows a model, a clock or a socket.

| request | what the driver does | reply |
|---|---|---|
| `Open(prefix)` | asks the upstream to continue the answer from `prefix` | None |
| `Read()` | takes the next piece of the open stream | `str`, or `End` when it has ended |
| `Close()` | abandons the open stream | None, or how many characters it had taken ahead of `Read` |
| `Review(prefix, sentence, keeps_open)` | asks the corrector | `Correction`, `str` or `Failure` |
| `Emit(step, text)` | shows `text`, which is final | None |

While a `Review` with `keeps_open` is under way the upstream's stream stays open, so a driver may
read ahead (speculation); what it took and no `Read` asked for is told in the reply to `Close`.

Source: the loop of arXiv 2501.05336 as its released code runs it, without that code's faults: it
ends when the upstream ends, gives no empty sentence to the corrector, obeys the corrector's stop,
and loses no character.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.stream_aligner.correction import settled
from equipoise.systems.stream_aligner.segments import Segment, Segmenter

MODES = ("stream", "aligner", "detect", "off")
AFTER_ROUNDS = ("free", "stop")
JOINS = ("exact", "space")
POLICIES = ("closed", "open", "static")


@dataclass(frozen=True)
class LoopOptions:
    """How one answer is reviewed; the arguments of `align`, checked.

    Attributes:
        mode: `stream` (sentence by sentence), `aligner` (the whole answer is one segment), `detect`
            (text passes untouched, corrections are recorded) or `off`.
        rounds: sentences to review, None for all; 0 is the upstream alone.
        then: after `rounds` reviews, `free` lets the upstream finish alone, `stop` ends the answer.
        speculate: go on reading the same upstream stream after a copy.
        max_segments: reviews after which the answer ends with `length`.
        max_chars: longest segment.
        join: `exact`, or `space` (the released code's: one blank before every sentence).
        on_failure: `closed` (end, the sentence is not shown), `open` (show it, unreviewed) or
            `static` (show `static_text`, then end).
        static_text: what `static` shows.
        whole: the answer is one segment in any mode.
    """

    mode: str = "stream"
    rounds: int | None = None
    then: str = "free"
    speculate: bool = False
    max_segments: int = 64
    max_chars: int = 400
    join: str = "exact"
    on_failure: str = "closed"
    static_text: str = ""
    whole: bool = False

    def __post_init__(self) -> None:
        for kind, value, valid in (
            ("mode", self.mode, MODES),
            ("then", self.then, AFTER_ROUNDS),
            ("join", self.join, JOINS),
            ("on_failure", self.on_failure, POLICIES),
        ):
            if value not in valid:
                raise unknown_name(kind, value, valid)
        if self.rounds is not None:
            _check_count("rounds", self.rounds, 0)
        _check_count("max_segments", self.max_segments, 1)
        Segmenter(max_chars=self.max_chars)  # names its own limits
        if not isinstance(self.static_text, str):
            raise InvalidInput(f"static_text is {type(self.static_text).__name__}; it must be text")


@dataclass(frozen=True)
class Step:
    """One decided segment.

    Attributes:
        prefix: the corrected answer before it.
        segment: what the upstream proposed.
        text: the correction's text (in `detect` mode what *would* have been shown).
        verdict: copy, edit, drop, stop, or unreviewed (a failed corrector, or free running).
        note: the corrector's note, or what failed.
    """

    prefix: str
    segment: Segment
    text: str
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """A finished answer and what it cost.

    Attributes:
        text: the whole corrected answer.
        finish_reason: the upstream's (`stop`, `length`, ...), `length` at `max_segments`, or
            `content_filter` after a failure or two drops in a row.
        steps: every decided segment in order.
        upstream_calls, corrector_calls: how often each was asked.
        proposed_chars: all characters taken from upstream streams.
        discarded_chars: those taken and then neither proposed to the corrector nor passed on.
    """

    text: str
    finish_reason: str
    steps: tuple[Step, ...]
    upstream_calls: int
    corrector_calls: int
    proposed_chars: int
    discarded_chars: int


@dataclass(frozen=True)
class Open:
    """Request: begin a stream that continues the answer from `prefix`."""

    prefix: str


@dataclass(frozen=True)
class Read:
    """Request: the next piece of the open stream."""


@dataclass(frozen=True)
class Close:
    """Request: abandon the open stream."""


@dataclass(frozen=True)
class Review:
    """Request: the corrector's word on `sentence` after `prefix`."""

    prefix: str
    sentence: str
    keeps_open: bool


@dataclass(frozen=True)
class Emit:
    """Request: show `text`, decided by `step`; it is never taken back."""

    step: Step
    text: str


@dataclass(frozen=True)
class End:
    """Reply to `Read`: the stream has ended for this reason."""

    reason: str = "stop"


@dataclass(frozen=True)
class Failure:
    """Reply to `Review`: the corrector failed or came too late."""

    reason: str


Request = Open | Read | Close | Review | Emit
Requests = Generator[Request, Any, Any]


def review_loop(
    options: LoopOptions,
    may_restart: Callable[[], bool] = lambda: True,
    *,
    all_steps: bool = True,
) -> Generator[Request, Any, Answer]:
    """Return the state machine of one answer; see the module for its requests and replies.

    Args:
        options: how the answer is reviewed.
        may_restart: asked before a stream is abandoned; where the upstream cannot continue a begun
            answer (or may not, since tools have been called) the same stream is read on: sentences
            are still reviewed, but an edit is not fed back and a drop is not proposed anew.
        all_steps: False keeps only the last step in the `Answer`: each holds all text before it, so
            a long answer's steps would take memory by the square of its length.
    """
    state = _Loop(options, may_restart, all_steps)
    finish_reason = yield from state.run()
    yield from state.abandon()
    return Answer(
        text=state.prefix,
        finish_reason=finish_reason,
        steps=tuple(state.steps),
        upstream_calls=state.upstream_calls,
        corrector_calls=state.corrector_calls,
        proposed_chars=state.proposed_chars,
        discarded_chars=state.discarded_chars,
    )


class _Whole:
    """Cuts nothing: the whole stream is one segment."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def feed(self, piece: str) -> list[Segment]:
        self._pieces.append(piece)
        return []

    def close(self) -> list[Segment]:
        whole = "".join(self._pieces)
        body = whole.rstrip()
        text = body.lstrip()
        found = [Segment(body[: len(body) - len(text)], text)] if text else []
        tail = whole[len(body) :]
        return [*found, Segment(tail, "")] if tail else found


class _Loop:
    """The state of one answer; methods that are generators yield requests."""

    def __init__(
        self, options: LoopOptions, may_restart: Callable[[], bool], all_steps: bool
    ) -> None:
        self.options = options
        self.may_restart = may_restart
        self.all_steps = all_steps
        self.prefix = ""
        self.steps: list[Step] = []
        self.upstream_calls = self.corrector_calls = 0
        self.proposed_chars = self.discarded_chars = 0
        self._open = False  # a stream that continues `prefix` is open, or has ended by itself
        self._cutter: Segmenter | _Whole = _Whole()
        self._pending: deque[Segment] = deque()
        self._unused = 0  # characters taken from the open stream and not yet proposed
        self._reason: str | None = None  # the stream's finish reason, once it has ended
        self._drops = 0  # in a row, at the present prefix

    def run(self) -> Requests:
        """Review until something ends the answer; return the finish reason."""
        options = self.options
        if options.mode == "off" or options.rounds == 0:
            return (yield from self._run_free())
        for reviewed in range(1, options.max_segments + 1):
            segment, done = yield from self._propose()
            if not segment.text:
                yield from self._pass_blank(segment)
                return self._reason
            step = yield from self._consult(segment, done)
            finish_reason = yield from self._apply(step, done)
            if finish_reason is not None:
                return finish_reason
            if reviewed == options.rounds:
                return (yield from self._run_free()) if options.then == "free" else "stop"
        # detecting must not change an answer: what is left of it passes unreviewed
        return (yield from self._run_free()) if options.mode == "detect" else "length"

    def _consult(self, segment: Segment, done: bool) -> Requests:
        """Ask the corrector; return the step, whatever it said or failed to say."""
        options = self.options
        keeps_open = options.speculate or options.mode == "detect" or not self.may_restart()
        if not keeps_open and not done:
            yield from self.abandon()
        self.corrector_calls += 1
        reply = yield Review(self.prefix, segment.text, keeps_open)
        try:
            if not isinstance(reply, Failure):
                said = settled(reply, segment.text)
                return Step(self.prefix, segment, said.text, said.verdict or "copy", said.note)
            note = reply.reason
        except InvalidInput as error:
            note = str(error)
        policy = "open" if options.mode == "detect" else options.on_failure
        text = {"open": segment.text, "static": options.static_text}.get(policy, "")
        return Step(self.prefix, segment, text, "unreviewed", note)

    def _apply(self, step: Step, done: bool) -> Requests:
        """Show a decided segment; return the finish reason where it ends the answer."""
        detect = self.options.mode == "detect"
        shown = step.segment.raw if detect else self._shown(step)
        yield from self._emit(step, shown)
        if not detect:
            if step.verdict == "drop":  # the upstream is asked again, even for its last sentence
                self._drops += 1
                if self.may_restart():
                    yield from self.abandon()
                return "content_filter" if self._drops == 2 else None
            self._drops = 0
            if step.verdict == "stop":
                return "stop"
            if step.verdict == "unreviewed" and self.options.on_failure != "open":
                return "content_filter"
        if done:
            while self._pending:
                yield from self._pass_blank(self._take_pending())
            return self._reason
        if shown != step.segment.raw and self.may_restart():
            yield from self.abandon()
        return None

    def _shown(self, step: Step) -> str:
        if not step.text:
            return ""
        return (" " if self.options.join == "space" else step.segment.leading) + step.text

    def _emit(self, step: Step, text: str) -> Requests:
        if not self.all_steps:
            self.steps.clear()
        self.steps.append(step)
        self.prefix += text
        yield Emit(step, text)

    def _pass_blank(self, segment: Segment) -> Requests:
        """Pass on the whitespace at the very end of a stream; no corrector is asked about it."""
        if segment.leading:
            text = "" if self.options.join == "space" else segment.leading
            yield from self._emit(Step(self.prefix, segment, "", "copy"), text)

    def _run_free(self) -> Requests:
        """Let the upstream finish alone, from where the answer stands."""
        while True:
            segment, _ = yield from self._propose()
            if segment.raw:
                step = Step(self.prefix, segment, segment.text, "unreviewed")
                yield from self._emit(step, segment.raw)
            if self._reason is not None and not self._pending:
                return self._reason

    def _propose(self) -> Requests:
        """Return the next segment and whether the upstream ended with it (blanks aside)."""
        if not self._open:
            yield from self._start()
        while not self._pending and self._reason is None:
            piece = yield Read()
            if isinstance(piece, End):
                self._reason = piece.reason
                self._pending.extend(self._cutter.close())
            else:
                self._unused += len(piece)
                self.proposed_chars += len(piece)
                self._pending.extend(self._cutter.feed(piece))
        segment = self._take_pending() if self._pending else Segment("", "")
        ended = self._reason is not None and not any(rest.text for rest in self._pending)
        return segment, ended

    def _take_pending(self) -> Segment:
        segment = self._pending.popleft()
        self._unused -= len(segment.raw)
        return segment

    def _start(self) -> Requests:
        """Ask the upstream to continue; whitespace at the prefix's end is held back from it."""
        options = self.options
        whole = (options.whole or options.mode == "aligner") and options.rounds != 0
        self._cutter = _Whole() if whole else Segmenter(max_chars=options.max_chars)
        self._pending.clear()
        self._unused, self._reason, self._open = 0, None, True
        self.upstream_calls += 1
        yield Open(self.prefix.rstrip())

    def abandon(self) -> Requests:
        """Forget the stream; what it had given beyond the proposals is discarded."""
        if not self._open:
            return
        self._open = False
        ahead = 0
        if self._reason is None:
            ahead = (yield Close()) or 0
        self.proposed_chars += ahead
        self.discarded_chars += self._unused + ahead


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} is {value!r}; it must be an integer >= {least}")
