import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner import StreamAlignerConfig
from equipoise.systems.stream_aligner.collection.collecting import iter_rows
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.rows import CorrectionRow, write_rows
from equipoise.systems.stream_aligner.train import Recipe, train, train_to_the_end
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, oracle

TINY = StreamAlignerConfig.preset(
    "tiny",
    decoder=DecoderShape(width=16, layers=1, heads=2, window=3),
    batch=8,
    epochs=2,
    save_every=3,
    max_length=160,
)


def sum_rows(questions: int = 8) -> list[CorrectionRow]:
    world = ArithmeticWorld(steps=4, largest=4, error_rate=0.5, seed=1)
    return list(iter_rows(world.questions(questions, 1), world.upstream, oracle))


ROWS = sum_rows()


def weights(trained: Any) -> dict[str, torch.Tensor]:
    return trained.network.module.state_dict()


def test_equal_seeds_give_equal_records_and_weights() -> None:
    (first, one), (second, two) = (train_to_the_end(TINY, ROWS, seed=3) for _ in range(2))
    assert one == two
    assert all(torch.equal(weights(first)[name], weights(second)[name]) for name in weights(first))
    assert train_to_the_end(TINY, ROWS, seed=4)[1] != one
    assert [record.step for record in one] == list(range(1, first.steps + 1))
    assert first.steps == 2 * math.ceil(len(ROWS) / 8)
    assert one[-1].loss < one[0].loss


def test_the_recipe_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    adam = torch.optim.AdamW

    def noted(*arguments: Any, **options: Any) -> Any:
        seen.update(options)
        return adam(*arguments, **options)

    monkeypatch.setattr(torch.optim, "AdamW", noted)
    _, records = train_to_the_end(StreamAlignerConfig.preset("tiny", decoder=TINY.decoder), ROWS)
    assert (seen["betas"], seen["weight_decay"], seen["lr"]) == ((0.9, 0.95), 0.0, 3e-3)
    rates = [record.learning_rate for record in records]
    assert max(rates) == rates[0] == 3e-3  # 3 % of three steps is the first one
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({}, Recipe(3, 3e-3, 64, 1, 256, False)),
        ({"base": "smollm2-135m"}, Recipe(3, 2e-4, 4, 2, 512, True)),
        ({"base": "smollm2-135m", "adapter": False}, Recipe(3, 2e-5, 4, 2, 512, False)),
        ({"epochs": 1, "learning_rate": 0.1, "batch": 5}, Recipe(1, 0.1, 5, 1, 256, False)),
    ],
)
def test_the_recipe_follows_the_base(changes: dict[str, Any], recipe: Recipe) -> None:
    assert Recipe.of(StreamAlignerConfig.preset("tiny", **changes)) == recipe


def test_accumulated_batches_are_one_batch() -> None:
    config = StreamAlignerConfig.preset("tiny", decoder=TINY.decoder, max_length=160, epochs=1)
    rows = [*ROWS[:7], CorrectionRow("q", "", "s.", "A much longer target, alone of its length.")]
    losses = []
    for batch, accumulation in ((8, 1), (4, 2), (2, 4)):
        plan = {"batch": batch, "accumulation": accumulation, "identity_share": 0.0}
        chosen = StreamAlignerConfig.preset("tiny", decoder=config.decoder, max_length=160, **plan)
        _, records = train_to_the_end(chosen, rows, seed=0)
        losses.append([record.loss for record in records])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_the_identity_share_comes_first_or_mixed() -> None:
    _, warm = train_to_the_end(TINY, ROWS, seed=0)
    copies = [record.copies for record in warm]
    first = round(0.2 * len(warm))
    assert copies[:first] == [record.rows for record in warm[:first]]
    assert not any(copies[first:])
    mixed = StreamAlignerConfig.preset("tiny", **{**vars(TINY), "schedule": "mixed"})
    _, records = train_to_the_end(mixed, ROWS, seed=0)
    assert 0 < sum(record.copies for record in records) < sum(record.rows for record in records) / 2


def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    _, whole = train_to_the_end(TINY, ROWS, seed=1, out=tmp_path / "whole")
    for stop in (2, 3, 5):
        out = tmp_path / f"stopped-{stop}"
        loop = train(TINY, ROWS, seed=1, out=out)
        for _ in range(stop):
            next(loop)
        loop.close()  # type: ignore[attr-defined]
        Run.open(out).mark("interrupted")
        _, resumed = train_to_the_end(TINY, ROWS, seed=1, out=out)
        assert resumed == whole
        for name in ("arrays.safetensors", "meta.json"):
            ours, theirs = (
                (folder / "checkpoints" / "final" / name).read_bytes()
                for folder in (out, tmp_path / "whole")
            )
            assert ours == theirs
        assert Run.open(out).metrics == whole
        assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["final"]


def test_a_training_goes_on_only_with_its_own_rows(tmp_path: Path) -> None:
    loop = train(TINY, ROWS, out=tmp_path / "run")
    for _ in range(4):
        next(loop)
    loop.close()  # type: ignore[attr-defined]
    Run.open(tmp_path / "run").mark("interrupted")
    with pytest.raises(InvalidInput, match=r"has data_sha256 .* name a new folder"):
        next(train(TINY, ROWS[:-1], out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "warm-up"}, "unknown schedule 'warm-up': did you mean 'warmup'"),
        ({"identity_share": 1.5}, "identity_share is 1.5"),
        ({"save_every": 0}, "save_every is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"batch": -1}, "batch is -1"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    config = StreamAlignerConfig.preset("tiny", **changes)
    with pytest.raises(InvalidInput, match=message):
        next(train(config, ROWS))
    with pytest.raises(InvalidInput, match="unknown prompt style 'steam'"):
        next(train(TINY, ROWS, style="steam"))


@pytest.mark.standard
def test_a_killed_training_is_continued_by_the_same_line(tmp_path: Path) -> None:
    write_rows(sum_rows(20), tmp_path / "rows.jsonl")
    changes = ["--decoder.width", "16", "--decoder.layers", "1", "--decoder.heads", "2"]
    changes += ["--epochs", "8", "--batch", "4", "--save-every", "7"]
    line = [sys.executable, "-m", "equipoise", "stream-aligner", "train", "--rows", "rows.jsonl"]
    line += [*changes, "--json", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(name: str) -> dict[str, Any]:
        done = subprocess.run(
            [*line, name], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    whole = run("whole")
    killed = subprocess.Popen(
        [*line, "killed"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = tmp_path / "killed" / "checkpoints" / "state" / "meta.json"
    deadline = time.monotonic() + 60
    while not state.exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "results.json").exists(), "it was too fast to be killed"
    resumed = run("killed")
    for name in ("steps", "loss", "first_loss", "rows"):
        assert resumed[name] == whole[name]
    first, second = (
        (tmp_path / name / "checkpoints" / "final" / "arrays.safetensors").read_bytes()
        for name in ("whole", "killed")
    )
    assert first == second
