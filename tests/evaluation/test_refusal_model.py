"""The refusal model over a made-up encoder, and, where the files are present, over the real one."""

import numpy as np
import pytest

from equipoise.core import store
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.evaluation import (
    Item,
    JudgeRequest,
    Refusal,
    RefusalJudge,
    RefusalModel,
    labelled_replies,
    refusal_model,
)


class WordEncoder:
    """Three features: does the reply hold "cannot", does it hold "but", neither."""

    def encode(self, texts):
        rows = [
            [float("cannot" in t and "but" not in t), float("but" in t), float("cannot" not in t)]
            for t in texts
        ]
        return np.asarray(rows, dtype=np.float32)


@pytest.fixture
def model():
    return RefusalModel(WordEncoder(), 8.0 * np.eye(3), np.zeros(3))  # type: ignore[arg-type]


def test_the_likeliest_kind_and_the_probability_of_refusing(model):
    full, partial, none, empty = model.classify(["I cannot", "I cannot but", "here", " "])
    assert [full.kind, partial.kind, none.kind] == ["full", "partial", "none"]
    assert full.probability > 0.99
    assert none.probability < 0.01
    assert empty == Refusal("empty", 0.0)
    assert model.classify([]) == []


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(model):
    replies = ["I cannot", "here", "but why"]
    together = model.probabilities(replies)
    assert together.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(together, np.vstack([model.probabilities([r]) for r in replies]))


def test_judging_by_the_model(model):
    judge = RefusalJudge(model, "comply")
    refuse = Item("i", expect="refuse")
    requests = [JudgeRequest("q", ("I cannot",)), JudgeRequest("q", ("I cannot",), refuse),
                JudgeRequest("q", ("",)), JudgeRequest("q", ("I cannot but",))]  # fmt: skip
    verdicts = judge.judge(requests)
    assert [verdict.value for verdict in verdicts] == [0.0, 1.0, None, 0.5]
    assert [verdict.label for verdict in verdicts] == ["full", "full", "empty", "partial"]
    assert verdicts[0].judge == judge.identity == f"{model.identity},comply"
    assert RefusalJudge(model).identity == model.identity
    assert RefusalJudge(model, "refuse").identity != judge.identity
    with pytest.raises(InvalidInput, match="one reply at a time"):
        judge.judge([JudgeRequest("q", ("a", "b"))])
    with pytest.raises(InvalidInput, match="unknown expectation"):
        RefusalJudge(model).judge([JudgeRequest("q", ("here",))])


def test_without_the_encoder_the_command_is_named(monkeypatch):
    def absent(name):
        raise MissingData(f"{name} is not on this machine; run: equipoise models pull {name}")

    monkeypatch.setattr(store, "path_of", absent)
    with pytest.raises(MissingData, match="equipoise models pull all-minilm-l6-v2"):
        refusal_model()


@pytest.mark.standard
def test_trained_on_the_shipped_replies_it_is_kept_and_agrees_with_itself(tmp_path, monkeypatch):
    try:
        store.path_of("all-minilm-l6-v2")
    except MissingData as error:
        pytest.skip(str(error))
    monkeypatch.setattr(store, "derived", lambda name, *parts: tmp_path.joinpath(*parts))
    first = refusal_model()
    (folder,) = tmp_path.iterdir()
    written = (folder / "arrays.safetensors").stat().st_mtime_ns
    again = refusal_model()
    assert (folder / "arrays.safetensors").stat().st_mtime_ns == written
    assert np.array_equal(first.weights, again.weights)
    (folder / "arrays.safetensors").write_bytes(b"damaged")
    assert refusal_model().identity == first.identity
    held_out = [reply for reply in labelled_replies() if reply.held_out]
    found = first.classify([reply.reply for reply in held_out])
    right = [(f.kind == "none") == (r.kind == "none") for f, r in zip(found, held_out)]
    assert sum(right) / len(right) >= 0.8
