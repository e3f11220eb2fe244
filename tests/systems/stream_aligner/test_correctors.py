import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.stream_aligner import Correction, align, chain, diff_ops, make_corrector
from equipoise.systems.stream_aligner.correction import settled
from equipoise.systems.stream_aligner.correctors import INSTRUCTIONS, PromptedCorrector, read_reply
from equipoise.systems.stream_aligner.rules import make_rules


def write_rules(folder: Path, entries: Any) -> str:
    path = folder / "rules.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
    return f"rules:{path}"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("same", "copy"),
        ("other", "edit"),
        ("", "drop"),
        (Correction("same"), "copy"),
        (Correction("other", "copy"), "edit"),
        (Correction("same", "edit"), "edit"),
        (Correction("", "edit"), "drop"),
        (Correction("same", "stop"), "stop"),
        (Correction("", "stop"), "stop"),
        (Correction("", "drop"), "drop"),
    ],
)
def test_the_verdict_is_derived_where_it_is_open(said: Any, verdict: str) -> None:
    assert settled(said, "same").verdict == verdict


def test_corrections_are_checked() -> None:
    with pytest.raises(InvalidInput, match="a drop has empty text, got 'x'"):
        Correction("x", "drop")
    with pytest.raises(InvalidInput, match="unknown verdict 'copied': did you mean 'copy'"):
        Correction("x", "copied")
    with pytest.raises(InvalidInput, match="text is NoneType"):
        Correction(None)  # type: ignore[arg-type]


def test_identity() -> None:
    assert make_corrector("identity")("q", "p", " s ") == " s "


def test_rules_apply_in_order(tmp_path: Path) -> None:
    corrector = make_corrector(
        write_rules(
            tmp_path,
            [
                {"find": "color", "replace": "colour"},
                {"find": r"(\w+) colour", "replace": r"colour \1"},
                {"find": "TEA", "replace": "coffee", "ignore_case": True},
                {"find": "^Forget", "verdict": "drop"},
                {"find": "coffee time", "verdict": "stop"},
            ],
        )
    )
    assert corrector("", "", "A red color.") == Correction("A colour red.", note="rule 1, rule 2")
    assert corrector("", "", "Tea?") == Correction("coffee?", note="rule 3")
    assert corrector("", "", "Forget it.") == Correction("", "drop", "rule 4")
    assert corrector("", "", "It is tea time.") == Correction("", "stop", "rule 5")
    assert corrector("", "", "Nothing here.") == Correction("Nothing here.")


def test_a_sentence_that_rules_empty_is_a_drop(tmp_path: Path) -> None:
    corrector = make_corrector(write_rules(tmp_path, [{"find": "[a-z.]+", "replace": ""}]))
    assert corrector("", "", "all of it.") == Correction("", note="rule 1")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[{", "is not JSON"),
        ('{"find": "a"}', "expected a list of entries, got dict"),
        ([{"find": "a", "replace": "b"}, "x"], "entry 2: expected an object"),
        ([{"find": "(a", "replace": "b"}], "entry 1: bad regular expression"),
        ([{"find": "(a)", "replace": r"\2"}], "entry 1: bad regular expression or replacement"),
        ([{"find": "(a)", "replace": r"\g<x>"}], "entry 1: bad regular expression or replacement"),
        ([{"find": "a", "replace": "b"}, {"find": "a"}], "entry 2: give either"),
        ([{"find": "a", "replace": "b", "verdict": "drop"}], "entry 1: give either"),
        ([{"find": "a", "verdict": "dropp"}], "entry 1: .*did you mean 'drop'"),
        ([{"find": "a", "verdict": "edit"}], "entry 1: unknown verdict 'edit'"),
        ([{"find": 3, "replace": "b"}], "entry 1: 'find' is 3"),
        ([{"find": "", "replace": "b"}], "entry 1: 'find' is ''"),
        ([{"find": "a", "replace": None}], "entry 1: 'replace' is None"),
        ([{"find": "a", "replace": "b", "ignore_case": "yes"}], "entry 1: 'ignore_case' is 'yes'"),
        ([{"find": "a", "replcae": "b"}], "entry 1: unknown field 'replcae': did you mean"),
    ],
)
def test_a_bad_rules_file_is_refused(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        make_corrector(write_rules(tmp_path, entries))
    assert "\n" not in str(caught.value)


def test_a_missing_rules_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        make_corrector(f"rules:{tmp_path / 'none.json'}")


def test_a_catastrophic_expression_runs_into_its_limit() -> None:
    corrector = make_rules([{"find": "(a|aa)+$", "replace": "b"}], search_seconds=0.05)
    start = time.monotonic()
    with pytest.raises(RunFailed, match=r"rule 1: the search took longer than 0\.05 s"):
        corrector("", "", "a" * 80 + "!")
    assert time.monotonic() - start < 60  # the search itself would take years
    answer = align("q", lambda q, p: ["Fine. " + "a" * 80 + "!"], corrector, speculate=True)
    assert (answer.text, answer.finish_reason) == ("Fine.", "content_filter")
    assert "took longer" in answer.steps[-1].note


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("arithmetik", {}, "unknown corrector 'arithmetik': did you mean 'arithmetic'"),
        ("rule:x.json", {}, "did you mean 'rules:FILE'"),
        ("zzz", {}, "unknown corrector 'zzz'.* Valid: identity, rules:FILE, arithmetic, prompted"),
        ("", {}, "unknown corrector ''"),
        ("rules", {}, "write it as rules:FILE"),
        ("rules:", {}, "write it as rules:FILE"),
        ("prompted:", {}, "write it as prompted:"),
        ("identity:x", {}, "write it as identity"),
        ("model", {}, "write it as model:PATH"),
        ("model:runs/x", {"styel": 1}, "did you mean 'style'"),
        ("identity", {"x": 1}, "'identity' takes no options, got x"),
        ("rules:x", {"search_second": 1}, "did you mean 'search_seconds'"),
        (3, {}, "a corrector spec is text, got int"),
    ],
)
def test_unknown_specs_name_the_nearest(spec: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_corrector(spec, **options)


def test_search_seconds_must_be_positive() -> None:
    with pytest.raises(InvalidInput, match="search_seconds is 0"):
        make_rules([], search_seconds=0)


def test_chain_passes_on_text_notes_and_verdicts() -> None:
    arithmetic = make_corrector("arithmetic")
    stop = make_rules([{"find": "END", "verdict": "stop"}, {"find": "a", "replace": "e"}])
    both = chain(arithmetic, stop, lambda q, p, s: s + "!")
    assert both("", "", "a: 1 + 1 = 3") == Correction("e: 1 + 1 = 2!", None, "1 + 1 = 2; rule 2")
    assert both("", "", "END 1 + 1 = 3") == Correction("", "stop", "1 + 1 = 2; rule 1")
    assert chain()("", "", "same") == Correction("same")
    with pytest.raises(InvalidInput, match="returned int"):
        chain(lambda q, p, s: 3)("", "", "x")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("reply", "correction"),
    [
        (" Fixed. \n", Correction("Fixed.")),
        ("", Correction("")),
        ("[[STOP]] Bye.", Correction("Bye.", "stop")),
        ("[[STOP]]", Correction("", "stop")),
        ("Hm.\nCORRECTION: [[ Fixed. ]]\nEOS: [[FALSE]]", Correction("Fixed.")),
        ("correction: [[a]] CORRECTION: [[b]] eos: [[ true ]]", Correction("b", "stop")),
    ],
)
def test_replies_of_a_model(reply: str, correction: Correction) -> None:
    assert read_reply(reply) == correction


class FakeBackend:
    """Answers every request with one text and keeps what it was asked."""

    def __init__(self, reply: str) -> None:
        self.reply, self.asked, self.closed = reply, [], False

    def generate(self, messages: Any, **options: Any) -> Any:
        self.asked.append((messages, options))
        counts = {"prompt_tokens": 40, "completion_tokens": None}
        return type("Completion", (), {"text": self.reply, **counts})

    def close(self) -> None:
        self.closed = True


def test_a_prompted_corrector_asks_with_the_published_fields() -> None:
    backend = FakeBackend(" Better. ")
    corrector = PromptedCorrector(backend, max_tokens=33)  # type: ignore[arg-type]
    assert corrector("q", "p", "s") == Correction("Better.")
    assert corrector.meter.tokens == 40
    (messages, options) = backend.asked[0]
    assert messages[0] == {"role": "system", "content": INSTRUCTIONS}
    assert messages[1]["content"].endswith("##Answer_Last_Sentence: s | ##Your_Revision: ")
    assert options == {"max_tokens": 33}
    corrector.close()
    assert backend.closed


def test_prompted_specs_open_a_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def load_backend(spec: str, **options: Any) -> FakeBackend:
        opened.append((spec, options))
        return FakeBackend("x")

    monkeypatch.setattr("equipoise.text.load_backend", load_backend, raising=False)
    make_corrector("prompted:http://127.0.0.1:9/v1#m", timeout=3, max_tokens=5)
    make_corrector("prompted:llamacpp:smollm2-135m")
    assert opened == [
        ("openai:http://127.0.0.1:9/v1#m", {"timeout": 3}),
        ("llamacpp:smollm2-135m", {}),
    ]


WORDS = st.lists(st.sampled_from(["a", "b ", "12", ". ", "\n", "é", "漢"]), max_size=15).map(
    "".join
)


@given(WORDS, WORDS)
def test_diff_parts_join_to_both_texts(original: str, corrected: str) -> None:
    ops = diff_ops(original, corrected)
    assert "".join(op.original for op in ops) == original
    assert "".join(op.corrected for op in ops) == corrected
    for op in ops:
        assert (op.kind == "equal") == (op.original == op.corrected)
        assert (op.kind == "insert") == (not op.original)
        assert (op.kind == "delete") == (not op.corrected)


def test_diff_is_by_words() -> None:
    ops = diff_ops("The cat sat.", "The dog sat now.")
    assert [(op.kind, op.original, op.corrected) for op in ops] == [
        ("equal", "The ", "The "),
        ("replace", "cat", "dog"),
        ("equal", " sat", " sat"),
        ("insert", "", " now"),
        ("equal", ".", "."),
    ]
    assert diff_ops("", "") == ()


def test_arithmetic_in_the_loop_stops_a_wrong_sum_from_spreading() -> None:
    def upstream(question: str, prefix: str) -> Iterator[str]:
        if "35 + 59 = 94." in prefix:
            yield " 94 + 37 = 131."
        else:
            yield from ["35 + 59 = 154.", " 154 + 37 = 521."]

    answer = align("35 + 59 + 37?", upstream, make_corrector("arithmetic"), speculate=True)
    assert answer.text == "35 + 59 = 94. 94 + 37 = 131."
    whole = align("35 + 59 + 37?", upstream, make_corrector("arithmetic"), mode="aligner")
    assert whole.text == "35 + 59 = 94. 154 + 37 = 191."
