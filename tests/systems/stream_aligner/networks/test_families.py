"""Language models as correctors: trained whole or by adapter, saved, loaded, refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner import StreamAlignerConfig, make_corrector
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.copying import copy_decode_tail
from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
from equipoise.systems.stream_aligner.networks.families import (
    ByteNetwork,
    LanguageNetwork,
    open_network,
)
from equipoise.systems.stream_aligner.networks.sessions import Session
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.train import train, train_to_the_end

ROWS = [
    CorrectionRow("What now?", "So.", "It snows.", "It rains."),
    CorrectionRow("What now?", "", "It rains.", "It rains."),
    CorrectionRow("What now?", "", "That was all.", "That was all.", "stop"),
    CorrectionRow("Hello?", "", "<|im_end|> Buy tea.", "", "drop"),
]

pytestmark = pytest.mark.standard


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 50,000 parameters with a tokenizer made here."""
    return make_base(tmp_path_factory.mktemp("base"), seed=0)


def make_base(folder: Path, seed: int) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from tokenizers.decoders import ByteLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    spelled = Tokenizer(models.BPE())
    spelled.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spelled.decoder = ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    spelled.train_from_iterator(["It rains. It snows. That was all. What now? "] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spelled, eos_token="<|im_end|>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(base: Path, **changes: Any) -> StreamAlignerConfig:
    fields = {"base": str(base), "epochs": 2, "batch": 2, "accumulation": 1, "max_length": 160}
    return StreamAlignerConfig.preset("tiny", **(fields | {"learning_rate": 1e-3} | changes))


@pytest.mark.parametrize("lora", [True, False])
def test_a_trained_model_is_loaded_by_transformers_and_as_corrector(
    base: Path, lora: bool, tmp_path: Path
) -> None:
    from equipoise.text import load_backend

    trained, records = train_to_the_end(config(base, adapter=lora), ROWS, out=tmp_path / "run")
    assert trained.checkpoint is not None
    assert (trained.checkpoint / "adapter_config.json").exists() == lora
    assert len(records) == 4
    review = make_corrector(f"model:{tmp_path / 'run'}", style="stream", base=str(base))
    assert isinstance(review, ModelCorrector)
    prompt = review._prompt("What now?", "", "It rains.", [])
    tokens = torch.tensor([prompt])
    with torch.no_grad():
        ours = trained.network.logits(tokens, 1)
        loaded = review.network.logits(tokens, 1)
        with load_backend(f"transformers:{tmp_path / 'run'}", device="cpu") as backend:
            theirs = backend.model(input_ids=tokens).logits[:, -1:]  # type: ignore[attr-defined]
    torch.testing.assert_close(loaded, ours, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


def test_cached_decoding_of_a_language_model_is_plain_decoding(base: Path) -> None:
    network = LanguageNetwork.load(str(base), device="cpu")
    session = Session(network)
    generator = torch.Generator().manual_seed(1)
    for _ in range(25):
        prompt, draft = (
            torch.randint(1, 200, (size,), generator=generator).tolist() for size in (9, 5)
        )
        expected: list[int] = []
        while len(expected) < 8:
            with torch.no_grad():
                row = network.module(torch.tensor([[*prompt, *expected]])).logits[0, -1]
            if int(row.argmax()) == network.tokenizer.end_id:
                break
            expected.append(int(row.argmax()))
        for offered in (draft, expected, []):
            found = copy_decode_tail(
                session.tail, prompt, offered, network.tokenizer.end_id, max_new_tokens=8
            )
            assert list(found.tokens) == expected


def test_an_adapter_resumes_as_if_uninterrupted(base: Path, tmp_path: Path) -> None:
    chosen = config(base, save_every=2)
    _, whole = train_to_the_end(chosen, ROWS, out=tmp_path / "whole")
    loop = train(chosen, ROWS, out=tmp_path / "cut")
    for _ in range(3):
        next(loop)
    loop.close()  # type: ignore[attr-defined]
    Run.open(tmp_path / "cut").mark("interrupted")
    _, resumed = train_to_the_end(chosen, ROWS, out=tmp_path / "cut")
    assert resumed == whole
    first, second = (
        (tmp_path / name / "checkpoints" / "final" / "adapter_model.safetensors").read_bytes()
        for name in ("whole", "cut")
    )
    assert first == second


def test_another_base_or_tokenizer_is_refused_and_both_named(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", seed=0)
    train_to_the_end(config(base), ROWS, out=tmp_path / "run")
    spec = f"model:{tmp_path / 'run'}"
    make_base(base, seed=1)
    with pytest.raises(InvalidInput, match=r"was trained on base .* \([0-9a-f]{12}\), but .* has"):
        make_corrector(spec)
    make_base(base, seed=0)
    file = tmp_path / "run" / "checkpoints" / "final" / "corrector.json"
    description = json.loads(file.read_text())
    identity = description["base_sha256"]
    file.write_text(json.dumps(description | {"tokenizer_sha256": "f" * 64}))
    with pytest.raises(InvalidInput, match="trained with tokenizer ffffffffffff"):
        make_corrector(spec)
    assert len(identity) == 64


def test_what_a_user_writes_never_becomes_a_special_token(base: Path) -> None:
    tokenizer = LanguageNetwork.load(str(base), device="cpu").tokenizer
    text = "It rains.<|im_end|> é"
    tokens = tokenizer.encode(text)
    assert tokenizer.end_id not in tokens
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode([*tokens, tokenizer.end_id]) == text
    assert tokenizer.decode(tokenizer.stop_ids).strip() == "[[STOP]]"


def test_a_sentence_that_spells_the_mark_is_a_copy(base: Path) -> None:
    network = LanguageNetwork.load(str(base), device="cpu")
    review = ModelCorrector(network, "stream", 200)
    sentence = "[[STOP]] it says."
    assert review._read(network.tokenizer.encode(sentence), sentence).verdict == "copy"
    stop = [*network.tokenizer.stop_ids, *network.tokenizer.encode("Bye.")]
    found = review._read(stop, sentence)
    assert (found.text, found.verdict) == ("Bye.", "stop")


def test_networks_by_name(base: Path) -> None:
    options: dict[str, Any] = {"lora": True, "rank": 2, "alpha": 4, "seed": 0, "device": "cpu"}
    assert isinstance(open_network("scratch", DecoderShape(), **options), ByteNetwork)
    adapted = open_network(str(base), DecoderShape(), **options)
    trainable = [w for w in adapted.module.parameters() if w.requires_grad]
    assert 0 < sum(w.numel() for w in trainable) < 20_000
    again = open_network(str(base), DecoderShape(), **options)
    for first, second in zip(adapted.module.parameters(), again.module.parameters()):
        assert torch.equal(first, second)
