"""Contenders: descriptions that fix behaviour, scripted streams, system prompts."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.systems.libra.contenders import (
    BackendContender,
    Contender,
    Listing,
    Reply,
    Sampling,
    ScriptedContender,
    check_names,
    default_contenders,
    embedded_backend,
    scripted_contenders,
    with_system,
)


def ask(contender: Contender, prompt: str, sample: int = 0) -> Reply:
    return asyncio.run(contender.reply([{"role": "user", "content": prompt}], sample=sample))


def scripted(name="s", replies=("one", "two"), **options) -> ScriptedContender:
    return ScriptedContender(Listing(name), tuple(replies), **options)


def embedded(name: str = "plain", **sampling) -> BackendContender:
    return BackendContender(
        Listing(name),
        "embedded",
        "llamacpp",
        "smollm2-135m",
        embedded_backend(),
        None,
        Sampling(**sampling),
    )


def test_scripted_reply_is_chosen_by_the_prompt_and_substituted():
    contender = scripted(replies=("You said: {prompt}",))
    assert ask(contender, "hello {prompt}").text == "You said: hello {prompt}"
    several = scripted(replies=("a", "b", "c"))
    answers = {ask(several, f"question {k}").text for k in range(40)}
    assert answers == {"a", "b", "c"}
    assert ask(several, "question 1") == ask(several, "question 1")


@given(st.text(min_size=1), st.integers(1, 9))
def test_the_pieces_of_a_stream_join_to_the_reply(text, size):
    contender = scripted(replies=(text,), chunk_chars=size)

    async def pieces() -> list[str]:
        return [piece async for piece in contender.stream([{"role": "user", "content": "?"}])]

    joined = asyncio.run(pieces())
    assert "".join(joined) == text.replace("{prompt}", "?")
    assert all(1 <= len(piece) <= size for piece in joined)


def test_a_script_that_breaks_off_raises():
    contender = scripted(replies=("0123456789",), chunk_chars=4, fail_after_chunks=1)
    with pytest.raises(RunFailed, match="broke off"):
        ask(contender, "x")


def test_both_kinds_satisfy_the_protocol():
    assert isinstance(scripted(), Contender)
    assert isinstance(embedded(), Contender)


def test_description_names_what_decides_the_answer_and_not_the_name():
    assert embedded("a").description() == embedded("b").description()
    assert embedded(temperature=0.9).description() != embedded().description()
    assert embedded(seed=1).description() != embedded().description()
    assert set(embedded().description()) >= {
        "kind", "endpoint", "model", "system", "temperature", "top_p", "max_tokens", "seed",
    }  # fmt: skip
    assert "a" not in embedded("a").description().values()


def test_scripted_description_ignores_pace_and_keeps_failure():
    assert scripted(delay_ms=5).description() == scripted().description()
    assert scripted(fail_after_chunks=2).description() != scripted().description()


def test_system_prompt_goes_first_and_keeps_the_tasks_own():
    messages = [{"role": "system", "content": "task"}, {"role": "user", "content": "q"}]
    joined = with_system(messages, "mine")
    assert joined[0]["content"] == "mine\n\ntask"
    assert messages[0]["content"] == "task"
    assert with_system(messages[1:], "mine")[0] == {"role": "system", "content": "mine"}
    assert with_system(messages, None) == messages


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no contender was given"),
        (["a", "a"], "two contenders are called 'a'"),
        (["a", " "], "empty name"),
    ],
)
def test_names_are_checked(names, message):
    with pytest.raises(InvalidInput, match=message):
        check_names([scripted(name) for name in names])


def test_without_the_weights_scripted_contenders_stand_in_and_a_line_says_so(monkeypatch):
    def absent(name: str):
        raise MissingData(f"{name} is not here: run `equipoise models pull {name}`")

    monkeypatch.setattr("equipoise.core.store.path_of", absent)
    contenders, line = default_contenders()
    assert [c.name for c in contenders] == [c.name for c in scripted_contenders()]
    assert len(contenders) == 4
    assert "equipoise models pull smollm2-135m" in line


def test_with_the_weights_four_variants_share_one_backend(monkeypatch, tmp_path):
    monkeypatch.setattr("equipoise.core.store.path_of", lambda name: tmp_path)
    contenders, line = default_contenders(max_tokens=32)
    assert line == ""
    assert [c.name for c in contenders] == ["plain", "warm", "cautious", "terse"]
    variants = [c for c in contenders if isinstance(c, BackendContender)]
    assert len({id(c.shared) for c in variants}) == 1
    assert len({str(c.description()) for c in variants}) == 4
    assert variants[1].sampling.temperature == 0.9


class FakeStream:
    """What a back end's `stream` gives: pieces, then a finish reason and counts."""

    finish_reason, prompt_tokens, completion_tokens = "stop", 7, 2

    def __init__(self, pieces):
        self._pieces = list(pieces)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


class FakeBackend:
    closed = 0

    def __init__(self):
        self.asked = []

    def stream(self, messages, **options):
        self.asked.append((messages, options))
        return FakeStream(["he", "llo"])

    def close(self):
        self.closed += 1


def test_backend_contender_streams_with_its_sampling_and_numbers_samples(monkeypatch):
    backend, loads = FakeBackend(), []

    def load(spec, **options):
        loads.append((spec, options))
        return backend

    monkeypatch.setattr("equipoise.text.load_backend", load)
    contender = embedded(temperature=0.5, seed=3, max_tokens=9)
    assert ask(contender, "hi", sample=2) == Reply("hello", "stop", 7, 2)
    ask(contender, "again")
    assert loads == [("llamacpp:smollm2-135m", {"device": "auto"})]
    messages, options = backend.asked[0]
    assert messages == [{"role": "user", "content": "hi"}]
    assert options == {"temperature": 0.5, "top_p": 1.0, "max_tokens": 9, "seed": 5}
    contender.close()
    contender.close()
    assert backend.closed == 1
    ask(contender, "hi")
    assert len(loads) == 2
