"""The networks that correctors are made of, behind one interface: bytes, or a language model.

| | trained from | tokens |
|---|---|---|
| `ByteNetwork` | scratch | bytes and three special ones |
| `LanguageNetwork` | a causal model that transformers loads, whole or with LoRA | its own |
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.core.errors import InvalidInput
from equipoise.core.extras import require
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.networks.byte_model import (
    ByteDecoder,
    ByteTokenizer,
    KeyValueCache,
)
from equipoise.systems.stream_aligner.prompts import STOP_TEXT
from equipoise.text.fingerprints import model_identity
from equipoise.text.local_models import find_device, find_model, load_source, quiet_loading

SCRATCH = "scratch"


class Tokenizer(Protocol):
    """What a corrector needs of a tokenizer."""

    name: str
    end_id: int
    pad_id: int
    stop_ids: tuple[int, ...]
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; nothing in it becomes a special token."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        ...


class Network(Protocol):
    """A causal model with its tokenizer, ready to train and to decode.

    Attributes:
        module: the torch module.
        tokenizer: its tokenizer.
        base: what it was made from: `scratch`, or a model's name or path.
        base_sha256: of the base's weights; empty for `scratch`.
    """

    module: Any
    tokenizer: Tokenizer
    base: str
    base_sha256: str

    def logits(self, tokens: Tensor, keep: int) -> Tensor:
        """Map (B, T) int64 to the last `keep` positions' logits (B, keep, V)."""
        ...

    def new_cache(self) -> Any:
        """Return an empty key-value cache."""
        ...

    def extend(self, cache: Any, tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        """Read tokens behind those of the cache; return the last `keep` rows of logits."""
        ...

    def crop(self, cache: Any, length: int) -> None:
        """Make the cache forget everything after its first `length` tokens."""
        ...


class ByteNetwork:
    """A `ByteDecoder` from scratch."""

    base = SCRATCH
    base_sha256 = ""

    def __init__(self, shape: DecoderShape, seed: int = 0, device: str = "cpu") -> None:
        self.tokenizer: Tokenizer = ByteTokenizer()
        self.module = ByteDecoder(shape, seed).to(find_device(device))

    def logits(self, tokens: Tensor, keep: int) -> Tensor:
        """Return the last `keep` positions' logits."""
        return self.module(tokens, keep=keep)

    def new_cache(self) -> KeyValueCache:
        """Return an empty cache."""
        return KeyValueCache()

    @torch.inference_mode()
    def extend(self, cache: KeyValueCache, tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        """Read tokens behind those of the cache; return the last `keep` rows."""
        batch = torch.tensor([list(tokens)], device=self.module.head.weight.device)
        return self.module(batch, keep=keep, cache=cache)[0].double().cpu().numpy()

    def crop(self, cache: KeyValueCache, length: int) -> None:
        """Forget what the cache holds after `length` tokens."""
        cache.crop(length)


class SubwordTokenizer:
    """A transformers tokenizer as a corrector's; what a user writes never becomes special."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.name = name
        self.whole = tokenizer
        if tokenizer.eos_token_id is None:
            raise InvalidInput(f"the tokenizer of {name} has no end-of-text token")
        self.end_id = int(tokenizer.eos_token_id)
        pad = tokenizer.pad_token_id
        self.pad_id = self.end_id if pad is None else int(pad)
        self.stop_ids = tuple(self.encode(f"{STOP_TEXT} "))
        spelled = tokenizer.backend_tokenizer.to_str()
        self.fingerprint = hashlib.sha256(spelled.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`."""
        return self.whole(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        ).input_ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special ones left out."""
        return self.whole.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


class LanguageNetwork:
    """A causal language model of transformers, whole or with a LoRA adapter."""

    def __init__(self, module: Any, tokenizer: Any, base: str, base_sha256: str) -> None:
        self.module = module
        self.subwords = SubwordTokenizer(tokenizer, base)
        self.tokenizer: Tokenizer = self.subwords
        self.base = base
        self.base_sha256 = base_sha256

    @classmethod
    def load(cls, base: str, *, dtype: str = "float32", device: str = "auto") -> "LanguageNetwork":
        """Load a model by name or path (`equipoise.text.local_models`)."""
        source = find_model(base)
        module, tokenizer = load_source(source, dtype=dtype, device=device)
        return cls(module, tokenizer, base, model_identity(base, source.files))

    def with_adapter(self, rank: int, alpha: int, seed: int) -> "LanguageNetwork":
        """Return the network with a fresh LoRA adapter on all its linear maps."""
        peft = require("peft", "text")
        # the adapter draws from the global generator
        with quiet_loading(require("transformers", "text")), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings = peft.LoraConfig(
                r=rank,
                lora_alpha=alpha,
                lora_dropout=0.0,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            )
            module = peft.get_peft_model(self.module, settings)
        return LanguageNetwork(module, self.subwords.whole, self.base, self.base_sha256)

    def logits(self, tokens: Tensor, keep: int) -> Tensor:
        """Return the last `keep` positions' logits; right padding is never attended to."""
        return self.module(input_ids=tokens, use_cache=False, logits_to_keep=keep).logits

    def new_cache(self) -> Any:
        """Return an empty cache."""
        return require("transformers", "text").DynamicCache()

    @torch.inference_mode()
    def extend(self, cache: Any, tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        """Read tokens behind those of the cache; return the last `keep` rows."""
        batch = torch.tensor([list(tokens)], device=self.module.device)
        out = self.module(
            input_ids=batch, past_key_values=cache, use_cache=True, logits_to_keep=keep
        )
        return out.logits[0].double().cpu().numpy()

    def crop(self, cache: Any, length: int) -> None:
        """Forget what the cache holds after `length` tokens."""
        surplus = cache.get_seq_length() - length
        if surplus > 0:
            cache.crop(-surplus)  # a negative number: 0 would mean "nothing to crop"


def open_network(
    base: str, shape: DecoderShape, *, lora: bool, rank: int, alpha: int, seed: int, device: str
) -> Network:
    """Return a fresh network to train: `scratch`, or a model with or without an adapter."""
    if base == SCRATCH:
        return ByteNetwork(shape, seed, device if device != "auto" else "cpu")
    network = LanguageNetwork.load(base, device=device)
    return network.with_adapter(rank, alpha, seed) if lora else network
