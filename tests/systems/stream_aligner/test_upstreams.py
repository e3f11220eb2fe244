import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.store import path_of
from equipoise.systems.stream_aligner import (
    align,
    align_stream,
    make_corrector,
    upstream_from_backend,
)
from equipoise.systems.stream_aligner.upstreams import (
    at_once_of,
    open_upstream,
    read_answers,
    scripted_upstream,
)


class FakeBackend:
    """Continues one text word by word; a token is a word."""

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.open = text, [], 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def iter_text(self, messages: Any, **options: Any) -> Iterator[str]:
        self.asked.append((list(messages), options))
        rest = self.text[len(options["prefix"]) :]
        self.open += 1
        try:
            words = re.findall(r"\s*\S+", rest)
            yield from words[: options["max_tokens"]]
        finally:
            self.open -= 1
        return "length" if len(words) > options["max_tokens"] else "stop"


def test_a_back_end_as_upstream() -> None:
    backend = FakeBackend("One two. Three four. Five.")
    upstream = upstream_from_backend(
        backend,  # type: ignore[arg-type]
        system="Be brief.",
        examples=[("q0", "a0")],
        temperature=0.5,
        stop=["END"],
        seed=7,
    )
    answer = align("q", upstream, lambda q, p, s: s)
    assert (answer.text, answer.finish_reason) == (backend.text, "stop")
    messages, options = backend.asked[1]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in messages] == ["Be brief.", "q0", "a0", "q"]
    assert options == {
        "prefix": "One two.",
        "max_tokens": 510,
        "temperature": 0.5,
        "top_p": 1.0,
        "stop": ("END",),
        "seed": 7,
    }
    assert backend.open == 0


def test_the_token_budget_is_one_for_all_restarts() -> None:
    backend = FakeBackend("a b. c d. e f.")
    upstream = upstream_from_backend(backend, max_tokens=4)  # type: ignore[arg-type]
    answer = align("q", upstream, lambda q, p, s: s)
    assert (answer.text, answer.finish_reason) == ("a b. c d.", "length")
    spent = align("q", upstream, lambda q, p, s: s + " and much more.", rounds=1)
    assert spent.finish_reason == "length"
    assert spent.text == "a b. and much more."


def test_a_drop_is_asked_again_with_another_seed() -> None:
    backend = FakeBackend("Bad. Good.")
    upstream = upstream_from_backend(backend, seed=3)  # type: ignore[arg-type]
    align("q", upstream, lambda q, p, s: "")
    align("q", upstream, lambda q, p, s: s, rounds=1, then="stop")
    assert [options["seed"] for _, options in backend.asked] == [3, 4, 5]
    align("other", upstream, lambda q, p, s: s, rounds=1, then="stop")
    assert backend.asked[-1][1]["seed"] == 3


def test_answers_in_several_threads_keep_their_own_seeds() -> None:
    backend = FakeBackend("Bad. Good.")
    upstream = upstream_from_backend(backend, seed=3)  # type: ignore[arg-type]
    together = threading.Barrier(2, timeout=30)

    def drop(question: str, prefix: str, sentence: str) -> str:
        together.wait()  # both have asked, and none has asked again
        return ""

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda q: align(q, upstream, drop, rounds=2, then="stop"), ("a", "b")))
    seeds = {name: [] for name in ("a", "b")}
    for messages, options in backend.asked:
        seeds[messages[-1]["content"]].append(options["seed"])
    assert seeds == {"a": [3, 4], "b": [3, 4]}


def test_as_many_questions_at_once_as_all_can_bear() -> None:
    class Few:
        answers_at_once = 4

    url = "https://host/v1#m"
    assert [at_once_of(spec, 8) for spec in (url, "openai:" + url, "local:m", None)] == [8, 8, 1, 1]
    assert at_once_of(url, 8, [Few(), str]) == 4
    assert at_once_of(url, 2, [Few()]) == 2
    with pytest.raises(InvalidInput, match="requests is 0"):
        at_once_of("local:m", 0)


def test_closing_the_steps_closes_the_back_end() -> None:
    backend = FakeBackend("One. Two. Three.")
    upstream = upstream_from_backend(backend)  # type: ignore[arg-type]
    steps = align_stream("q", upstream, lambda q, p, s: s, speculate=True)
    next(steps)
    assert backend.open == 1
    steps.close()
    assert backend.open == 0


def test_stored_answers_go_on_by_sentence_after_an_edit() -> None:
    upstream = scripted_upstream({"q": "One. Two.\nThree."}.__getitem__)
    answer = align("q", upstream, lambda q, p, s: s.replace("One", "A long first"))
    assert answer.text == "A long first. Two.\nThree."
    assert "".join(upstream("q", "One. T")) == "wo.\nThree."


def test_replay_files(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = [{"question": "a", "answer": "A."}, {"prompt": "b", "result": "B. C."}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with open_upstream(f"replay:{path}") as upstream:
        assert "".join(upstream("b", "B.")) == " C."
        with pytest.raises(InvalidInput, match="holds no answer to 'c'"):
            list(upstream("c", ""))
    assert read_answers(path) == {"a": "A.", "b": "B. C."}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "a", "answer": "A"}\n{"question"\n', "line 2"),
        ('{"question": "a"}\n', "line 1: expected texts 'question'"),
        ("[1]\n", "line 1: expected an object, got list"),
        ("", "holds no answers"),
    ],
)
def test_broken_replay_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_answers(path)
    with pytest.raises(InvalidInput, match="there is no file"):
        read_answers(tmp_path / "none")


@pytest.mark.parametrize("spec", ["nowhere:x", "local:", "smollm2-135m", ""])
def test_unknown_upstreams(spec: str) -> None:
    with pytest.raises(InvalidInput, match="unknown upstream"), open_upstream(spec):
        pass


@pytest.mark.standard
def test_the_embedded_model_is_reviewed_sentence_by_sentence() -> None:
    try:
        path_of("smollm2-135m")
    except MissingData as error:
        pytest.skip(str(error))
    example = ("Add 31, 45 and 12.", "First, 31 + 45 = 76. Then 76 + 12 = 88.")
    with open_upstream(
        "local:smollm2-135m", examples=[example], max_tokens=40, threads=1
    ) as upstream:
        question = "Add 56, 54 and 21."
        plain = align(question, upstream, make_corrector("identity"), speculate=True)
        raw = align(question, upstream, make_corrector("identity"), mode="off")
        assert plain.text == raw.text
        assert plain.upstream_calls == 1
        steps = align_stream(question, upstream, lambda q, p, s: "First, 56 + 54 = 110.")
        first = next(steps)
        steps.close()
        assert first.verdict in ("copy", "edit")
        fixed = align(
            question,
            upstream,
            lambda q, p, s: s if p else "First, 56 + 54 = 110.",
            rounds=1,
        )
        assert fixed.text.startswith("First, 56 + 54 = 110. Then 110 + 21 = ")
