"""A network with its key-value cache: what was read before is not read again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.systems.stream_aligner.networks.families import Network


class Session:
    """One growing, shrinking text that a network has read.

    `tail` is asked for whole texts and reads only what lies behind the part they share with the
    text before: the prompt once, a draft that was taken back is forgotten, the next sentence's
    prompt goes on where question and prefix end.

    Attributes:
        tokens: what has been read.
        tokens_read: how many tokens the network has read in all.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._cache = network.new_cache()
        self.tokens: list[int] = []
        self.tokens_read = 0

    def shared(self, tokens: Sequence[int]) -> int:
        """Return how many leading tokens of a text have been read already."""
        count = 0
        for ours, theirs in zip(self.tokens, tokens):
            if ours != theirs:
                break
            count += 1
        return count

    def tail(self, tokens: Sequence[int], count: int) -> NDArray[np.float64]:
        """Return the logits (count, V) of the last `count` positions of a text."""
        known = min(self.shared(tokens), len(tokens) - count)
        try:
            if known < len(self.tokens):
                self._network.crop(self._cache, known)
                del self.tokens[known:]
            rows = self._network.extend(self._cache, tokens[known:], count)
        except BaseException:  # an interrupted pass may have left the cache half extended
            self._cache, self.tokens = self._network.new_cache(), []
            raise
        self.tokens = list(tokens)
        self.tokens_read += len(tokens) - known
        return rows

    def read(self, tokens: Sequence[int]) -> None:
        """Read a text ahead of need; what is known of it is kept, the rest of the old forgotten."""
        if self.shared(tokens) < len(tokens):
            self.tail(tokens, 1)
