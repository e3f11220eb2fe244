from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import copy_decode

EOS = 0
PROMPT = [9, 9]


def says(*target: int, vocabulary: int = 12) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """A model that writes `target` after the prompt, whatever was written before."""

    def logits(tokens: NDArray[np.int64]) -> NDArray[Any]:
        rows = np.zeros((len(tokens), vocabulary))
        for row in range(len(tokens)):
            place = row + 1 - len(PROMPT)
            rows[row, target[place] if 0 <= place < len(target) else EOS] = 5.0
        return rows

    return logits


def random_model(seed: int, vocabulary: int = 5) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """A deterministic model that depends on the last two tokens."""
    table = np.random.default_rng(seed).normal(size=(vocabulary, vocabulary, vocabulary))

    def logits(tokens: NDArray[np.int64]) -> NDArray[Any]:
        before = np.concatenate([[0], tokens[:-1]])
        return table[before % vocabulary, tokens % vocabulary]

    return logits


def plain_greedy(model: Callable[..., Any], prompt: list[int], limit: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < limit:
        token = int(model(np.array(prompt + tokens))[-1].argmax())
        if token == EOS:
            break
        tokens.append(token)
    return tokens


def test_a_full_copy_costs_one_pass() -> None:
    found = copy_decode(says(3, 4, 5), PROMPT, [3, 4, 5], EOS)
    assert (found.tokens, found.passes, found.copied_tokens, found.is_copy) == (
        (3, 4, 5),
        1,
        3,
        True,
    )
    empty = copy_decode(says(), PROMPT, [], EOS)
    assert (empty.tokens, empty.passes, empty.is_copy) == ((), 1, True)


def test_a_full_match_that_goes_on_is_an_edit() -> None:
    found = copy_decode(says(3, 4, 5, 6), PROMPT, [3, 4, 5], EOS)
    assert (found.tokens, found.is_copy, found.passes) == ((3, 4, 5, 6), False, 2)


def test_the_end_inside_the_draft_is_an_edit() -> None:
    found = copy_decode(says(3), PROMPT, [3, 4, 5], EOS)
    assert (found.tokens, found.is_copy, found.passes) == ((3,), False, 1)
    assert copy_decode(says(), PROMPT, [3], EOS).tokens == ()


@pytest.mark.parametrize(
    ("target", "copied"),
    [
        ((3, 4, 7, 6, 8), 4),  # one token replaced
        ((3, 4, 6, 8), 3),  # one left out: the text re-joins at 6, written by the model
        ((3, 4, 7, 7, 5, 6, 8), 4),  # two put in: re-joins at 5
    ],
)
def test_the_rest_of_the_draft_is_offered_where_the_text_rejoins_it(
    target: tuple[int, ...], copied: int
) -> None:
    found = copy_decode(says(*target), PROMPT, [3, 4, 5, 6, 8], EOS)
    assert found.tokens == target
    assert found.copied_tokens == copied
    assert found.passes == len(target) - copied + 1
    assert not found.is_copy


@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), max_size=12), st.integers(1, 15))
def test_greedy_output_equals_plain_decoding(seed: int, draft: list[int], limit: int) -> None:
    model = random_model(seed)
    found = copy_decode(model, [1, 2], draft, EOS, max_new_tokens=limit)
    expected = plain_greedy(model, [1, 2], limit)
    assert list(found.tokens) == expected
    assert found.passes <= len(expected) + 1
    assert found.copied_tokens <= len(expected)
    perfect = copy_decode(model, [1, 2], expected, EOS, max_new_tokens=limit)
    assert list(perfect.tokens) == expected
    assert perfect.passes == 1


def test_sampled_output_has_the_distribution_of_plain_sampling() -> None:
    model = random_model(3, vocabulary=3)
    exact: dict[tuple[int, ...], float] = {}

    def spread(tokens: tuple[int, ...], mass: float) -> None:
        if len(tokens) == 3:
            exact[tokens] = exact.get(tokens, 0) + mass
            return
        row = model(np.array([1, *tokens]))[-1] / 0.8
        for token, p in enumerate(np.exp(row) / np.exp(row).sum()):
            if token == EOS:
                exact[tokens] = exact.get(tokens, 0) + mass * p
            else:
                spread((*tokens, token), mass * p)

    spread((), 1.0)
    rng = np.random.default_rng(0)
    runs = 6000
    counts = Counter(
        copy_decode(model, [1], [2, 1, 2], EOS, max_new_tokens=3, temperature=0.8, rng=rng).tokens
        for _ in range(runs)
    )
    for tokens, mass in exact.items():
        error = np.sqrt(mass * (1 - mass) / runs)
        assert abs(counts[tokens] / runs - mass) <= 4.5 * error, tokens


def test_equal_generators_give_equal_samples() -> None:
    model = random_model(1)
    first, second = (
        copy_decode(model, [1], [2, 3], EOS, temperature=1.0, rng=np.random.default_rng(4))
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": []}, "prompt_ids is empty"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": 1.0}, "temperature is 1.0; > 0 needs an rng"),
        ({"temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], message: str) -> None:
    prompt = changes.pop("prompt", PROMPT)
    with pytest.raises(InvalidInput, match=message):
        copy_decode(says(3), prompt, [3], EOS, **changes)
