from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments import training
from equipoise.systems.stream_aligner.experiments.training import (
    ALIGNER_SHARE,
    one_thread,
    run_identity,
    solved_rows,
    train_aligner,
    train_in_world,
    training_seeds,
    world_rows,
)
from equipoise.systems.stream_aligner.prompts import corrector_prompt
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.worlds.arithmetic import is_right

CONFIG = StreamAlignerConfig.preset(
    "tiny",
    steps=3,
    world_largest=5,
    world_questions=6,
    world_answers=5,
    world_decoder=DecoderShape(width=8, layers=1, heads=1, window=2),
)


def test_rows_of_sentences_follow_the_corrected_prefix() -> None:
    rows = world_rows(CONFIG, 4, 0)
    assert len(rows) == 4 * CONFIG.steps
    for before, after in pairwise(rows):
        if after.prefix:
            assert after.prefix.endswith(before.correction)
    assert {row.correction == row.last for row in rows} == {True, False}
    assert world_rows(CONFIG, 4, 0) == rows
    assert world_rows(CONFIG, 4, 1) != rows


def test_whole_answers_are_corrected_where_they_stand_and_solved_from_the_question() -> None:
    whole = world_rows(CONFIG, 20, 0, mode="aligner")
    assert len(whole) == 20
    assert {row.prefix for row in whole} == {""}
    solved = solved_rows(whole)
    assert [row.last for row in solved] == [row.last for row in whole]
    assert all(is_right(row.question, row.correction) for row in solved)
    # an early slip is built upon: correcting single sums leaves the last one wrong
    late = [row for row in whole if not is_right(row.question, row.correction)]
    assert 0 < len(late) < 20


def test_a_slip_known_by_hand() -> None:
    row = CorrectionRow("Add 2, 3 and 4.", "", "2 + 3 = 6. 6 + 4 = 10.", "2 + 3 = 5. 6 + 4 = 10.")
    assert solved_rows([row])[0].correction == "2 + 3 = 5. 5 + 4 = 9."


def size(rows: list[CorrectionRow], style: str) -> int:
    prompts = [corrector_prompt(row.question, row.prefix, row.last, style=style) for row in rows]
    return sum(len(prompt) + len(row.correction) for prompt, row in zip(prompts, rows))


@pytest.mark.parametrize("epochs", [1, 3])
def test_aligners_see_about_as_many_tokens(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    told: dict[str, Any] = {}

    def note(config: Any, rows: Any, seed: int, **changes: Any) -> None:
        told.update(changes, rows=rows, seed=seed)

    monkeypatch.setattr(training, "train_in_world", note)
    rows, whole = world_rows(CONFIG, 6, 0), world_rows(CONFIG, 6, 0, mode="aligner")
    train_aligner(replace(CONFIG, world_epochs=epochs), rows, whole, 5)
    assert (told["style"], told["seed"], told["rows"]) == ("aligner", 5, whole)
    ratio = told["epochs"] * size(whole, "aligner") / (epochs * size(rows, "stream"))
    assert ratio == pytest.approx(1, abs=0.5 / epochs)
    # and never less than one pass
    train_aligner(CONFIG, rows[:1], whole, 5)
    assert told["epochs"] == 1


def test_seeds_are_apart() -> None:
    found = [training_seeds(seed) for seed in range(20)]
    assert len({one for pair in found for one in pair}) == 40
    assert training_seeds(3) == found[3]


@pytest.mark.standard
def test_one_thread_is_given_back() -> None:
    import torch

    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.standard
def test_corrector_of_an_experiment_has_the_style_and_length_asked_for() -> None:
    rows = world_rows(CONFIG, 2, 0)
    corrector = train_in_world(CONFIG, rows, 0)
    assert (corrector.style, corrector.max_length) == ("stream", CONFIG.world_length)
    whole = train_aligner(CONFIG, rows, world_rows(CONFIG, 2, 0, mode="aligner"), 0)
    assert (whole.style, whole.max_length) == ("aligner", 4 * CONFIG.world_length)


@pytest.mark.standard
def test_identity_says_whether_the_optimum_is_aligners() -> None:
    done: list[int] = []
    found = run_identity(CONFIG, 0, lambda: done.append(1))
    assert len(done) == len(CONFIG.identity_shares) == len(found["rows"])
    assert found["reached"] == (found["best_share"] == ALIGNER_SHARE)
    assert "20%" in found["target"]
    without = replace(CONFIG, identity_shares=(0.0, 0.5))
    assert run_identity(without, 0, lambda: None)["reached"] is None


def test_rows_that_were_learned_are_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(CONFIG, world_largest=3, world_questions=20, world_answers=40)
    learned: set[tuple[str, str, str]] = set()
    tested: set[tuple[str, str, str]] = set()

    class Copies:
        def __call__(self, question: str, prefix: str, sentence: str) -> str:
            tested.add((question, prefix, sentence))
            return sentence

    def train(config: Any, rows: Any, seed: int, **changes: Any) -> Copies:
        learned.update((row.question, row.prefix, row.last) for row in rows)
        return Copies()

    monkeypatch.setattr(training, "train_in_world", train)
    found = run_identity(small, 0, lambda: None)
    assert (found["rows"][0]["copy_rate"], found["rows"][0]["edit_recall"]) == (1.0, 0.0)
    assert tested
    assert not tested & learned
