import itertools
import random
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import Segment, Segmenter, first_sentence, segment


def texts(text: str, **options: int) -> list[str]:
    return [found.text for found in segment(text, **options)]


# Pieces that meet in every rule: marks, closers, abbreviations, list markers, fences, wide marks.
FRAGMENTS = st.sampled_from(
    [
        *(" ", "  ", "\n", "\r\n", "\r", "\t", "\u00a0", "\u2028", "\x00"),
        *(".", "?", "!", "…", "...", '."', ".)", "!**", ".`", "?’"),
        *("。", "！", "？", "｡", "。」", "！》", "。”"),
        *("Dr", "Mr", "(Fig", "e.g", "U.S", "[i.e", "“vs", "3.14", "1", "12", "1234", "(2", "٣"),
        *("```", "````", "~~~", "```py", "``", "`", "~~"),
        *("word", "a" * 30, "é", "漢字", "🙂", "\u202e", "x_y", "-"),
    ]
)
MIXED = st.lists(FRAGMENTS, max_size=40).map("".join)
LIMITS = st.sampled_from([20, 21, 23, 60, 400])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith left. Bye.", ["Dr. Smith left.", "Bye."]),
        ("The answer is 4. Then stop.", ["The answer is 4.", "Then stop."]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ('He said "Go." Then left.', ['He said "Go."', "Then left."]),
        ("1. Wash hands.\n2. Dry.", ["1. Wash hands.", "2. Dry."]),
        ("1. Wash hands. 2. Dry.", ["1. Wash hands.", "2. Dry."]),
        # S1: a mark inside a token never splits
        ("See a.b/c?d=1 in file.txt now! Ok", ["See a.b/c?d=1 in file.txt now!", "Ok"]),
        ("Pi is 3.14 today. Yes", ["Pi is 3.14 today.", "Yes"]),
        ("**Bold.** Next", ["**Bold.**", "Next"]),
        ("Really?!” she said… So", ["Really?!”", "she said…", "So"]),
        ("Wow!x Then", ["Wow!x Then"]),
        # S2: wide marks need no whitespace
        ("你好。再见！」走。", ["你好。", "再见！」", "走。"]),
        ("好。！？”x", ["好。！？”", "x"]),
        ('好。"x', ["好。", '"x']),
        ("ok｡ ok", ["ok｡", "ok"]),
        ("好。Dr. A left", ["好。", "Dr. A left"]),
        # S3: titles, dotted abbreviations, list markers
        (
            "We met (Prof. X) and St. John vs. him. End",
            ["We met (Prof. X) and St. John vs. him.", "End"],
        ),
        ("Use e.g. tea. Or i.e. water. Ok", ["Use e.g. tea.", "Or i.e. water.", "Ok"]),
        ("We live in the U.S. Then we left.", ["We live in the U.S. Then we left."]),
        ("mr. lower", ["mr.", "lower"]),
        ("J. Doe", ["J.", "Doe"]),
        ("(see “e.g. this”). Ok", ["(see “e.g. this”).", "Ok"]),
        (
            "123. Long list. 1234. Year. 12. Again",
            ["123. Long list.", "1234.", "Year.", "12. Again"],
        ),
        ("It costs 12. Then", ["It costs 12.", "Then"]),
        ("Dr.) Next", ["Dr.)", "Next"]),  # the run is not exactly one dot
        ("Dr.. Next", ["Dr..", "Next"]),
        # S4: a line break ends a text
        ("No mark\nnext", ["No mark", "next"]),
        ("No mark \r\n\r\n next", ["No mark", "next"]),
        ("Dr.\nSmith", ["Dr.", "Smith"]),
    ],
)
def test_known_cuts(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_line_break_belongs_to_the_next_leading() -> None:
    assert segment("1. Wash hands.\n2. Dry.")[1] == Segment("\n", "2. Dry.")
    assert segment("Hello  \n there") == (Segment("", "Hello"), Segment("  \n ", "there"))


def test_trailing_whitespace_is_a_last_segment_without_text() -> None:
    assert segment("Hello. \n") == (Segment("", "Hello."), Segment(" \n", ""))
    assert segment("Hello ") == (Segment("", "Hello"), Segment(" ", ""))
    assert segment(" ") == (Segment(" ", ""),)
    assert segment("") == ()


CODE = "```py\nx = 1. 2? 3\n\n``\n```x\n  ```\t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Hi:\n  {CODE}\nEnd. Bye", ["Hi:", CODE.rstrip(), "End.", "Bye"]),
        ("~~~\n```\n~~~~\nx", ["~~~\n```\n~~~~", "x"]),
        ("````\n```\n````\nx", ["````\n```\n````", "x"]),
        ("```\n~~~ ```\n```\rx", ["```\n~~~ ```\n```", "x"]),
        ("```\nnever. closed\n\n", ["```\nnever. closed", ""]),
        ("text ```\nx. y", ["text ```", "x.", "y"]),
        ("``\nx", ["``", "x"]),
        ("`~`\nx", ["`~`", "x"]),
        ("A. ``` b. c", ["A.", "``` b.", "c"]),  # does not start its line
    ],
)
def test_code_blocks(text: str, expected: list[str]) -> None:
    found = segment(text)
    assert [part.text for part in found] == expected
    assert "".join(part.raw for part in found) == text
    fence = re.compile(r"\s*(```|~~~)")
    starts = [fence.match(line) is not None for line in re.split(r"[\n\r]", text)]
    assert any(part.kind == "code" for part in found) == any(starts)
    assert not any(part.forced for part in found)


def test_long_code_is_cut_at_its_own_limit_and_stays_code() -> None:
    text = "```\n" + "some code; \n" * 3000 + "```\nAfter. All"
    *blocks, after, last = segment(text)
    assert [block.kind for block in blocks] == ["code", "code"]
    assert [block.forced for block in blocks] == [True, False]
    assert 19_900 < len(blocks[0].text) <= 20_000
    assert blocks[1].text.endswith("code; \n```")
    assert (after.text, after.kind, last.text) == ("After.", "text", "All")
    dense = segment("```\n" + "x" * 45_000)
    assert [len(part.text) for part in dense] == [20_000, 20_000, 5_004]
    assert {part.kind for part in dense} == {"code"}


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("a" * 1000, 400, [("a" * 400, True), ("a" * 400, True), ("a" * 200, False)]),
        ("a" * 400, 400, [("a" * 400, False)]),
        ("a" * 400 + " b", 400, [("a" * 400, True), ("b", False)]),  # the run right after counts
        ("a" * 399 + " b", 400, [("a" * 399, True), ("b", False)]),
        ("a" * 200 + " " + "b" * 300, 400, [("a" * 200, True), ("b" * 300, False)]),
        (
            "a" * 199 + " " + "b" * 300,
            400,
            [("a" * 199 + " " + "b" * 200, True), ("b" * 100, False)],
        ),
        ("a" * 11 + " " + "b" * 9 + "c", 21, [("a" * 11, True), ("b" * 9 + "c", False)]),
        ("a" * 10 + " " + "b" * 10 + "c", 21, [("a" * 10 + " " + "b" * 10, True), ("c", False)]),
        ("a" * 399 + ". b", 400, [("a" * 399 + ".", False), ("b", False)]),
        (
            "aa bb" + " " * 300 + "c" * 399,
            400,
            [("aa bb" + " " * 300 + "c" * 95, True), ("c" * 304, False)],
        ),
        ("aa" + " " * 500 + "b", 400, [("aa", True), ("b", False)]),  # a text never ends in a blank
    ],
)
def test_forced_cuts(text: str, limit: int, expected: list[tuple[str, bool]]) -> None:
    assert [(part.text, part.forced) for part in segment(text, max_chars=limit)] == expected


def test_a_number_that_opens_the_rest_of_a_forced_cut_is_a_list_marker() -> None:
    assert texts("a" * 18 + " 12. Then", max_chars=20) == ["a" * 18, "12. Then"]


@given(MIXED, LIMITS)
@example("a" * 19 + "。" * 5 + "x", 20)
@example("```" + "\n" * 30 + "```" + " " * 30 + "\nx", 20)
def test_segments_are_lossless_and_well_formed(text: str, limit: int) -> None:
    found = segment(text, max_chars=limit)
    assert "".join(part.raw for part in found) == text
    for part in found[:-1]:
        assert part.text
    for part in found:
        assert part.text == part.text.strip()
        assert not part.leading or part.leading.isspace()
        assert part.kind in ("text", "code")
        assert len(part.text) <= (limit if part.kind == "text" else 20_000)
        if part.kind == "text":
            assert "\n" not in part.text
            assert "\r" not in part.text


@given(MIXED, LIMITS, st.data())
def test_chunking_changes_nothing(text: str, limit: int, data: st.DataObject) -> None:
    places = st.lists(st.integers(0, len(text)), max_size=8).map(sorted)
    cuts = [0, *data.draw(places), len(text)]
    pieces = [text[i:j] for i, j in itertools.pairwise(cuts)]
    cutter = Segmenter(max_chars=limit)
    found = [part for piece in pieces for part in cutter.feed(piece)] + cutter.close()
    assert tuple(found) == segment(text, max_chars=limit)
    single = Segmenter(max_chars=limit)
    assert [p for char in text for p in single.feed(char)] + single.close() == found


@given(st.one_of(MIXED.map(str.encode), st.binary(max_size=60)), st.data())
def test_bytes_may_be_cut_anywhere(raw: bytes, data: st.DataObject) -> None:
    cuts = [0, *data.draw(st.lists(st.integers(0, len(raw)), max_size=8).map(sorted)), len(raw)]
    cutter = Segmenter()
    found = [part for i, j in itertools.pairwise(cuts) for part in cutter.feed(raw[i:j])]
    assert tuple(found + cutter.close()) == segment(raw.decode("utf-8", errors="replace"))


def oracle(text: str) -> list[str]:
    """Rules S1 to S4 on a whole text without fences and forced cuts, from the rules alone."""
    found, start = [], 0
    while start < len(text):
        begin = next((i for i in range(start, len(text)) if not text[i].isspace()), len(text))
        end = next(
            (i for i in range(begin + 1, len(text) + 1) if _ends_at(text, begin, i)), len(text)
        )
        body = text[begin:end].rstrip()
        found.append(text[start:begin] + body)
        start = begin + len(body) if body else len(text)
    return found


def _ends_at(text: str, begin: int, end: int) -> bool:
    if end == len(text) or text[end] in "\n\r":
        return True
    body = text[begin:end]
    wide = re.search("[。！？｡][。！？｡」』”’）》】]*\\Z", body)
    if wide:
        return text[end] not in "。！？｡」』”’）》】"
    run = re.search("[.?!…][.?!…\"')\\]}”’»*_`]*\\Z", body)
    if not run or not text[end].isspace():
        return False
    run_start = run.start()
    while run_start and body[run_start - 1] in ".?!…\"')]}”’»*_`":  # runs join at their first mark
        run_start -= 1
    while body[run_start] not in ".?!…":
        run_start += 1
    if body[run_start:] != ".":
        return True
    token = re.search(r"\S*\Z", body[:-1])
    assert token is not None
    word = token[0].lstrip("([\"'“‘")
    names = [
        "Mr",
        "Mrs",
        "Ms",
        "Dr",
        "Prof",
        "St",
        "Jr",
        "Sr",
        "vs",
        "cf",
        "Fig",
        "Eq",
        "Sec",
        "Ch",
        "pp",
        "approx",
    ]
    marker = token.start() == 0 and re.fullmatch(r"\d{1,3}", word)
    return not (word in names or re.fullmatch(r"([A-Za-z]\.)+[A-Za-z]", word) or marker)


@given(MIXED.filter(lambda text: "``" not in text and "~~" not in text))
@example("漢字。.`\nx")
def test_the_stream_follows_the_rules_read_on_the_whole_text(text: str) -> None:
    assert [part.raw for part in segment(text, max_chars=10_000)] == oracle(text)


def test_the_deciding_character_delivers_the_segment() -> None:
    cutter = Segmenter()
    assert cutter.feed("Hello.") == []
    assert cutter.feed(" ") == [Segment("", "Hello.")]
    assert cutter.feed("3.") == []
    assert cutter.feed("14 is pi") == []
    assert cutter.feed("\n") == [Segment(" ", "3.14 is pi")]
    assert cutter.feed("好。") == []
    assert cutter.feed("x") == [Segment("\n", "好。")]
    assert cutter.feed("y" * 399) == []
    assert cutter.feed("y") == [Segment("", "x" + "y" * 399, forced=True)]
    assert cutter.close() == [Segment("", "y")]
    fence = Segmenter()
    assert fence.feed("```\nx\n```  ") == []
    assert fence.feed("\n") == [Segment("", "```\nx\n```", "code")]


def test_a_code_point_cut_in_two() -> None:
    cutter = Segmenter()
    raw = "é。🙂".encode()
    found = [part for byte in raw for part in cutter.feed(bytes([byte]))]
    assert found + cutter.close() == [Segment("", "é。"), Segment("", "🙂")]
    broken = Segmenter()
    assert broken.feed(b"a\xf0\x9f") == []
    assert broken.feed("b") == []
    assert broken.close() == [Segment("", "a\ufffdb")]


def test_feed_after_close_is_refused() -> None:
    cutter = Segmenter()
    cutter.feed("x")
    assert cutter.close() == [Segment("", "x")]
    assert cutter.close() == []
    with pytest.raises(InvalidInput, match="feed after close"):
        cutter.feed("y")


@pytest.mark.parametrize("limit", [19, 0, -1, True, 20.0, "40"])
def test_max_chars_is_checked(limit: object) -> None:
    with pytest.raises(InvalidInput, match=r"max_chars is .*>= 20"):
        Segmenter(max_chars=limit)  # type: ignore[arg-type]


def test_a_piece_must_be_text_or_bytes() -> None:
    cutter = Segmenter()
    with pytest.raises(InvalidInput, match="a piece is int"):
        cutter.feed(3)  # type: ignore[arg-type]
    assert cutter.feed("Still. ") == [Segment("", "Still.")]


@pytest.mark.parametrize(
    "unit", ["The fox, e.g. this one, runs 3.14 km. ", "a", " ", "``` x\n", ".", "a " * 99, "。"]
)
def test_cost_is_linear_one_character_at_a_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        cutter = Segmenter()
        start = time.perf_counter()
        for char in text:
            cutter.feed(char)
        cutter.close()
        return time.perf_counter() - start

    small = min(seconds(20_000) for _ in range(3))
    assert min(seconds(100_000) for _ in range(2)) <= 5 * 3.0 * small  # the square would be 25


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 4. Then stop.", "The answer is 4. Then stop."),
        ("It is 12.5 kg. Next.", "It is 12."),
        ("1. Wash hands. 2. Dry.", "1. Wash hands."),
        ("Dr. Smith left. Bye.", "Dr."),
        ("No terminator here", ""),
        ("Hello ! x", "Hello!"),
        ("", ""),
        ("Tea, e.g. green, i.e. not black. Ok.", "Tea, e.g. green, i.e. not black."),
        ("So 4.! Next? Yes", "So 4.! Next?"),  # directly preceded by a protected dot
        ("  a.b", "a."),
        ("x٣. Done! ok", "x٣."),  # no word boundary before the digit
        ("٣. Done! ok", "٣. Done!"),
    ],
)
def test_first_sentence(text: str, expected: str) -> None:
    assert first_sentence(text) == expected


def test_random_prose_survives_a_round_trip() -> None:
    rng = random.Random(0)
    words = ["alpha", "Dr.", "3.14", "beta.", "gamma!", "\n", "e.g.", "delta,", "```", "。"]
    text = " ".join(rng.choice(words) for _ in range(20_000))
    assert "".join(part.raw for part in segment(text)) == text
