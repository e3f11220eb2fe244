"""From correction rows to training batches: prompts that fit, examples, a fixed order."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.core.files import canonical_json
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.prompts import (
    IGNORED,
    STOP_TEXT,
    Example,
    build_example,
    corrector_prompt,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.networks.families import Tokenizer

SCHEDULES = ("warmup", "mixed")


@dataclass(frozen=True)
class TrainingData:
    """Examples of one style.

    Attributes:
        real: one example for each row that fits.
        identity: the same rows with the sentence itself as the target (Aligner's warm-up).
        too_long: rows left out because question, sentence and correction alone are too long.
        sha256: of the rows.
    """

    real: tuple[Example, ...]
    identity: tuple[Example, ...]
    too_long: int
    sha256: str


def prepare(
    rows: Sequence[CorrectionRow], style: str, tokenizer: "Tokenizer", max_length: int
) -> TrainingData:
    """Turn rows into examples.

    Raises:
        InvalidInput: no rows, or none that fits `max_length`.
    """
    real, identity = [], []
    for row in rows:
        stops = row.verdict == "stop" or row.correction.startswith(STOP_TEXT)
        correction = row.correction.removeprefix(STOP_TEXT).strip() if stops else row.correction
        draft, target = tokenizer.encode(row.last), tokenizer.encode(correction)
        if stops:
            target = [*tokenizer.stop_ids, *target]
        space = max_length - max(len(draft), len(target)) - 1
        try:
            prompt = fit_prompt(tokenizer, row.question, row.prefix, row.last, style, space)
        except InvalidInput:
            if row.prefix and style == "aligner":
                raise
            continue
        real.append(build_example(prompt, target, tokenizer.end_id, max_length))
        identity.append(build_example(prompt, draft, tokenizer.end_id, max_length))
    if not real:
        raise InvalidInput(
            f"none of {len(rows)} rows fits max_length {max_length} tokens"
            if rows
            else "there are no rows to train on"
        )
    return TrainingData(tuple(real), tuple(identity), len(rows) - len(real), rows_sha256(rows))


def fit_prompt(
    tokenizer: "Tokenizer", question: str, prefix: str, sentence: str, style: str, space: int
) -> list[int]:
    """Return the tokens of a corrector's prompt, with the prefix shortened from its left to fit.

    Raises:
        InvalidInput: too long without any prefix; question and sentence are never cut.
    """
    while True:
        tokens = tokenizer.encode(corrector_prompt(question, prefix, sentence, style=style))
        over = len(tokens) - space
        if over <= 0:
            return tokens
        if not prefix:
            raise InvalidInput(
                f"question and sentence take {len(tokens)} tokens, {space} are free; "
                "raise max_length"
            )
        prefix = _without_first(tokenizer, prefix, over)


def _without_first(tokenizer: "Tokenizer", prefix: str, over: int) -> str:
    """Return the prefix without the characters that about its first `over` tokens spell."""
    tokens = tokenizer.encode(prefix)
    kept = tokenizer.decode(tokens[over:]).lstrip("\ufffd") if over < len(tokens) else ""
    shorter = prefix[len(prefix) - len(kept) :] if kept else ""
    return shorter if len(shorter) < len(prefix) else prefix[1:]


def rows_sha256(rows: Sequence[CorrectionRow]) -> str:
    """Return a SHA-256 of what training reads of the rows."""
    digest = hashlib.sha256()
    for row in rows:
        fields = [row.question, row.prefix, row.last, row.correction, row.verdict]
        digest.update(canonical_json(fields).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True)
class Plan:
    """Which rows each optimiser step sees, a pure function of the step: what resuming rests on.

    Attributes:
        rows: how many there are.
        batch: rows of one step.
        steps: in all.
        identity_share: part of the training that copies the sentence.
        schedule: `warmup` (the first steps copy) or `mixed` (that share of every batch).
        seed: of order and mixture.
    """

    rows: int
    batch: int
    steps: int
    identity_share: float
    schedule: str
    seed: int

    def pick(self, step: int) -> list[tuple[int, bool]]:
        """Return row numbers of step 1, 2, ... and whether each is to copy its sentence."""
        per_epoch = -(-self.rows // self.batch)
        epoch, place = divmod(step - 1, per_epoch)
        order = stream(self.seed, "order", epoch).permutation(self.rows)
        chosen = order[place * self.batch : (place + 1) * self.batch]
        if self.schedule == "warmup":
            copies = np.full(len(chosen), step <= round(self.identity_share * self.steps))
        else:
            copies = stream(self.seed, "mixture", step).random(len(chosen)) < self.identity_share
        return [(int(row), bool(copy)) for row, copy in zip(chosen, copies)]


def pad_batch(
    examples: Sequence[Example], pad_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return input ids and labels (B, T), padded on the right, and how many positions carry loss.

    The third value is the length of the tail that holds every predicting position: logits before
    it are not needed.
    """
    length = max(len(example.input_ids) for example in examples)
    tokens = np.full((len(examples), length), pad_id, dtype=np.int64)
    labels = np.full((len(examples), length), IGNORED, dtype=np.int64)
    for place, example in enumerate(examples):
        tokens[place, : len(example.input_ids)] = example.input_ids
        labels[place, : len(example.labels)] = example.labels
    first = int((labels != IGNORED).any(axis=0).argmax())
    return tokens, labels, length - max(first - 1, 0)
