"""A small decoder over bytes, trained from scratch: the corrector of the exactly solvable worlds.

Rotary attention blocks behind a short causal convolution: each position starts out knowing the
last `window` bytes. Copying then needs one attention layer (match the bytes before, take the next
one), and a short sum lies inside one window; both are learned in hundreds of steps, not thousands.
Ours; the paper's correctors are published language models.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.config import DecoderShape

END, PAD, STOP = 256, 257, 258
VOCABULARY = 259


class ByteTokenizer:
    """UTF-8 bytes as tokens, and three that no text can spell: end, padding and stop."""

    end_id = END
    pad_id = PAD
    stop_ids: tuple[int, ...] = (STOP,)
    fingerprint = hashlib.sha256(b"utf-8 bytes, end 256, pad 257, stop 258").hexdigest()
    name = "bytes"

    def encode(self, text: str) -> list[int]:
        """Return the bytes of `text`; half of a surrogate pair becomes a question mark."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`; special ones are left out, broken UTF-8 is U+FFFD."""
        return bytes(token for token in tokens if token < 256).decode("utf-8", "replace")


class KeyValueCache:
    """Keys and values of the tokens that a decoder has read; `crop` forgets the last ones."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._blocks: list[tuple[Tensor, Tensor]] = []

    @property
    def length(self) -> int:
        """How many tokens it covers."""
        return len(self.tokens)

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        del self.tokens[length:]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write (1, heads, T, d) behind the covered tokens; return all, (1, heads, S, d)."""
        start, end = self.length, self.length + key.shape[2]
        if layer == len(self._blocks):
            self._blocks.append((key[:, :, :0], value[:, :, :0]))
        if end > self._blocks[layer][0].shape[2]:
            room = max(end, 2 * self._blocks[layer][0].shape[2], 64)
            keys, values = self._blocks[layer]
            self._blocks[layer] = (_lengthened(keys, room), _lengthened(values, room))
        keys, values = self._blocks[layer]
        keys[:, :, start:end], values[:, :, start:end] = key, value
        return keys[:, :, :end], values[:, :, :end]


def _lengthened(held: Tensor, room: int) -> Tensor:
    return functional.pad(held, (0, 0, 0, room - held.shape[2]))


class ByteDecoder(nn.Module):
    """A causal transformer over bytes; parameters follow `shape`.

    Attributes:
        shape: its size.
    """

    def __init__(self, shape: DecoderShape, seed: int = 0) -> None:
        super().__init__()
        _check(shape)
        self.shape = shape
        self.embedding = nn.Embedding(VOCABULARY, shape.width)
        self.window = nn.Conv1d(shape.width, shape.width, shape.window, bias=False)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, VOCABULARY, bias=False)
        _draw_weights(self, seed)

    def forward(
        self, tokens: Tensor, *, keep: int | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Return next-token logits.

        Args:
            tokens: (B, T) int64; with a cache (1, T), the tokens behind those it covers.
            keep: only of the last `keep` positions.
            cache: is extended by `tokens`.

        Returns:
            (B, keep or T, V).
        """
        seen = cache.length if cache is not None else 0
        before = [] if cache is None else cache.tokens[-(self.shape.window - 1) :]
        if self.shape.window == 1:
            before = []
        earlier = torch.tensor([before], dtype=torch.int64, device=tokens.device)
        known = torch.cat([earlier, tokens], 1) if before else tokens
        embedded = self.embedding(known).transpose(1, 2)
        padded = functional.pad(embedded, (self.shape.window - 1 - len(before), 0))
        here = embedded[:, :, len(before) :]
        hidden = (here + self.window(padded)).transpose(1, 2)
        turn = _rotation(seen, tokens.shape[1], self.shape.width // self.shape.heads, tokens.device)
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            # behind the last block only the kept positions are looked at
            hidden = block(hidden, turn, layer, cache, keep if layer == last else None)
        if cache is not None:
            cache.tokens += tokens[0].tolist()
        return self.head(self.norm(hidden))


def _check(shape: DecoderShape) -> None:
    if min(shape.width, shape.layers, shape.heads, shape.window) < 1:
        raise InvalidInput(f"{shape}: every size must be >= 1")
    if shape.width % (2 * shape.heads):
        raise InvalidInput(
            f"decoder.width {shape.width} is no multiple of {2 * shape.heads} (2 x heads)"
        )


class _Block(nn.Module):
    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.RMSNorm(shape.width)
        self.project = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.attention_out = nn.Linear(shape.width, shape.width, bias=False)
        self.feed_norm = nn.RMSNorm(shape.width)
        self.feed_in = nn.Linear(shape.width, 4 * shape.width)
        self.feed_out = nn.Linear(4 * shape.width, shape.width)

    def forward(
        self,
        hidden: Tensor,
        turn: tuple[Tensor, Tensor],
        layer: int,
        cache: KeyValueCache | None,
        keep: int | None,
    ) -> Tensor:
        """Map (B, T, width) to (B, keep or T, width)."""
        batch, length, width = hidden.shape
        mixed = self.project(self.attention_norm(hidden)).view(
            batch, length, 3, self.heads, width // self.heads
        )
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        query, key = _rotate(query, turn), _rotate(key, turn)
        if keep is not None and keep < length:
            hidden, query = hidden[:, -keep:], query[:, :, -keep:]
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        asked, known = query.shape[2], key.shape[2]
        if asked == known:
            read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            mask = torch.ones(asked, known, dtype=torch.bool, device=hidden.device)
            mask = mask.tril(known - asked)
            read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = hidden + self.attention_out(read.transpose(1, 2).reshape(batch, asked, width))
        return hidden + self.feed_out(functional.gelu(self.feed_in(self.feed_norm(hidden))))


def _rotation(start: int, length: int, size: int, device: Any) -> tuple[Tensor, Tensor]:
    """Cosine and sine (length, size / 2) of the rotary angles of positions from `start`."""
    rates = 10_000.0 ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(start, start + length, device=device)[:, None] * rates
    return angles.cos(), angles.sin()


def _rotate(states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = turn
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _draw_weights(model: ByteDecoder, seed: int) -> None:
    """Draw all weights from one seed: scaled by fan-in, outputs of blocks smaller with depth."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                continue
            fan_in = 1 if name.startswith("embedding") else parameter[0].numel()
            scale = fan_in**-0.5
            if name.endswith("_out.weight"):
                scale /= (2 * model.shape.layers) ** 0.5
            parameter.normal_(0.0, scale, generator=generator)
