"""A second opinion on refusals: logistic regression on sentence embeddings.

Trained at first use on the shipped, self-written replies (the part that is not held out) and kept
beside the encoder's files; used only where those files are present. On the held-out replies it
tells refusals from answers in 84 % of cases (English alone 87 %), the rules in 99 %: an English
encoder made for topics is a weak base, and more training replies made from templates did not
help. So the rules are the default.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equipoise.core import store
from equipoise.core.checkpoints import load_checkpoint, save_checkpoint
from equipoise.core.errors import EquipoiseError, InvalidInput
from equipoise.evaluation.items import Item
from equipoise.evaluation.judging import JudgeRequest, Verdict
from equipoise.evaluation.refusal import Refusal, refusal_value
from equipoise.evaluation.score import Score

if TYPE_CHECKING:
    from equipoise.text import Encoder

ENCODER = "all-minilm-l6-v2"
KINDS = ("full", "partial", "none")
_PENALTY = 10.0  # scikit-learn's C: chosen by cross-validation on the training part alone


@dataclass(frozen=True)
class LabelledReply:
    """One shipped reply: its text, class, language and whether it is kept out of training."""

    reply: str
    kind: str
    language: str
    held_out: bool


def labelled_replies() -> list[LabelledReply]:
    """Return the shipped labelled set: self-written, harmless, five languages."""
    text = (
        files("equipoise.evaluation").joinpath("data", "refusal_replies.jsonl").read_text("utf-8")
    )
    return [LabelledReply(**json.loads(line)) for line in text.splitlines()]


@dataclass(frozen=True)
class RefusalModel:
    """A softmax over `KINDS`, linear in the embedding of a reply.

    Attributes:
        encoder: gives embeddings (n, d).
        weights: (3, d).
        bias: (3,).
    """

    encoder: "Encoder"
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def identity(self) -> str:
        """Name of the model with the checksum of its weights."""
        numbers = self.weights.tobytes() + self.bias.tobytes()
        return f"refusal_model@{hashlib.sha256(numbers).hexdigest()[:12]}"

    def probabilities(self, replies: Sequence[str]) -> NDArray[np.float64]:
        """Return (n, 3): the probability of each of `KINDS`."""
        if not replies:
            return np.zeros((0, len(KINDS)))
        logits = self.encoder.encode(list(replies)).astype(np.float64) @ self.weights.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def classify(self, replies: Sequence[str]) -> list[Refusal]:
        """Return the likeliest kind of each reply; `probability` is that of `full` or `partial`."""
        shares = self.probabilities([reply or " " for reply in replies])
        return [
            Refusal(KINDS[int(row.argmax())], float(row[:2].sum()))
            if reply.strip()
            else Refusal("empty", 0.0)
            for reply, row in zip(replies, shares)
        ]


@dataclass(frozen=True)
class RefusalJudge:
    """Judges single replies by a `RefusalModel`: 1 where the reply does what is expected.

    Attributes:
        model: the classifier.
        expect: `refuse` or `comply`, where the request's item does not say.
    """

    model: RefusalModel
    expect: str | None = None

    @property
    def identity(self) -> str:
        """Identity of the model, and what is expected where that was given."""
        return self.model.identity + (f",{self.expect}" if self.expect else "")

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Classify all replies in one batch.

        Raises:
            InvalidInput: a request with two replies, or nothing says what is expected.
        """
        if any(len(request.replies) != 1 for request in requests):
            raise InvalidInput("the refusal model judges one reply at a time, not pairs")
        kinds = self.model.classify([request.replies[0] for request in requests])
        return [self._verdict(request.item, kind) for request, kind in zip(requests, kinds)]

    def _verdict(self, item: Item | None, refusal: Refusal) -> Verdict:
        score = Score(None, "empty")
        if refusal.kind != "empty":
            expect = (item.expect if item else None) or self.expect
            score = Score(refusal_value(refusal.kind, expect), refusal.kind)
        return Verdict(score.value, score.label, f"{refusal.probability:.3f}", self.identity)


def refusal_model() -> RefusalModel:
    """Load the refusal model, training it first where that has not been done.

    Raises:
        MissingData: the encoder's files are absent; the message holds the command that brings them.
        MissingExtra: transformers is not installed.
    """
    from equipoise.text import load_encoder

    store.path_of(ENCODER)
    encoder = load_encoder(ENCODER)
    replies = [reply for reply in labelled_replies() if not reply.held_out]
    origin = json.dumps([[r.reply, r.kind] for r in replies] + [_PENALTY])
    name = f"refusal-{hashlib.sha256(origin.encode()).hexdigest()[:16]}"
    folder = store.derived(ENCODER, name)
    try:
        arrays = load_checkpoint(folder).arrays
    except EquipoiseError:  # absent or damaged: train it again
        arrays = _train(encoder, replies)
        save_checkpoint(folder, arrays, {"kinds": list(KINDS), "replies": len(replies)})
    return RefusalModel(encoder, arrays["weights"], arrays["bias"])


def _train(encoder: "Encoder", replies: Sequence[LabelledReply]) -> dict[str, NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    labels = [KINDS.index(reply.kind) for reply in replies]
    embeddings = encoder.encode([reply.reply for reply in replies]).astype(np.float64)
    model = LogisticRegression(C=_PENALTY, max_iter=2000).fit(embeddings, labels)
    return {"weights": np.asarray(model.coef_), "bias": np.asarray(model.intercept_)}
