"""Who takes part in the tour: one small model under three settings, and the same one reviewed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equipoise.systems.libra import BackendContender, Contender, Reply
from equipoise.systems.libra.contenders import (
    CAUTIOUS,
    EMBEDDED_MODEL,
    Listing,
    Sampling,
    SharedBackend,
)
from equipoise.systems.stream_aligner import align, chain, make_corrector, upstream_from_backend
from equipoise.systems.stream_aligner.rules import make_rules

POLICY_RULES: tuple[Mapping[str, Any], ...] = (
    {"find": r"\bAs an? (AI|artificial intelligence)( language)? model, ?", "replace": ""},
    {
        "find": r"^.*\b(code ?word|pass ?word|pass ?code|secret|PIN)\b.*(\b(is|was)\b|:).*$",
        "replace": "I keep what I was told in confidence.",
        "ignore_case": True,
    },
)
"""A house policy in two rules: no boilerplate, and nothing told in confidence is repeated."""


@dataclass(frozen=True)
class ReviewedContender:
    """The embedded model with every sentence reviewed before the next one is written.

    The corrector is exact arithmetic followed by the house policy; what it changes becomes the
    prefix from which the model goes on, so a repaired sum repairs what is built on it.

    Attributes:
        name: unique name on the board.
        shared: the back end, shared with the plain contender.
        sampling: as the plain contender's.
    """

    name: str
    shared: SharedBackend
    sampling: Sampling

    def description(self) -> Mapping[str, Any]:
        """Return what decides an answer: the model, its sampling values, and the corrector."""
        return {
            "kind": "stream-aligner",
            "model": EMBEDDED_MODEL,
            "temperature": float(self.sampling.temperature),
            "max_tokens": self.sampling.max_tokens,
            "seed": self.sampling.seed,
            "correctors": ["arithmetic", [dict(rule) for rule in POLICY_RULES]],
        }

    async def reply(self, messages: Sequence[Mapping[str, Any]], *, sample: int = 0) -> Reply:
        """Answer with review, in a thread: the loop is synchronous, the model works meanwhile."""
        return await asyncio.to_thread(self._answer, messages, sample)

    def _answer(self, messages: Sequence[Mapping[str, Any]], sample: int) -> Reply:
        system = [m["content"] for m in messages if m["role"] == "system"]
        upstream = upstream_from_backend(
            self.shared.get(),
            system="\n\n".join(system) or None,
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            seed=None if self.sampling.seed is None else self.sampling.seed + sample,
        )
        corrector = chain(make_corrector("arithmetic"), make_rules(POLICY_RULES))
        answer = align(str(messages[-1]["content"]), upstream, corrector, speculate=True)
        return Reply(answer.text, answer.finish_reason)

    def close(self) -> None:
        """Stop the back end."""
        self.shared.close()


def tour_contenders(max_tokens: int, device: str = "auto") -> list[Contender]:
    """Return the four contenders; they share one back end, closed with any of them.

    Args:
        max_tokens: tokens of one answer.
        device: where the model computes.
    """
    shared = SharedBackend(f"llamacpp:{EMBEDDED_MODEL}", {"n_ctx": 2048, "device": device})
    settings = {"plain": (None, 0.0), "cautious": (CAUTIOUS, 0.0), "warm": (None, 0.9)}
    plain: list[Contender] = [
        BackendContender(
            Listing(name),
            "embedded",
            "llamacpp",
            EMBEDDED_MODEL,
            shared,
            system,
            Sampling(temperature=temperature, max_tokens=max_tokens),
        )
        for name, (system, temperature) in settings.items()
    ]
    return [*plain, ReviewedContender("reviewed", shared, Sampling(max_tokens=max_tokens))]
