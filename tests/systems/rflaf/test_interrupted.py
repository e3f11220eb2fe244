"""Command lines stopped in the middle, politely or not: they go on and end as if never stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import EquipoiseError
from equipoise.core.runs import Run
from equipoise.systems.rflaf import load_model
from equipoise.systems.rflaf.accumulating import Sums, accumulate_file, start_sums
from equipoise.systems.rflaf.config import RFLAFConfig

CHUNKS, ROWS = 40, 100
LINE = ["--rows", str(ROWS), "--target", "y", "--n-components", "60", "--n-basis", "9"]
STREAM = ["--stream", str(ROWS), *LINE[2:], "--n-starts", "1"]
SUMS = ("gram", "cross", "feature_sum", "target_sum", "target_square_sum")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.standard_normal((CHUNKS * ROWS, 3)), columns=list("abc"))
    made["y"] = np.sin(2 * made.a) + made.b + 0.1 * rng.standard_normal(len(made))
    path = tmp_path_factory.mktemp("interrupted") / "t.csv"
    made.to_csv(path, index=False)
    return path


def start(*line) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "equipoise", *map(str, line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process) -> None:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def chunks_in(folder) -> int:
    """Return how many chunks a folder of sums holds; 0 while there is none."""
    try:
        return Sums.load(folder).chunks
    except EquipoiseError:
        return 0


def stop(process, folder, after: int, number: int) -> int:
    """Send a signal once a folder holds more than `after` chunks; return how many it then has."""
    deadline = time.monotonic() + 60
    while chunks_in(folder) <= after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[number], said
    assert "Traceback" not in said
    kept = chunks_in(folder)
    assert after < kept < CHUNKS  # really in the middle
    return kept


def same_sums(one, other) -> None:
    first, second = Sums.load(one).statistics, Sums.load(other).statistics
    assert first.n_samples == second.n_samples
    for name in SUMS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.mark.standard
def test_sums_stopped_twice_end_as_the_whole(table, tmp_path):
    finish(start("rflaf", "accumulate", table, *LINE, "--out", tmp_path / "whole"))
    line = ["rflaf", "accumulate", table, *LINE, "--out", tmp_path / "cut"]
    kept = 0
    for number in (signal.SIGINT, signal.SIGKILL):
        kept = stop(start(*line), tmp_path / "cut", kept, number)
    finish(start(*line))
    assert Sums.load(tmp_path / "cut").whole
    same_sums(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.standard
def test_a_streamed_training_stopped_twice_ends_as_the_whole(table, tmp_path):
    finish(start("rflaf", "train", table, *STREAM, "--out", tmp_path / "whole"))
    line = ["rflaf", "train", table, *STREAM, "--out", tmp_path / "cut"]
    resume = ["runs", "resume", tmp_path / "cut"]
    sums, kept = tmp_path / "cut" / "checkpoints" / "sums", 0
    for number, words in ((signal.SIGINT, line), (signal.SIGKILL, resume)):
        kept = stop(start(*words), sums, kept, number)
        assert Run.open(tmp_path / "cut").status == "interrupted"
    finish(start(*line))
    runs = [Run.open(tmp_path / name) for name in ("whole", "cut")]
    assert [run.status for run in runs] == ["done", "done"]
    assert runs[0].results["measured"] == runs[1].results["measured"]
    lines = [(run.path / "metrics.jsonl").read_text().splitlines() for run in runs]
    assert [json.loads(text) for text in lines[0]] == [json.loads(text) for text in lines[1]]
    same_sums(sums, tmp_path / "whole" / "checkpoints" / "sums")
    X = pd.read_csv(table)[list("abc")].to_numpy()
    one, other = (load_model(run.path / "checkpoints" / "model").predict(X) for run in runs)
    np.testing.assert_array_equal(one, other)


def test_sums_stopped_while_a_folder_is_replaced_are_not_lost(table, tmp_path):
    config = RFLAFConfig(target="y", n_components=20, n_basis=7)
    first = start_sums(table, config, ROWS, 0)

    def interrupt(sums):
        if sums.chunks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accumulate_file(table, first, ROWS, tmp_path / "cut", after=interrupt)
    (tmp_path / "cut").rename(tmp_path / ".cut.previous")  # between the two renames of a save
    seen = []
    accumulate_file(
        table, first.empty(), ROWS, tmp_path / "cut", after=lambda s: seen.append(s.chunks)
    )
    assert seen == list(range(3, CHUNKS + 1))
    assert not (tmp_path / ".cut.previous").exists()
