"""Sentence embeddings."""

import json

import numpy as np
import pytest

from equipoise.core import store
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.text import Encoder, load_encoder
from equipoise.text.encoder import _max_tokens


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    try:
        store.path_of("all-minilm-l6-v2")
    except MissingData as error:
        pytest.skip(str(error))
    return load_encoder("all-minilm-l6-v2", device="cpu", batch_size=4)


TEXTS = [
    "A cat sits on the mat.",
    "A kitten is sitting on a rug.",
    "Stock markets fell sharply.",
    "Shares dropped on the exchange today.",
    "",
    "Ein kurzer Satz.",
]


@pytest.mark.standard
def test_rows_have_norm_one_and_like_meanings_lie_close(minilm):
    rows = minilm.encode(TEXTS)
    assert rows.shape == (6, 384) == (6, minilm.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    likeness = rows @ rows.T
    assert likeness[0, 1] > 0.5 > likeness[0, 2]
    assert likeness[2, 3] > 0.5 > likeness[1, 3]


@pytest.mark.standard
def test_batches_and_order_do_not_matter(minilm):
    rows = minilm.encode(TEXTS)
    single = np.concatenate([minilm.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(rows, single, atol=1e-5)
    turned = minilm.encode(TEXTS[::-1])
    np.testing.assert_allclose(rows[::-1], turned, atol=1e-5)


@pytest.mark.standard
def test_long_texts_are_cut_where_the_model_was_trained_to(minilm):
    assert minilm.max_tokens == 256
    long = "word " * 400
    np.testing.assert_allclose(
        minilm.encode([long]), minilm.encode([long + "never read"]), atol=1e-5
    )


@pytest.mark.standard
def test_no_texts_give_no_rows(minilm):
    assert minilm.encode([]).shape == (0, 384)


@pytest.mark.standard
def test_bad_texts_are_named(minilm):
    with pytest.raises(InvalidInput, match="texts is one text"):
        minilm.encode("hello")
    with pytest.raises(InvalidInput, match="text 1 is NoneType"):
        minilm.encode(["fine", None])


@pytest.mark.standard
def test_a_folder_may_be_given(minilm):
    folder = store.path_of("all-minilm-l6-v2")
    same = load_encoder(str(folder), device="cpu")
    np.testing.assert_allclose(same.encode(TEXTS[:1]), minilm.encode(TEXTS[:1]), atol=1e-6)


def test_unknown_encoders_are_named(tmp_path):
    with pytest.raises(InvalidInput, match="did you mean 'all-minilm-l6-v2'"):
        load_encoder("all-minilm")
    with pytest.raises(MissingData, match="there is no encoder folder"):
        load_encoder("./nowhere")
    with pytest.raises(InvalidInput, match="cannot load an encoder from"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(json.dumps({"max_seq_length": 64}), 64), ('{"max_seq_length": 9999}', 512), ("{", 512)],
)
def test_the_trained_length_is_read(tmp_path, content, expected):
    (tmp_path / "sentence_bert_config.json").write_text(content)
    assert _max_tokens(tmp_path, 512) == expected
    assert _max_tokens(tmp_path / "none", 512) == 512
