import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import corrector_prompt
from equipoise.systems.stream_aligner.networks.batches import (
    Plan,
    fit_prompt,
    pad_batch,
    prepare,
    rows_sha256,
)
from equipoise.systems.stream_aligner.networks.byte_model import END, PAD, STOP, ByteTokenizer
from equipoise.systems.stream_aligner.rows import CorrectionRow

BYTES = ByteTokenizer()
ROW = CorrectionRow("q", "p. ", "1 + 1 = 3.", "1 + 1 = 2.")


def target(example) -> list[int]:
    return [int(label) for label in example.labels if label != -100]


def test_the_prompt_is_masked_and_the_end_is_learned() -> None:
    data = prepare([ROW], "stream", BYTES, 256)
    (real,), (copy,) = data.real, data.identity
    prompt = BYTES.encode(corrector_prompt("q", "p. ", "1 + 1 = 3."))
    assert real.input_ids.tolist() == [*prompt, *b"1 + 1 = 2.", END]
    assert (real.labels[: len(prompt)] == -100).all()
    assert target(real) == [*b"1 + 1 = 2.", END]
    assert target(copy) == [*b"1 + 1 = 3.", END]
    assert data.too_long == 0


def test_drop_stop_and_aligner_rows() -> None:
    rows = [
        CorrectionRow("q", "", "s.", "", "drop"),
        CorrectionRow("q", "", "s.", "Bye.", "stop"),
        CorrectionRow("q", "", "s.", "[[STOP]] Bye."),
        CorrectionRow("q", "", "s.", "", "stop"),
    ]
    found = [target(example) for example in prepare(rows, "stream", BYTES, 256).real]
    assert found == [[END], [STOP, *b"Bye.", END], [STOP, *b"Bye.", END], [STOP, END]]
    (aligner,) = prepare([CorrectionRow("q", "", "a\nb", "c")], "aligner", BYTES, 256).real
    prompt = corrector_prompt("q", "", "a\nb", style="aligner").encode()
    assert bytes(aligner.input_ids[: len(prompt)].tolist()) == prompt


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="#|"), max_size=40),
    st.integers(60, 160),
)
def test_only_the_prefix_is_shortened_and_from_its_left(prefix: str, space: int) -> None:
    bare = len(BYTES.encode(corrector_prompt("ask", "", "say.")))
    if space < bare:
        with pytest.raises(InvalidInput, match="raise max_length"):
            fit_prompt(BYTES, "ask", prefix, "say.", "stream", space)
        return
    text = BYTES.decode(fit_prompt(BYTES, "ask", prefix, "say.", "stream", space))
    assert len(text.encode()) <= space
    head, _, rest = text.partition("##Answer_Prefix: ")
    kept, _, tail = rest.partition(" | ##Answer_Last_Sentence: ")
    assert (head, tail) == ("##Question: ask | ", "say. | ##Your_Revision: ")
    assert prefix.endswith(kept)
    assert kept == prefix or len(text.encode()) > space - 4  # no more is cut than has to be


def test_too_long_rows_are_counted_and_none_left_is_an_error() -> None:
    long = CorrectionRow("q" * 300, "", "s.", "s.")
    data = prepare([ROW, long], "stream", BYTES, 200)
    assert (len(data.real), data.too_long) == (1, 1)
    with pytest.raises(InvalidInput, match="none of 1 rows fits max_length 200"):
        prepare([long], "stream", BYTES, 200)
    with pytest.raises(InvalidInput, match="there are no rows"):
        prepare([], "stream", BYTES, 200)
    with pytest.raises(InvalidInput, match="prefix must be empty"):
        prepare([ROW], "aligner", BYTES, 200)


def test_a_long_prefix_fits_shortened() -> None:
    row = CorrectionRow("q", "é" * 500, "s.", "s.")
    (example,) = prepare([row], "stream", BYTES, 120).real
    assert len(example.input_ids) in (119, 120)  # a character of two bytes may not fit


def test_the_hash_follows_what_is_learned() -> None:
    other = CorrectionRow("q", "p. ", "1 + 1 = 3.", "1 + 1 = 2.", source="elsewhere")
    assert rows_sha256([ROW]) == rows_sha256([other])
    assert rows_sha256([ROW]) != rows_sha256([ROW, ROW])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_every_epoch_takes_each_row_once(rows: int, batch: int, epochs: int, seed: int) -> None:
    per_epoch = -(-rows // batch)
    plan = Plan(rows, batch, epochs * per_epoch, 0.0, "warmup", seed)
    for epoch in range(epochs):
        steps = range(epoch * per_epoch + 1, (epoch + 1) * per_epoch + 1)
        taken = [row for step in steps for row, _ in plan.pick(step)]
        assert sorted(taken) == list(range(rows))
    assert plan.pick(1) == plan.pick(1)


def test_schedules() -> None:
    warm = Plan(64, 8, 50, 0.2, "warmup", 0)
    assert [all(copy for _, copy in warm.pick(step)) for step in (1, 10, 11, 50)] == [
        True,
        True,
        False,
        False,
    ]
    assert not any(copy for step in range(11, 51) for _, copy in warm.pick(step))
    mixed = Plan(1000, 100, 50, 0.2, "mixed", 0)
    copies = [copy for step in range(1, 51) for _, copy in mixed.pick(step)]
    assert 0.17 < np.mean(copies) < 0.23


def test_batches_are_padded_on_the_right() -> None:
    examples = prepare([ROW, CorrectionRow("q", "", "a.", "b.")], "stream", BYTES, 256).real
    tokens, labels, keep = pad_batch(examples, PAD)
    assert tokens.shape == labels.shape == (2, len(examples[0].input_ids))
    assert tokens[1, -1] == PAD
    assert labels[1, -1] == -100
    assert (labels[:, :-keep] == -100).all()
    assert (labels[:, -keep] == -100).all()
    assert (labels[:, -keep + 1] != -100).any()
