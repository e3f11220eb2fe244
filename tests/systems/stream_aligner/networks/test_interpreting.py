from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.networks.families import ByteNetwork, LanguageNetwork
from equipoise.systems.stream_aligner.networks.interpreting import (
    Examined,
    auc_interval,
    blocks_of,
    decode_steered,
    hidden_states,
    probe_layers,
    recorded,
    steered,
)

pytestmark = pytest.mark.standard
SHAPE = DecoderShape(width=16, layers=3, heads=2, window=3)


@pytest.fixture
def network() -> ByteNetwork:
    return ByteNetwork(SHAPE, seed=1)


@pytest.fixture(scope="module")
def language() -> LanguageNetwork:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    network = LanguageNetwork.__new__(LanguageNetwork)
    network.module = LlamaForCausalLM(config).eval()
    return network


def hooks(blocks: list[Any]) -> int:
    return sum(len(b._forward_hooks) + len(b._forward_pre_hooks) for b in blocks)


def test_blocks_of_both_kinds(network: ByteNetwork, language: LanguageNetwork) -> None:
    assert blocks_of(network) == list(network.module.blocks)
    assert blocks_of(language) == list(language.module.model.layers)
    adapted: Any = SimpleNamespace(module=nn.ModuleDict({"base": language.module}))
    adapted.module.config = language.module.config
    assert blocks_of(adapted) == list(language.module.model.layers)
    adapted.module = nn.Linear(2, 2)
    with pytest.raises(InvalidInput, match="Linear shows no list of blocks"):
        blocks_of(adapted)


def test_hidden_states_are_what_the_blocks_pass_on(network: ByteNetwork) -> None:
    texts = [network.tokenizer.encode(text) for text in ("It rains.", "So?")]
    states = hidden_states(network, texts)
    assert states.shape == (2, SHAPE.layers + 1, SHAPE.width)
    logits = network.logits(torch.tensor([texts[0]]), 1)[0, 0]
    last = torch.tensor(states[0, -1], dtype=torch.float32)
    again = network.module.head(network.module.norm(last))
    assert torch.allclose(again, logits, atol=1e-5)
    # layer 0 sees no more than the window: texts with one end agree there, and not behind a block
    same = hidden_states(network, [network.tokenizer.encode(text) for text in ("abcde", "xbcde")])
    assert np.allclose(same[0, 0], same[1, 0])
    assert not np.allclose(same[0, 1], same[1, 1])
    assert hooks(blocks_of(network)) == 0
    with pytest.raises(InvalidInput, match="no text to read"):
        hidden_states(network, [])


def test_hidden_states_of_a_language_model(language: LanguageNetwork) -> None:
    tokens = [3, 1, 4, 1, 5]
    states = hidden_states(language, [tokens])[0]
    told = language.module(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    assert states.shape == (3, 16)
    for layer in (0, 1):  # transformers norms what it returns as the last one
        expected = told[layer][0, -1].detach().double().numpy()
        assert np.allclose(states[layer], expected, atol=1e-6)


@pytest.mark.parametrize("layer", range(SHAPE.layers + 1))
def test_steering_adds_the_vector_at_the_last_positions_only(
    network: ByteNetwork, layer: int
) -> None:
    blocks, tokens = blocks_of(network), torch.tensor([network.tokenizer.encode("It rains.")])
    plain = network.module(tokens).detach()
    vector = np.linspace(-2, 2, SHAPE.width)
    with steered(blocks, layer, np.zeros(SHAPE.width), 2):
        assert torch.allclose(network.module(tokens), plain, atol=1e-6)
    with steered(blocks, layer, vector, 2):
        moved = network.module(tokens).detach()
    assert torch.allclose(moved[:, :-2], plain[:, :-2], atol=1e-6)
    assert not torch.allclose(moved[:, -2], plain[:, -2], atol=1e-2)
    with steered(blocks, layer, vector, 2), recorded(blocks) as seen, torch.inference_mode():
        network.logits(tokens, 1)
    before = hidden_states(network, [tokens[0].tolist()])[0, layer]
    if layer:  # a block's own hooks run in order: steering first
        assert np.allclose(seen[layer][0], before + vector, atol=1e-5)
    assert hooks(blocks) == 0


def test_steering_a_language_model_moves_its_layers(language: LanguageNetwork) -> None:
    blocks, tokens = blocks_of(language), torch.tensor([[3, 1, 4]])
    before = hooks(blocks)  # transformers has its own
    plain = language.logits(tokens, 3).detach()
    for layer in range(3):
        with steered(blocks, layer, np.arange(16.0), 1):
            moved = language.logits(tokens, 3).detach()
        assert torch.allclose(moved[:, :-1], plain[:, :-1], atol=1e-6)
        assert not torch.allclose(moved[:, -1], plain[:, -1], atol=1e-3)
    assert hooks(blocks) == before


def test_hooks_go_when_something_fails(network: ByteNetwork) -> None:
    blocks = blocks_of(network)
    with pytest.raises(KeyError), recorded(blocks), steered(blocks, 1, np.zeros(16), 1):
        raise KeyError
    assert hooks(blocks) == 0


@pytest.mark.parametrize(("layer", "last"), [(-1, 1), (4, 1), (0, 0)])
def test_layers_and_positions_that_are_not_there(
    network: ByteNetwork, layer: int, last: int
) -> None:
    with (
        pytest.raises(InvalidInput, match=r"(layer|last) is"),
        steered(blocks_of(network), layer, np.zeros(16), last),
    ):
        pass


def test_no_steering_decodes_as_the_corrector_does(network: ByteNetwork) -> None:
    prompt, draft = network.tokenizer.encode("Say: "), network.tokenizer.encode("It rains.")
    plain = decode_steered(network, prompt, draft, 1, np.zeros(SHAPE.width))
    assert len(plain) <= 2 * len(draft) + 16
    tokens = list(prompt)
    for token in plain:  # greedy, one token at a time
        assert int(network.logits(torch.tensor([tokens]), 1)[0, 0].argmax()) == token
        tokens.append(token)
    # towards one token's row of the head, every next token is that one
    push = 1e3 * network.module.head.weight[65].detach().double().numpy()
    assert set(decode_steered(network, prompt, draft, SHAPE.layers, push)) == {65}


def test_auc_known_by_hand() -> None:
    labels = np.array([True, True, False, False])
    assert auc_interval(np.array([3.0, 1.0, 2.0, 0.0]), labels, range(4)).estimate == 0.75
    assert auc_interval(np.zeros(4), labels, range(4)).estimate == 0.5
    perfect = auc_interval(np.array([3.0, 4.0, 2.0, 0.0]), labels, range(4))
    assert (perfect.estimate, perfect.low, perfect.high) == (1.0, 1.0, 1.0)
    rng = np.random.default_rng(0)
    chance = auc_interval(rng.normal(size=400), np.arange(400) % 2 == 0, range(400))
    assert chance.low < 0.5 < chance.high
    assert chance.high - chance.low < 0.15
    with pytest.raises(InvalidInput, match="rows of both kinds"):
        auc_interval(np.zeros(2), np.array([True, True]), range(2))


def test_rows_of_one_answer_count_once() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2 == 0
    scores = rng.normal(size=40) + labels
    alone = auc_interval(scores, labels, range(40))
    of = np.repeat(range(40), 25)
    copies = auc_interval(scores[of], labels[of], of.tolist())
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))
    taken_apart = auc_interval(scores[of], labels[of], range(1000))
    assert taken_apart.high - taken_apart.low < 0.4 * (alone.high - alone.low)


def test_probes_find_the_layer_that_knows_and_its_direction() -> None:
    rng = np.random.default_rng(0)
    edits, fresh = np.arange(80) % 2 == 0, np.arange(60) % 3 == 0
    states, fresh_states = rng.normal(size=(80, 3, 6)), rng.normal(size=(60, 3, 6))
    states[edits, 1, 2] += 8.0
    fresh_states[fresh, 1, 2] += 8.0
    answers, fresh_answers = [str(place // 4) for place in range(80)], list(map(str, range(60)))
    unseen = Examined(fresh_states, fresh, fresh_answers)
    probes = probe_layers(Examined(states, edits, answers), unseen, 0)
    assert [probe.layer for probe in probes] == [0, 1, 2]
    assert max(probes, key=lambda probe: probe.validated).layer == 1
    assert probes[1].auc.estimate > 0.99
    assert max(probes[0].auc.estimate, probes[2].auc.estimate) < 0.8
    expected = states[edits, 1].mean(axis=0) - states[~edits, 1].mean(axis=0)
    assert np.allclose(probes[1].direction, expected)
    assert abs(probes[1].direction[2] - 8.0) < 1.0
    with pytest.raises(InvalidInput, match="got one of them in 0"):
        probe_layers(Examined(states, np.ones(80, dtype=bool), answers), unseen, 0)
    with pytest.raises(InvalidInput, match="got one of them in 1"):
        probe_layers(Examined(states, edits, ["one answer"] * 80), unseen, 0)


def test_folds_do_not_tell_answers_by_heart() -> None:
    # a mark of the answer, and a label that is the answer's: known answers are told, new ones not
    rng = np.random.default_rng(1)
    answers = np.repeat(np.arange(30), 8)
    edits = (rng.permutation(30) % 2 == 0)[answers]
    states = np.eye(30)[answers][:, None, :] + 0.01 * rng.normal(size=(240, 1, 30))
    known = Examined(states, edits, [str(answer) for answer in answers])
    (probe,) = probe_layers(known, known, 0)
    assert probe.validated < 0.7
    assert probe.auc.estimate > 0.99


def test_too_few_answers_for_the_folds_are_refused() -> None:
    edits = np.array([1, 1, 0, 1, 1, 0, 0], dtype=bool)
    known = Examined(np.arange(7.0).reshape(7, 1, 1), edits, list("0011122"))
    refused = 0
    for seed in range(10):
        try:
            probe_layers(known, known, seed)
        except InvalidInput as error:
            assert "more answers" in str(error)  # noqa: PT017
            refused += 1
    assert refused
