import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments import smollm2 as experiment
from equipoise.systems.stream_aligner.experiments.smollm2 import TARGET, check_targets, run_smollm2

TINY = StreamAlignerConfig.preset("tiny", smollm2_answers=6)


def _found(**changes: float) -> dict:
    rows = [
        {"method": "aligner", "accuracy": 0.1, "accuracy_low": 0.0, "accuracy_high": 0.3},
        {
            "method": "stream",
            "accuracy": changes.pop("accuracy", 0.5),
            "accuracy_low": changes.pop("accuracy_low", 0.31),
            "stated_share": changes.pop("stated_share", 0.9),
        },
    ]
    return {"rows": rows, "edit_precision": 0.9, "copy_rate": 0.9, **changes}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"accuracy": 0.49}, ["final answers right"]),
        ({"accuracy_low": 0.3}, ["above aligner, intervals apart"]),
        ({"stated_share": 0.89}, ["stated sums right"]),
        ({"edit_precision": float("nan")}, ["edit precision"]),
        ({"copy_rate": 0.8}, ["copy rate on benign text"]),
    ],
)
def test_each_part_of_the_target_is_checked(changes: dict[str, float], missed: list[str]) -> None:
    assert [part for part, met in check_targets(_found(**changes)).items() if not met] == missed


def test_scripted_answers_and_an_exact_oracle_show_that_the_loop_works() -> None:
    done: list[int] = []
    found = run_smollm2(TINY, 1, lambda: done.append(1))
    assert found["corrector"] == "exact oracle"
    assert found["model"] == "scripted"
    assert found["reached"] is None  # the target is one of a trained corrector
    assert found["target"] == TARGET
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == list(experiment.METHODS)
    assert rows["stream"]["right"] == rows["oracle"]["right"] == 6
    assert rows["raw"]["right"] <= rows["post-hoc"]["right"] < 6
    assert rows["raw"]["stated_right"] < rows["raw"]["stated"] == rows["stream"]["stated_right"]
    assert found["edit_precision"] == found["copy_rate"] == 1.0
    assert set(found["edit_distances"]) == {0.0}
    assert len(done) == 6 * len(experiment.METHODS)


def test_seeds_are_pooled_and_each_has_its_own_questions() -> None:
    one = run_smollm2(TINY, 1, lambda: None)
    pair = StreamAlignerConfig.preset("tiny", smollm2_answers=6, smollm2_seeds=2)
    two = run_smollm2(pair, 1, lambda: None)
    assert two["seeds"] == len(two["by_seed"]) == 2
    assert [row["answers"] for row in two["rows"]] == [12] * 5
    assert two["by_seed"][0] == one["by_seed"][0]
    assert two["rows"] != one["rows"]
    assert len({*experiment._seeds(1, 0), *experiment._seeds(1, 1), *experiment._seeds(2, 0)}) == 9


def test_a_missing_model_is_a_result_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = run_smollm2(StreamAlignerConfig.preset("tiny", smollm2_trained=True), 0, lambda: None)
    assert (found["rows"], found["reached"], found["target"]) == ([], None, TARGET)
    assert "equipoise models pull smollm2-135m" in found["missing"]


def test_what_trains_nothing_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from equipoise.systems.stream_aligner.config import StreamAlignerConfig\n"
        "from equipoise.systems.stream_aligner.experiments.smollm2 import run_smollm2\n"
        "run_smollm2(StreamAlignerConfig.preset('tiny', smollm2_answers=1), 0, int)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.standard
def test_both_styles_are_trained_from_one_base_and_measured(tmp_path: Path) -> None:
    import torch

    from equipoise.systems.stream_aligner.worlds.smollm2 import PRACTICE_QUESTIONS, RealWorld
    from tests.systems.stream_aligner.networks.test_families import make_base

    base = make_base(tmp_path / "base", seed=0)
    config = StreamAlignerConfig.preset(
        "tiny",
        model=str(base),
        smollm2_trained=True,
        smollm2_questions=2,
        smollm2_drills=2,
        smollm2_sums=2,
        smollm2_answers=2,
        smollm2_batch=16,
        adapter=False,  # the experiment trains an adapter whatever the configuration says
    )
    done: list[int] = []
    world = RealWorld("scripted")
    with world.opened() as opened:
        answers, told = experiment._trained_seed(
            config, world, opened, (1, 2, 3), lambda: done.append(1)
        )
    assert {method: len(asked) for method, asked in answers.sums.items()} == dict.fromkeys(
        experiment.METHODS, 2
    )
    assert (told["sentence_rows"], told["whole_rows"], told["drill_rows"]) == (6, 2, 2)
    assert told["benign_rows"] == 4 * len(PRACTICE_QUESTIONS)
    assert list(told["stages"]) == [
        "collecting",
        "training",
        "training of the aligner",
        "answering",
        "decoding",
    ]
    # questions, steps of 88 and of 24 rows by 16, answers
    assert len(done) == 2 + len(PRACTICE_QUESTIONS) + 6 + 2 + 2 * 5
    assert torch.is_autocast_enabled("cpu") is False  # half precision ends with the training


@pytest.mark.standard
def test_half_precision_follows_the_weights_as_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from equipoise.systems.stream_aligner.collection.smollm2_rows import drill_rows
    from tests.systems.stream_aligner.networks.test_families import make_base

    base = make_base(tmp_path / "base", seed=0)
    rows = drill_rows(8, 2, 4, [10], 0)
    settings = {"model": str(base), "smollm2_batch": 2, "smollm2_rate": 0.01}
    config = StreamAlignerConfig.preset("tiny", smollm2_epochs=4, **settings)

    def adapter() -> "torch.Tensor":
        network = experiment.train_real(config, rows, "stream", 1).network
        learned = [one for one in network.module.named_parameters() if one[1].requires_grad]
        assert learned
        assert all("lora" in name for name, _ in learned)
        return torch.cat([one.detach().flatten() for name, one in learned if "lora_B" in name])

    ours, again = adapter(), adapter()
    assert ours.equal(again)
    monkeypatch.setattr(experiment, "_half_precision", nullcontext)
    exact = adapter()
    # weights cast once and kept would have moved the adapter by its first gradient alone
    assert float(torch.cosine_similarity(ours, exact, dim=0)) > 0.98
