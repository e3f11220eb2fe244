from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.systems.stream_aligner import copy_decode
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.copying import copy_decode_tail
from equipoise.systems.stream_aligner.networks.byte_model import END, VOCABULARY
from equipoise.systems.stream_aligner.networks.families import ByteNetwork
from equipoise.systems.stream_aligner.networks.sessions import Session

SHAPE = DecoderShape(width=8, layers=2, heads=2, window=2)


def lively_network(seed: int) -> ByteNetwork:
    """A random network that knows few tokens, so that drafts are met and answers end."""
    network = ByteNetwork(SHAPE, seed)
    with torch.no_grad():
        network.module.head.weight *= 4
        network.module.head.weight[8:END] = 0.0
        network.module.head.weight[END + 1 :] = 0.0
    return network


def plain_greedy(network: ByteNetwork, prompt: list[int], limit: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < limit:
        with torch.no_grad():
            logits = network.module(torch.tensor([[*prompt, *tokens]]))[0, -1]
        token = int(logits.argmax())
        if token == END:
            break
        tokens.append(token)
    return tokens


@settings(max_examples=150)  # of up to three cases each
@given(
    st.integers(0, 40),
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 7), min_size=1, max_size=6),
            st.lists(st.integers(0, 7), max_size=8),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_copy_decoding_with_a_cache_is_plain_greedy_decoding(
    seed: int, reviews: list[tuple[list[int], list[int]]]
) -> None:
    network = lively_network(seed)
    session = Session(network)
    for prompt, draft in reviews:  # one cache serves them all
        found = copy_decode_tail(session.tail, prompt, draft, END, max_new_tokens=10)
        assert list(found.tokens) == plain_greedy(network, prompt, 10)
        assert found.passes <= len(found.tokens) + 1


def test_a_perfect_draft_costs_one_pass_and_a_known_prompt_nothing() -> None:
    network = lively_network(1)
    prompt = [1, 2, 3, 4, 5]
    expected = plain_greedy(network, prompt, 12)
    session = Session(network)
    found = copy_decode_tail(session.tail, prompt, expected, END, max_new_tokens=12)
    assert list(found.tokens) == expected
    assert found.passes == 1
    assert session.tokens_read <= len(prompt) + len(expected)
    before = session.tokens_read
    again = copy_decode_tail(session.tail, prompt, [], END, max_new_tokens=1)
    assert list(again.tokens) == expected[:1]
    assert session.tokens_read == before + 1  # the row behind the prompt is asked for anew


def test_sampling_by_the_cache_is_sampling_without_it() -> None:
    network = lively_network(2)

    def logits(tokens: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network.module(torch.from_numpy(tokens)[None])[0].double().numpy()

    for seed in range(20):
        options = {"max_new_tokens": 8, "temperature": 0.9}
        plain = copy_decode(logits, [1, 2], [3, 4], END, rng=np.random.default_rng(seed), **options)
        cached = copy_decode_tail(
            Session(network).tail, [1, 2], [3, 4], END, rng=np.random.default_rng(seed), **options
        )
        assert plain == cached


def test_reading_ahead_leaves_only_the_rest() -> None:
    network = lively_network(3)
    session = Session(network)
    session.read([1, 2, 3])
    session.read([1, 2])  # known already
    assert session.tokens_read == 3
    rows = session.tail([1, 2, 3, 4], 1)
    assert session.tokens_read == 4
    with torch.no_grad():
        whole = network.module(torch.tensor([[1, 2, 3, 4]]))[0, -1].double().numpy()
    np.testing.assert_allclose(rows[0], whole, atol=1e-5)
    assert rows.shape == (1, VOCABULARY)


def test_an_interrupted_pass_leaves_nothing_half_read() -> None:
    network = lively_network(4)
    failing = SimpleNamespace(new_cache=network.new_cache, crop=network.crop, extend=network.extend)
    session = Session(failing)  # type: ignore[arg-type]
    session.read([1, 2, 3])

    def interrupted(cache: object, tokens: object, keep: int) -> np.ndarray:
        network.extend(cache, tokens, keep)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    failing.extend = interrupted
    with pytest.raises(KeyboardInterrupt):
        session.read([1, 2, 5])
    failing.extend = network.extend
    expected = Session(network).tail([1, 2, 6], 1)
    np.testing.assert_allclose(session.tail([1, 2, 6], 1), expected, atol=1e-6)
