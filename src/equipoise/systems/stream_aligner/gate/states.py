"""The first blocks of a corrector's network, computed alone: what a gate on a layer looks at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.networks.batches import fit_prompt
from equipoise.systems.stream_aligner.networks.byte_model import KeyValueCache
from equipoise.systems.stream_aligner.networks.families import Network
from equipoise.systems.stream_aligner.networks.interpreting import at_layer, blocks_of
from equipoise.systems.stream_aligner.networks.sessions import Session
from equipoise.systems.stream_aligner.rows import CorrectionRow


class _Reached(Exception):
    """The pass has come to the layer that was asked for; what lies behind is not computed."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class FirstBlocks:
    """A network that ends behind its K-th block; its rows are hidden states instead of logits.

    Layers count as in `interpreting`: 0 is what the first block reads, k what block k writes.

    Attributes:
        layer: K.
        module, tokenizer, base, base_sha256: the whole network's.
    """

    def __init__(self, network: Network, layer: int) -> None:
        self._blocks = blocks_of(network)
        if not 0 <= layer <= len(self._blocks):
            raise InvalidInput(
                f"gate features are layer:{layer}; this network has layers 0 to {len(self._blocks)}"
            )
        self.layer = layer
        self._network = network
        self.module, self.tokenizer = network.module, network.tokenizer
        self.base, self.base_sha256 = network.base, network.base_sha256

    def logits(self, tokens: Tensor, keep: int) -> Tensor:
        """Map (B, T) int64 to the last `keep` positions' hidden states (B, keep, W)."""
        return self._until_reached(lambda: self._network.logits(tokens, keep))[:, -keep:]

    def new_cache(self) -> Any:
        """Return an empty cache."""
        return self._network.new_cache()

    def extend(self, cache: Any, tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        """Read tokens behind those of the cache; return the last `keep` hidden states (keep, W)."""
        hidden = self._until_reached(lambda: self._network.extend(cache, tokens, keep))
        if isinstance(cache, KeyValueCache):  # the pass was left before it noted them
            cache.tokens += list(tokens)
        return hidden[0, -keep:].double().cpu().numpy()

    def crop(self, cache: Any, length: int) -> None:
        """Forget what the cache holds after `length` tokens."""
        self._network.crop(cache, length)

    def _until_reached(self, run: Any) -> Tensor:
        with at_layer(self._blocks, self.layer, _leave), torch.inference_mode():
            try:
                run()
            except _Reached as end:
                return end.hidden
        raise InvalidInput(f"the network's pass does not go through its layer {self.layer}")


def _leave(hidden: Tensor) -> None:
    """Leave a pass with the hidden state that it has reached."""
    raise _Reached(hidden)


def prompt_states(
    network: Network,
    rows: Sequence[CorrectionRow],
    layer: int,
    *,
    style: str = "stream",
    max_length: int,
) -> NDArray[np.float64]:
    """Return the hidden states (N, W) behind a layer at the last token of each row's prompt.

    Prompts are shortened as the corrector shortens them; one that shares its beginning with the
    row before, as sentences of one answer do, is read from there.

    Raises:
        InvalidInput: no rows, a layer that is not there, or a row too long for `max_length`.
    """
    if not rows:
        raise InvalidInput("there is no row to read")
    tokenizer = network.tokenizer
    session = Session(FirstBlocks(network, layer))
    states = []
    for row in rows:
        space = max_length - len(tokenizer.encode(row.last)) - 1
        prompt = fit_prompt(tokenizer, row.question, row.prefix, row.last, style, space)
        states.append(session.tail(prompt, 1)[0])
    return np.stack(states)


def readable(
    network: Network, rows: Sequence[CorrectionRow], *, style: str = "stream", max_length: int
) -> list[CorrectionRow]:
    """Return the rows whose question and sentence a corrector of this length can take."""
    found = []
    for row in rows:
        space = max_length - len(network.tokenizer.encode(row.last)) - 1
        try:
            fit_prompt(network.tokenizer, row.question, "", row.last, style, space)
        except InvalidInput:
            continue
        found.append(row)
    return found
