import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import Correction, align, make_corrector, science_commands
from equipoise.systems.stream_aligner.collection.collecting import iter_rows
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.gate.features import BUCKETS, DENSE
from equipoise.systems.stream_aligner.gate.files import load_gate
from equipoise.systems.stream_aligner.gate.linear import CopyGate
from equipoise.systems.stream_aligner.gate.states import FirstBlocks, prompt_states, readable
from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
from equipoise.systems.stream_aligner.networks.batches import fit_prompt
from equipoise.systems.stream_aligner.networks.families import ByteNetwork, LanguageNetwork
from equipoise.systems.stream_aligner.networks.interpreting import hidden_states
from equipoise.systems.stream_aligner.networks.sessions import Session
from equipoise.systems.stream_aligner.rows import CorrectionRow, write_rows
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, oracle

pytestmark = pytest.mark.standard
SHAPE = DecoderShape(width=16, layers=3, heads=2, window=3)
LAYERS = range(SHAPE.layers + 1)
ROWS = [
    CorrectionRow("How is it?", prefix, last, last)
    for prefix, last in (("", "It rains."), ("It rains.", "It snows."), ("It rains.", "It rains."))
]
SURE = CopyGate("text", np.zeros(BUCKETS + DENSE), 1.0, threshold=0.0)
NEVER = replace(SURE, threshold=math.inf)


def network() -> ByteNetwork:
    return ByteNetwork(SHAPE, seed=1)


def prompts(rows: list[CorrectionRow], length: int = 160) -> list[list[int]]:
    tokenizer = network().tokenizer
    return [
        fit_prompt(tokenizer, r.question, r.prefix, r.last, "stream", length - len(r.last) - 1)
        for r in rows
    ]


@pytest.mark.parametrize("layer", LAYERS)
def test_states_of_the_first_blocks_are_those_of_the_whole_network(layer: int) -> None:
    whole = hidden_states(network(), prompts(ROWS))[:, layer]
    ours = prompt_states(network(), ROWS, layer, max_length=160)
    assert ours == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_blocks_behind_the_layer_are_not_computed(layer: int) -> None:
    whole = network()
    run: list[int] = []
    for number, block in enumerate(whole.module.blocks):
        block.register_forward_pre_hook(lambda *_, number=number: run.append(number))
    head = whole.module.head.register_forward_pre_hook(lambda *_: run.append(-1))
    FirstBlocks(whole, layer).extend(whole.new_cache(), [1, 2, 3], 1)
    # the first block's own hook comes first, then the one that stops at layer 0
    assert run == list(range(max(1, layer)))
    head.remove()
    assert whole.extend(whole.new_cache(), [1, 2, 3], 1).shape == (1, 259)


def test_layers_that_are_not_there_are_refused() -> None:
    for layer in (-1, SHAPE.layers + 1):
        with pytest.raises(InvalidInput, match="this network has layers 0 to 3"):
            FirstBlocks(network(), layer)
    with pytest.raises(InvalidInput, match="no row"):
        prompt_states(network(), [], 1, max_length=160)


def test_logits_are_states_of_the_kept_positions() -> None:
    tokens = torch.tensor(prompts(ROWS)[:1])
    first = FirstBlocks(network(), 2)
    assert first.logits(tokens, 4).shape == (1, 4, SHAPE.width)
    cached = first.extend(first.new_cache(), tokens[0].tolist(), 4)
    assert cached == pytest.approx(first.logits(tokens, 4)[0].double().numpy(), abs=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_language_models_first_blocks(layer: int) -> None:
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 64}
    torch.manual_seed(0)
    module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, **heads)).eval()
    whole = object.__new__(LanguageNetwork)
    whole.module, whole.tokenizer = module, network().tokenizer
    whole.base, whole.base_sha256 = "made up", ""
    texts = [[5, 6, 7, 8, 9], [5, 6, 7, 1], [5, 6, 2, 3, 4, 8]]
    wanted = hidden_states(whole, texts)[:, layer]
    session = Session(FirstBlocks(whole, layer))
    ours = np.stack([session.tail(text, 1)[0] for text in texts])
    assert ours == pytest.approx(wanted, abs=1e-5)
    assert session.tokens_read == 5 + 1 + 4


def test_what_does_not_fit_is_not_read() -> None:
    long = CorrectionRow("How is it?" * 20, "", "It rains.", "It rains.")
    assert readable(network(), [*ROWS, long], max_length=160) == ROWS


def test_a_sure_copy_costs_no_pass_and_says_so() -> None:
    review = ModelCorrector(network(), "stream", 160, gate=SURE)
    assert review("How is it?", "", "It rains.") == Correction("It rains.", "copy", "gate")
    assert (review.skipped, review.passes, review.tokens_read, review.last) == (1, 0, 0, None)
    assert review.meter.tokens == 0
    answer = align("How is it?", lambda q, p: ["It rains."], review)
    assert [(step.verdict, step.note) for step in answer.steps] == [("copy", "gate")]
    assert review.skipped == 2


def test_with_a_gate_nothing_is_read_ahead() -> None:
    for gate, reads in ((SURE, False), (None, True)):
        review = ModelCorrector(network(), "stream", 160, gate=gate)
        review.anticipate("How is it?", "", "It ra")
        assert (review.tokens_read > 0) == reads
        assert (review.meter.tokens > 0) == reads


def test_what_the_gate_is_not_sure_of_is_reviewed_as_without_one() -> None:
    plain = ModelCorrector(network(), "stream", 160)
    features = CopyGate("layer:2", np.zeros(16), 0.0, threshold=0.5)
    for gate in (NEVER, features, replace(features, threshold=math.inf)):
        review = ModelCorrector(network(), "stream", 160, gate=gate)
        for row in ROWS:
            asked = (row.question, row.prefix, row.last)
            assert said(review, *asked) == said(plain, *asked)
        assert review.skipped == 0
        assert review.passes > 0


def said(review: ModelCorrector, *asked: str) -> Any:
    try:
        return review(*asked)
    except RuntimeError as error:  # an untrained network need not come to an end
        return str(error)


def test_a_gate_on_a_layer_reads_only_what_is_new() -> None:
    gate = CopyGate("layer:1", np.zeros(16), 1.0, threshold=0.5)
    review = ModelCorrector(network(), "stream", 160, gate=gate)
    for row in ROWS:
        assert review(row.question, row.prefix, row.last).note == "gate"
    assert (review.skipped, review.tokens_read) == (3, 0)
    assert max(map(len, prompts(ROWS))) < review.gate_tokens_read < sum(map(len, prompts(ROWS)))
    review.close()
    assert review.gate_tokens_read == 0
    assert review("How is it?", "", "It rains.").note == "gate"


def test_a_gate_that_never_skips_reads_nothing() -> None:
    gate = CopyGate("layer:1", np.zeros(16), 1.0)
    review = ModelCorrector(network(), "stream", 160, gate=gate)
    said(review, "How is it?", "", "It rains.")
    assert (gate.skips, review.skipped, review.gate_tokens_read) == (False, 0, 0)
    assert review.tokens_read > 0


def test_limits_hold_in_front_of_the_gate_too() -> None:
    review = ModelCorrector(network(), "stream", 60, gate=SURE)
    with pytest.raises(InvalidInput, match="raise max_length"):
        review("How is it?" * 9, "", "It rains.")
    assert ModelCorrector(network(), "aligner", 160, gate=SURE).gate is None


def test_a_state_that_never_varies_lets_nothing_skip() -> None:
    # every prompt ends alike, so the embedding of its last tokens says nothing
    states = prompt_states(network(), ROWS, 0, max_length=160)
    assert np.ptp(states, axis=0).max() < 1e-6
    gate = CopyGate("layer:0", np.ones(16), 0.0)
    gate = replace(gate, threshold=float(gate.score_states(states[:1])[0]))
    assert not any(gate.is_sure(score) for score in gate.score_states(states))


def rows_file(folder: Path, questions: int = 60) -> Path:
    world = ArithmeticWorld(steps=3, largest=20, error_rate=0.5, seed=1)
    rows = list(iter_rows(world.questions(questions, 1), world.upstream, oracle))
    write_rows(rows, folder / "rows.jsonl")
    return folder / "rows.jsonl"


TRAINING: dict[str, Any] = {
    "decoder.width": "8",
    "decoder.layers": "1",
    "decoder.heads": "1",
    "batch": "16",
    "epochs": "1",
    "gate_budget": "0.2",
}


@pytest.mark.parametrize("features", ["text", "layer:1"])
def test_train_fits_a_gate_that_the_corrector_takes(tmp_path: Path, features: str) -> None:
    found = science_commands.train(
        rows_file(tmp_path), gate=True, out=tmp_path / "run", gate_features=features, **TRAINING
    )
    told = found["gate"]
    assert (told["features"], told["budget"]) == (features, 0.2)
    assert found["rows"] == 42 * 3  # of sixty questions eighteen are kept
    assert told["fresh_clean"] + told["fresh_bad"] == 6 * 3
    assert told["threshold"] is not None
    assert told["miss_rate_low"] <= told["miss_rate"] <= told["miss_rate_high"]
    assert json.loads(json.dumps(told)) == told
    assert json.loads((tmp_path / "run" / "results.json").read_text())["measured"]["gate"] == told
    review = make_corrector(f"model:{found['run']}")
    assert isinstance(review, ModelCorrector)
    assert review.gate is not None
    assert (review.gate.features, review.gate.threshold) == (features, told["threshold"])
    assert review.gate.calibration_bad == told["calibration_bad"]
    without = make_corrector(f"model:{found['run']}", gate="off")
    assert isinstance(without, ModelCorrector)
    assert without.gate is None
    with pytest.raises(InvalidInput, match="option gate 'of': did you mean 'off'"):
        make_corrector(f"model:{found['run']}", gate="of")


def test_a_gate_beside_another_corrector_is_refused(tmp_path: Path) -> None:
    file = rows_file(tmp_path)
    first = science_commands.train(file, gate=True, out=tmp_path / "a", **TRAINING)
    other = science_commands.train(file, seed=7, out=tmp_path / "b", **TRAINING)
    assert "gate" not in other
    here, there = Path(first["checkpoint"]), Path(other["checkpoint"])
    for name in ("gate.json", "gate.safetensors"):
        (there / name).write_bytes((here / name).read_bytes())
    belongs = load_gate(here).corrector
    with pytest.raises(InvalidInput, match=f"belongs to corrector {belongs[:12]}, but"):
        make_corrector(f"model:{other['run']}")
    make_corrector(f"model:{other['run']}", gate="off")


def test_a_gate_without_enough_rows_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="too few"):
        science_commands.train(rows_file(tmp_path, 3), gate=True, out=tmp_path / "a", **TRAINING)
    assert not (tmp_path / "a").exists()
