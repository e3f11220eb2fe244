import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import correction_loss
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.networks.byte_model import (
    END,
    PAD,
    STOP,
    VOCABULARY,
    ByteDecoder,
    ByteTokenizer,
    KeyValueCache,
)

SHAPE = DecoderShape(width=16, layers=2, heads=2, window=3)


@given(st.text())
def test_bytes_round_trip(text: str) -> None:
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(text)
    assert all(0 <= token < 256 for token in tokens)
    assert tokenizer.decode([STOP, *tokens, END, PAD]) == text


def test_half_a_surrogate_and_broken_utf8_do_not_raise() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a?b"
    assert tokenizer.decode([0xC3]) == "\ufffd"
    assert ByteTokenizer().fingerprint == tokenizer.fingerprint


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_cached_logits_are_those_of_one_pass(seed: int, cuts: list[int]) -> None:
    model = ByteDecoder(SHAPE, seed % 7)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCABULARY, (1, sum(cuts)), generator=generator)
    with torch.no_grad():
        whole = model(tokens)
        cache = KeyValueCache()
        junk = torch.randint(0, VOCABULARY, (1, 4), generator=generator)
        parts, start = [], 0
        for cut in cuts:
            parts.append(model(tokens[:, start : start + cut], cache=cache))
            start += cut
            model(junk, cache=cache)  # read something else and take it back
            cache.crop(start)
        assert cache.length == sum(cuts)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_the_future_is_not_seen_and_padding_changes_nothing() -> None:
    model = ByteDecoder(SHAPE)
    tokens = torch.randint(0, VOCABULARY, (2, 9))
    changed = tokens.clone()
    changed[:, 5:] = PAD
    with torch.no_grad():
        first, second = model(tokens), model(changed)
        kept = model(tokens, keep=3)
    torch.testing.assert_close(first[:, :5], second[:, :5])
    assert not torch.allclose(first[:, 5:], second[:, 5:])
    torch.testing.assert_close(kept, first[:, -3:])


def test_weights_follow_the_seed() -> None:
    first, second, other = (ByteDecoder(SHAPE, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_default_size_is_one_to_two_million_and_starts_near_uniform() -> None:
    model = ByteDecoder(DecoderShape())
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e6
    tokens = torch.randint(0, 256, (4, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = correction_loss(model(tokens), tokens)
    assert abs(float(loss) - math.log(VOCABULARY)) < 1.5


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (DecoderShape(width=0), "every size must be >= 1"),
        (DecoderShape(layers=0), "every size must be >= 1"),
        (DecoderShape(width=20, heads=4), "width 20 is no multiple of 8"),
    ],
)
def test_impossible_sizes(shape: DecoderShape, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ByteDecoder(shape)
