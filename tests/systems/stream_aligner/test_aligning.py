import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import Answer, Correction, Segment, Step, align, align_stream
from equipoise.systems.stream_aligner.loop import (
    Close,
    Emit,
    End,
    Failure,
    LoopOptions,
    Open,
    Read,
    Review,
    review_loop,
)

FULL = "One is here. Two is there!\n\nThree, e.g. this. Four?"
SENTENCES = st.lists(
    st.sampled_from(["Good.", "Bad.", "Worse!", "So 3.14 it is?", "你好。", "- item\n", "No end"]),
    min_size=1,
    max_size=6,
)
GAPS = st.sampled_from([" ", "\n", "  ", "\n\n", ""])


class Scripted:
    """A deterministic upstream: continues `full`, whatever the prefix says, by its length."""

    def __init__(self, full: str, *, size: int = 3, reason: str | None = None) -> None:
        self.full, self.size, self.reason = full, size, reason
        self.seen: list[str] = []
        self.open = 0

    def __call__(self, question: str, prefix: str) -> Iterator[str]:
        self.seen.append(prefix)
        rest = self.full[len(prefix) :] if self.full.startswith(prefix) else self._after(prefix)
        return self._pieces(rest)

    def _after(self, prefix: str) -> str:
        return self.full[min(len(prefix), len(self.full)) :]

    def _pieces(self, rest: str) -> Iterator[str]:
        self.open += 1
        try:
            for start in range(0, len(rest), self.size):
                yield rest[start : start + self.size]
        finally:
            self.open -= 1
        return self.reason


def identity(question: str, prefix: str, sentence: str) -> str:
    return sentence


def listing(*answers: Iterable[str]) -> Callable[[str, str], Iterable[str]]:
    """An upstream whose n-th call yields the n-th list of pieces."""
    calls = iter(answers)
    return lambda question, prefix: next(calls)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("full", [FULL, FULL + "\n", "  " + FULL, "no mark", " \n", ""])
def test_identity_gives_the_upstream_byte_for_byte(full: str, size: int) -> None:
    count = sum(bool(s.text) for s in _segments(full))
    sequential = Scripted(full, size=size, reason="length")
    answer = align("q", sequential, identity)
    assert (answer.text, answer.finish_reason) == (full, "length")
    assert answer.corrector_calls == count
    assert {step.verdict for step in answer.steps} <= {"copy"}
    speculating = align("q", Scripted(full, size=size, reason="length"), identity, speculate=True)
    assert (speculating.text, speculating.finish_reason) == (full, "length")
    assert (speculating.upstream_calls, speculating.discarded_chars) == (1, 0)
    assert speculating.corrector_calls == count
    assert speculating.proposed_chars == len(full)
    assert speculating.steps == answer.steps


def _segments(text: str) -> tuple[Segment, ...]:
    from equipoise.systems.stream_aligner import segment

    return segment(text)


def test_without_speculation_every_sentence_is_a_call() -> None:
    upstream = Scripted("A one. B two. C three.", size=1)
    answer = align("q", upstream, identity)
    assert upstream.seen == ["", "A one.", "A one. B two."]
    assert answer.upstream_calls == answer.corrector_calls == 3
    assert answer.discarded_chars == 2  # the blank after each of the first two sentences
    assert answer.proposed_chars == len(answer.text) + 2


@pytest.mark.parametrize(
    ("join", "seen"),
    [
        ("exact", ["", "X.", "X.X.", "X.X.X.", "X.X.X.X."]),
        ("space", ["", " X.", " X. X.", " X. X. X.", " X. X. X. X."]),
    ],
)
def test_constant_corrector(join: str, seen: list[str]) -> None:
    prefixes: list[str] = []

    def upstream(question: str, prefix: str) -> Iterator[str]:
        prefixes.append(prefix)
        yield "Proposal. More"

    answer = align("q", upstream, lambda q, p, s: "X.", rounds=5, then="stop", join=join)
    assert prefixes == seen
    assert answer.text == ("X." * 5 if join == "exact" else " X." * 5)
    assert answer.finish_reason == "stop"
    assert [step.verdict for step in answer.steps] == ["edit"] * 5


def test_an_empty_continuation_ends_the_answer_without_a_review() -> None:
    answer = align("q", listing(["A. ", "B"], []), identity)
    assert (answer.text, answer.corrector_calls, answer.upstream_calls) == ("A.", 1, 2)
    blank = align("q", listing(["\n", "\n"]), identity)
    assert (blank.text, blank.corrector_calls) == ("\n\n", 0)
    assert align("q", listing([]), identity) == Answer("", "stop", (), 1, 0, 0, 0)


def test_done_ends_the_answer_even_when_the_last_sentence_was_edited() -> None:
    upstream = Scripted("Fine. Bad.", reason="length")
    answer = align("q", upstream, lambda q, p, s: s.replace("Bad", "Good"), speculate=True)
    assert (answer.text, answer.finish_reason) == ("Fine. Good.", "length")
    assert answer.upstream_calls == 1
    tail = align("q", listing(["no end  "]), lambda q, p, s: "X")
    assert (tail.text, tail.corrector_calls, tail.upstream_calls) == ("X  ", 1, 1)
    assert tail.discarded_chars == 0


def test_an_edit_discards_what_was_read_beyond_the_proposal() -> None:
    upstream = listing(["One. Two. Three."], [" Drei."])
    answer = align("q", upstream, lambda q, p, s: s.replace("One", "Eins"), speculate=True)
    assert answer.text == "Eins. Drei."
    assert answer.upstream_calls == 2
    assert answer.proposed_chars == len("One. Two. Three. Drei.")
    assert answer.discarded_chars == len(" Two. Three.")


def test_a_length_finish_in_a_discarded_stream_does_not_end_the_answer() -> None:
    first = Scripted("One. Two", size=100, reason="length")
    second = Scripted("One. More.", size=100, reason="stop")
    streams = iter([first("q", ""), second("q", "One.")])
    answer = align("q", lambda q, p: next(streams), lambda q, p, s: s.replace("One", "1"))
    assert (answer.text, answer.finish_reason) == ("1. More.", "stop")


def test_two_drops_in_a_row_end_the_answer() -> None:
    upstream = Scripted("Fine. Bad. Fine.")
    answer = align("q", upstream, lambda q, p, s: "" if s == "Bad." else s, speculate=True)
    assert (answer.text, answer.finish_reason) == ("Fine.", "content_filter")
    assert [step.verdict for step in answer.steps] == ["copy", "drop", "drop"]
    assert upstream.seen == ["", "Fine."]
    assert upstream.open == 0


@pytest.mark.parametrize(
    ("speculate", "streams"),
    [
        (False, (["Bad."], ["Good. Bad"], [" Bad."], [" End."])),
        (True, (["Bad."], ["Good. Bad."], [" End."])),  # the open stream goes on after the copy
    ],
)
def test_a_drop_asks_again_at_the_same_prefix(
    speculate: bool, streams: tuple[list[str], ...]
) -> None:
    corrector = lambda q, p, s: Correction("", "drop") if s == "Bad." else s  # noqa: E731
    answer = align("q", listing(*streams), corrector, speculate=speculate)
    assert (answer.text, answer.finish_reason) == ("Good. End.", "stop")
    assert answer.upstream_calls == len(streams)


@pytest.mark.parametrize(("text", "shown"), [("Enough.", "One. Enough."), ("", "One.")])
def test_stop_emits_its_text_and_ends(text: str, shown: str) -> None:
    def corrector(question: str, prefix: str, sentence: str) -> Correction:
        return Correction(text, "stop") if sentence == "Two." else Correction(sentence)

    upstream = Scripted("One. Two. Three.", reason="length")
    answer = align("q", upstream, corrector, speculate=True)
    assert (answer.text, answer.finish_reason) == (shown, "stop")
    assert upstream.open == 0


def _fails_at_two(question: str, prefix: str, sentence: str) -> str:
    if sentence == "Two.":
        raise OSError("no reply")
    return sentence


@pytest.mark.parametrize(
    ("policy", "text", "reason"),
    [
        ("closed", "One.", "content_filter"),
        ("open", "One. Two. Three.", "stop"),
        ("static", "One. Sorry.", "content_filter"),
    ],
)
def test_failure_policies(policy: str, text: str, reason: str) -> None:
    upstream = Scripted("One. Two. Three.")
    answer = align("q", upstream, _fails_at_two, on_failure=policy, static_text="Sorry.")
    assert (answer.text, answer.finish_reason) == (text, reason)
    failed = answer.steps[1]
    assert (failed.verdict, failed.note) == ("unreviewed", "OSError: no reply")
    assert answer.corrector_calls == (3 if policy == "open" else 2)


@pytest.mark.parametrize("reply", [None, 3, b"x"])
def test_an_answer_of_the_wrong_type_is_a_failure(reply: object) -> None:
    answer = align("q", Scripted("One. Two."), lambda q, p, s: reply)  # type: ignore[arg-type]
    assert (answer.text, answer.finish_reason) == ("", "content_filter")
    assert "must be a Correction or str" in answer.steps[0].note


@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("rounds", [0, 1, 2, 4, 9])
def test_rounds_then_free(rounds: int, speculate: bool) -> None:
    upstream = Scripted(FULL, reason="length")
    answer = align("q", upstream, lambda q, p, s: s.lower(), rounds=rounds, speculate=speculate)
    assert answer.corrector_calls == min(rounds, 4)
    assert len(answer.text) == len(FULL)
    reviewed = sum(len(step.segment.raw) for step in answer.steps[:rounds])
    assert answer.text == FULL[:reviewed].lower() + FULL[reviewed:]
    assert answer.finish_reason == "length"
    assert [step.verdict == "unreviewed" for step in answer.steps] == [
        place >= rounds for place in range(4)
    ]


def test_rounds_then_stop() -> None:
    upstream = Scripted(FULL, reason="length")
    answer = align("q", upstream, identity, rounds=2, then="stop", speculate=True)
    assert (answer.text, answer.finish_reason) == ("One is here. Two is there!", "stop")
    assert upstream.open == 0


def test_aligner_mode_is_one_review_of_the_whole_answer() -> None:
    seen: list[str] = []

    def corrector(question: str, prefix: str, sentence: str) -> str:
        seen.append(sentence)
        return sentence.upper()

    answer = align("q", Scripted(f" {FULL}\n", reason="length"), corrector, mode="aligner")
    assert seen == [FULL]
    assert (answer.text, answer.finish_reason) == (f" {FULL.upper()}\n", "length")
    assert (answer.upstream_calls, answer.corrector_calls, answer.discarded_chars) == (1, 1, 0)
    assert align("q", Scripted(f"\n{FULL} "), identity, mode="aligner").text == f"\n{FULL} "
    assert align("q", Scripted(" \n"), identity, mode="aligner").corrector_calls == 0


@pytest.mark.parametrize("speculate", [False, True])
def test_detect_leaves_the_text_and_records_the_corrections(speculate: bool) -> None:
    replies = iter(["one.", "", Correction("Enough", "stop"), "four"])
    upstream = Scripted(FULL)
    answer = align("q", upstream, lambda q, p, s: next(replies), mode="detect", speculate=speculate)
    assert answer.text == FULL
    assert [step.verdict for step in answer.steps] == ["edit", "drop", "stop", "edit"]
    assert [step.text for step in answer.steps] == ["one.", "", "Enough", "four"]
    assert (answer.upstream_calls, answer.corrector_calls, answer.discarded_chars) == (1, 4, 0)


def test_detect_survives_a_failing_corrector() -> None:
    answer = align("q", Scripted("One. Two. Three."), _fails_at_two, mode="detect")
    assert answer.text == "One. Two. Three."
    assert [step.verdict for step in answer.steps] == ["copy", "unreviewed", "copy"]


def test_off_asks_no_corrector() -> None:
    answer = align("q", Scripted(FULL, reason="length"), lambda q, p, s: "", mode="off")
    assert (answer.text, answer.finish_reason, answer.corrector_calls) == (FULL, "length", 0)


def test_max_segments() -> None:
    endless = lambda question, prefix: iter(["Again. And "])  # noqa: E731
    answer = align("q", endless, identity, max_segments=3)
    assert (answer.text, answer.finish_reason) == ("Again.Again.Again.", "length")
    exact = align("q", Scripted("A. B. C."), identity, max_segments=3)
    assert exact.finish_reason == "stop"


def test_long_text_without_marks_flows_in_forced_segments() -> None:
    answer = align("q", Scripted("x" * 10_000, size=100), identity, speculate=True)
    assert answer.text == "x" * 10_000
    assert [len(step.text) for step in answer.steps] == [400] * 25
    assert align("q", Scripted("x" * 100), identity, max_chars=20).corrector_calls == 5


def test_whitespace_at_the_end_of_the_prefix_is_held_back_from_the_upstream() -> None:
    seen: list[str] = []

    def corrector(question: str, prefix: str, sentence: str) -> str:
        seen.append(prefix)
        return "X. \n"

    answer = align("q", listing(["A. B"], ["C. D"], ["E."]), corrector)
    assert seen == ["", "X. \n", "X. \nX. \n"]
    assert answer.text == "X. \n" * 3
    prefixes: list[str] = []
    align("q", lambda q, p: (prefixes.append(p), ["A. B"])[1], corrector, rounds=3, then="stop")
    assert prefixes == ["", "X.", "X. \nX."]


def test_join_space_speculates_only_where_the_blank_is_the_same() -> None:
    upstream = Scripted("A. B.\nC. D.", size=1)
    answer = align("q", upstream, identity, join="space", speculate=True)
    assert answer.text.startswith(" A.")
    assert all(step.text == step.segment.text for step in answer.steps)
    assert answer.upstream_calls == len(upstream.seen) > 1
    same = Scripted(" A. B. C.", size=1)
    assert align("q", same, identity, join="space", speculate=True).upstream_calls == 1


def test_steps_come_one_by_one_and_the_answer_is_returned() -> None:
    asked: list[str] = []

    def corrector(question: str, prefix: str, sentence: str) -> Correction:
        asked.append(sentence)
        return Correction(sentence.upper(), note="louder")

    steps = align_stream("q", Scripted("one. two."), corrector)
    first = next(steps)
    assert first == Step("", Segment("", "one."), "ONE.", "edit", "louder")
    assert asked == ["one."]
    rest = []
    try:
        while True:
            rest.append(next(steps))
    except StopIteration as end:
        answer = end.value
    assert answer.steps == (first, *rest)
    assert answer.text == "ONE. TWO."
    assert rest[0].prefix == "ONE."


def test_abandoning_the_steps_closes_the_upstream() -> None:
    upstream = Scripted(FULL)
    steps = align_stream("q", upstream, identity, speculate=True)
    next(steps)
    assert upstream.open == 1
    steps.close()
    assert upstream.open == 0


def test_the_stream_is_closed_before_the_review_unless_speculating() -> None:
    upstream = Scripted(FULL)
    states: list[int] = []

    def corrector(question: str, prefix: str, sentence: str) -> str:
        states.append(upstream.open)
        return sentence

    align("q", upstream, corrector)
    assert states == [0, 0, 0, 0]
    states.clear()
    align("q", upstream, corrector, speculate=True)
    assert states[0] == 1


def test_an_upstream_that_raises_is_passed_on_and_closed() -> None:
    closed = []

    def upstream(question: str, prefix: str) -> Iterator[str]:
        try:
            yield "One. "
            raise ConnectionError("lost")
        finally:
            closed.append(True)

    steps = align_stream("q", upstream, identity, speculate=True)
    assert next(steps).text == "One."
    with pytest.raises(ConnectionError, match="lost"):
        next(steps)
    assert closed == [True]


def test_a_custom_iterator_is_closed_and_wrong_pieces_are_refused() -> None:
    class Pieces:
        closed = False

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            return b"bytes"

        def close(self) -> None:
            self.closed = True

    pieces = Pieces()
    with pytest.raises(InvalidInput, match="yielded bytes; it must yield text"):
        align("q", lambda q, p: pieces, identity)
    assert pieces.closed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "strean"}, "unknown mode 'strean': did you mean 'stream'"),
        ({"then": "halt"}, "unknown then 'halt'"),
        ({"join": "spaces"}, "did you mean 'space'"),
        ({"on_failure": "closd"}, "did you mean 'closed'"),
        ({"rounds": -1}, "rounds is -1; it must be an integer >= 0"),
        ({"max_segments": 0}, "max_segments is 0; it must be an integer >= 1"),
        ({"max_chars": 5}, "max_chars is 5"),
        ({"static_text": None}, "static_text is NoneType"),
    ],
)
def test_options_are_checked_before_the_upstream_is_asked(
    options: dict[str, Any], message: str
) -> None:
    upstream = Scripted(FULL)
    with pytest.raises(InvalidInput, match=message):
        align_stream("q", upstream, identity, **options)
    assert upstream.seen == []


def _verdict_by_text(question: str, prefix: str, sentence: str) -> Correction:
    if sentence.startswith("Bad"):
        return Correction("Fixed.")
    if sentence.startswith("Worse"):
        return Correction("", "drop")
    return Correction(sentence)


@given(SENTENCES, st.lists(GAPS, min_size=6, max_size=6), st.sampled_from(["exact", "space"]))
def test_speculation_changes_no_byte(sentences: list[str], gaps: list[str], join: str) -> None:
    full = "".join(itertools.chain.from_iterable(zip(sentences, gaps)))
    answers = [
        align("q", Scripted(full, size=size), _verdict_by_text, speculate=speculate, join=join)
        for speculate in (False, True)
        for size in (1, 5, 1000)
    ]
    first = answers[0]
    for answer in answers:
        assert (answer.text, answer.finish_reason) == (first.text, first.finish_reason)
        assert answer.steps == first.steps
        used = sum(len(step.segment.raw) for step in answer.steps)
        assert answer.proposed_chars == used + answer.discarded_chars
    assert answers[3].upstream_calls <= first.upstream_calls


@given(SENTENCES, st.lists(GAPS, min_size=6, max_size=6), st.integers(1, 9))
def test_nothing_is_shown_that_no_step_decided(
    sentences: list[str], gaps: list[str], size: int
) -> None:
    full = "".join(itertools.chain.from_iterable(zip(sentences, gaps)))
    reviewed: list[str] = []

    def corrector(question: str, prefix: str, sentence: str) -> Correction:
        reviewed.append(sentence)
        return _verdict_by_text(question, prefix, sentence)

    answer = align("q", Scripted(full, size=size), corrector, speculate=True)
    shown = "".join(s.segment.leading + s.text for s in answer.steps if s.verdict != "drop")
    assert answer.text == shown
    assert [s.segment.text for s in answer.steps if s.segment.text] == reviewed
    assert answer.corrector_calls == len(reviewed)


async def _drive(
    upstream: Callable[[str], AsyncIterator[str]],
    corrector: Callable[[str, str], Any],
    options: LoopOptions,
    ahead: int,
) -> tuple[Answer, str]:
    """An asynchronous driver with read-ahead, as the proxy will have one."""
    machine, reply, shown = review_loop(options), None, []
    stream: AsyncIterator[str] | None = None
    buffer: list[str] = []
    while True:
        try:
            request = machine.send(reply)
        except StopIteration as end:
            return end.value, "".join(shown)
        reply = None
        match request:
            case Open(prefix):
                stream, buffer = upstream(prefix), []
            case Read():
                assert stream is not None
                reply = buffer.pop(0) if buffer else await anext(stream, End("length"))
            case Close():
                reply = sum(map(len, buffer))
                await stream.aclose()  # type: ignore[union-attr]
            case Review(prefix, sentence, keeps_open):
                assert stream is not None
                review = asyncio.ensure_future(corrector(prefix, sentence))
                while keeps_open and len(buffer) < ahead:
                    piece = await anext(stream, None)
                    if piece is None:
                        break
                    buffer.append(piece)
                reply = await review
            case Emit(_, text):
                shown.append(text)


@pytest.mark.parametrize("ahead", [0, 3, 1000])
def test_the_machine_can_be_driven_asynchronously(ahead: int) -> None:
    scripted = Scripted("Good. Bad. Also good. Late.")

    async def upstream(prefix: str) -> AsyncIterator[str]:
        for piece in scripted("q", prefix):
            await asyncio.sleep(0)
            yield piece

    async def corrector(prefix: str, sentence: str) -> Any:
        await asyncio.sleep(0)
        return Failure("late") if sentence == "Late." else _verdict_by_text("q", prefix, sentence)

    options = LoopOptions(speculate=True, on_failure="open")
    answer, shown = asyncio.run(_drive(upstream, corrector, options, ahead))
    expected = align("q", Scripted(scripted.full), _verdict_by_text, speculate=True)
    assert answer.text == shown == expected.text
    assert answer.steps[-1].verdict == "unreviewed"
    assert answer.finish_reason == "length"
    assert answer.upstream_calls == 2
    assert answer.discarded_chars >= expected.discarded_chars
    used = sum(len(step.segment.raw) for step in answer.steps)
    assert answer.proposed_chars == used + answer.discarded_chars


def test_detect_leaves_an_answer_of_any_length() -> None:
    whole = "A. " * 100
    seen = align("q", listing([whole]), lambda q, p, s: "B.", mode="detect", max_segments=5)
    assert seen.text == whole
    assert seen.finish_reason == "stop"
    assert [step.verdict for step in seen.steps[:6]] == ["edit"] * 5 + ["unreviewed"]


def test_half_a_character_from_the_upstream_becomes_a_replacement() -> None:
    assert align("q", listing(["A \ud800."]), identity).text == "A \ufffd."
