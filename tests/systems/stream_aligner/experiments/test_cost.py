from itertools import pairwise

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import align
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.experiments.cost import (
    COPY_RATES,
    EqualSentences,
    corrector_prompt_tokens,
    identity_share,
    published_share,
    run_cost,
    upstream_shares,
)
from equipoise.systems.stream_aligner.prompts import corrector_prompt

TINY = StreamAlignerConfig.preset("tiny", text_answers=6)
SIZES = {"question": 50, "tags": 20, "behind": 14, "sentence": 25}


def test_prompt_tokens_of_the_specification() -> None:
    assert corrector_prompt_tokens(16, **SIZES, reuse=False) == 4520
    assert corrector_prompt_tokens(16, **SIZES, reuse=True) == 1055
    for reuse in (False, True):  # the first round has nothing to keep
        assert corrector_prompt_tokens(1, **SIZES, reuse=reuse) == 95
    grown = [corrector_prompt_tokens(n, **SIZES, reuse=True) for n in range(1, 17)]
    assert {after - before for before, after in pairwise(grown)} == {64}


@pytest.mark.parametrize("reuse", [False, True])
def test_the_count_is_that_of_real_prompts(reuse: bool) -> None:
    question, sentence, rounds = "Q" * 50, "s" * 24 + ".", 5
    prompts, prefix = [], ""
    for _ in range(rounds):
        prompts.append(corrector_prompt(question, prefix, sentence))
        prefix += sentence
    read = sum(len(prompt) for prompt in prompts)
    if reuse:
        read = len(prompts[0])
        for before, after in pairwise(prompts):
            shared = next(n for n, pair in enumerate(zip(before, after)) if pair[0] != pair[1])
            read += len(after) - shared
    labels = len(corrector_prompt("", "", ""))
    behind = len(" | ##Answer_Last_Sentence:  | ##Your_Revision: ")
    counted = corrector_prompt_tokens(rounds, 50, labels, behind, 25, reuse=reuse)
    assert counted == read


@pytest.mark.parametrize(
    "wrong",
    [{"rounds": 0}, {"question": -1}, {"tags": 3}, {"sentence": -25}],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="rounds must be >= 1, sizes >= 0, behind <= tags"):
        corrector_prompt_tokens(**{"rounds": 16, **SIZES, **wrong}, reuse=True)


@pytest.mark.parametrize(("sentences", "times"), [(1, 1.0), (2, 1.5), (7, 4.0), (16, 8.5)])
def test_the_published_loop_writes_half_the_square(sentences: int, times: float) -> None:
    assert published_share(sentences) == pytest.approx(times)


def test_the_scripted_upstream_is_the_same_however_it_is_asked() -> None:
    world = EqualSentences(sentences=5, run_ahead=0.4)
    whole = "".join(world.upstream("", ""))
    pieces = list(world.upstream("", ""))
    assert len({len(piece) for piece in pieces[1:-1]}) == 1
    assert len(pieces[0]) == round(1.4 * len(whole) / 5)
    begun = whole[: 2 * len(whole) // 5]
    assert begun + "".join(world.upstream("", begun)) == whole
    assert list(world.upstream("", whole)) == []
    answer = align("", world.upstream, identity, speculate=True)
    assert (answer.text, answer.corrector_calls, answer.discarded_chars) == (whole, 5, 0)


def test_waste_by_copy_rate_known_by_hand() -> None:
    never, always = upstream_shares(0.0, 3, 0), upstream_shares(1.0, 3, 0)
    # of sixteen sentences fifteen are followed by one that was begun
    assert never["speculating"] == pytest.approx(1 + 0.2 * 15 / 16)
    assert never["whole_sentence_ahead"] == pytest.approx(1 + 15 / 16)
    assert always["speculating"] == always["whole_sentence_ahead"] == 1.0
    # one after the other, one character of twenty tells that a sentence has ended
    for found in (never, always):
        assert found["sequential"] == pytest.approx(1 + 15 / 16 / 20)
    half = upstream_shares(0.5, 40, 0)
    assert half["speculating_low"] < half["speculating"] < half["speculating_high"]
    assert half["speculating_low"] < 1 + 0.5 * 0.2 * 15 / 16 < half["speculating_high"]


def test_identity_costs_nothing_and_all_targets_are_met() -> None:
    done: list[int] = []
    found = run_cost(TINY, 0, lambda: done.append(1))
    assert len(done) == 1 + len(COPY_RATES)
    assert [row["measured"] for row in found["rows"]] == [1.0, 8.5, 4520, 1055]
    assert all(row["reached"] for row in found["rows"])
    assert found["reached"] is True
    assert found["published_loop"] == 8.5
    assert [row["copy_rate"] for row in found["curve"]] == list(COPY_RATES)
    for earlier, later in pairwise(found["curve"]):
        assert later["speculating"] <= earlier["speculating"]
        assert later["whole_sentence_ahead"] <= earlier["whole_sentence_ahead"]
    last = found["prompt_curve"][-1]
    assert last == {"rounds": 16, "read_anew": 4520, "kept": 1055}


def test_identity_is_measured_on_answers_of_the_text_world() -> None:
    assert identity_share(TINY, 0) == identity_share(TINY, 1) == 1.0
