"""Step records, the JSON-lines file that holds them, timers, dashboards."""

import copy
import math
import pickle
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core import metrics as module
from equipoise.core.errors import InvalidInput, MissingExtra
from equipoise.core.metrics import (
    MetricsFile,
    StepRecord,
    TensorBoardWriter,
    Timer,
    TrackioWriter,
    read_metrics,
)

values = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name != "step"),
    st.floats() | st.integers() | st.booleans() | st.none() | st.lists(st.floats(), max_size=2),
    max_size=4,
)


def test_step_record_is_a_read_only_mapping_with_attributes():
    record = StepRecord(3, loss=0.5, name="x")
    assert isinstance(record, Mapping)
    assert dict(record) == {"step": 3, "loss": 0.5, "name": "x"}
    assert list(record) == ["step", "loss", "name"]
    assert (record.step, record.loss, record["loss"], len(record)) == (3, 0.5, 0.5, 3)
    assert "loss" in record
    assert record.get("absent") is None
    assert StepRecord(step=3, loss=0.5, name="x") == record
    assert repr(record) == "StepRecord(3, loss=0.5, name='x')"
    assert len({record, copy.copy(record)}) == 1


def test_step_record_refuses_changes():
    record = StepRecord(3, loss=0.5)
    with pytest.raises(AttributeError, match="read-only; cannot set 'loss'"):
        record.loss = 1.0
    with pytest.raises(AttributeError, match="read-only; cannot delete 'loss'"):
        del record.loss
    with pytest.raises(TypeError):
        record["loss"] = 1.0  # type: ignore[index]
    with pytest.raises(AttributeError, match="has no 'lss'; it has step, loss"):
        _ = record.lss
    with pytest.raises(KeyError):
        _ = record["lss"]
    assert dict(record) == {"step": 3, "loss": 0.5}


@pytest.mark.parametrize("step", ["3", 1.5, None])
def test_step_record_needs_a_whole_step(step):
    with pytest.raises(InvalidInput, match="it must be a whole number"):
        StepRecord(step, loss=1.0)


def test_step_record_copies_and_pickles():
    record = StepRecord(np.int64(3), loss=0.5, self=1, values=2)  # type: ignore[arg-type]
    assert type(record.step) is int
    for again in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert type(again) is StepRecord
        assert again == record
    assert record["self"] == 1
    assert record["values"] == 2


def same(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    both = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both or (a == b and type(a) is type(b))


@given(st.integers(), values)
def test_records_read_back_equal_with_nan_and_infinity(step, entries):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = MetricsFile(Path(folder) / "metrics.jsonl")
        file.append(StepRecord(step, **entries))
        file.append(StepRecord(step + 1))
        first, second = read_metrics(file.path)
    assert first.step == step
    assert list(first)[1:] == list(entries)
    assert all(same(first[name], value) for name, value in entries.items())
    assert dict(second) == {"step": step + 1}


def test_a_half_written_last_line_is_dropped_and_written_past(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    for step in range(3):
        file.append(StepRecord(step, loss=1.0 / (step + 1)))
    path.write_bytes(path.read_bytes()[:-7])
    assert [r.step for r in read_metrics(path)] == [0, 1]
    MetricsFile(path).append(StepRecord(2, loss=9.0))
    assert [(r.step, r.loss) for r in read_metrics(path)] == [(0, 1.0), (1, 0.5), (2, 9.0)]


def test_lines_that_are_no_records_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": 2}\n[1]\n{"a": 3}\n{"step": "x"}\nnonsense\n{"step": 2}\n')
    assert read_metrics(path) == [StepRecord(1, a=2), StepRecord(2)]
    assert read_metrics(tmp_path / "absent.jsonl") == []


def test_keep_until_drops_later_and_broken_records(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    assert file.keep_until(None) == 0
    assert not path.exists()
    for step in range(4):
        file.append(StepRecord(step, loss=math.inf))
    with path.open("a") as text:
        text.write('{"step": 4, "lo')
    assert file.keep_until(2) == 3
    assert path.read_text().count("\n") == 3
    file.append(StepRecord(3, loss=0.0))
    assert [r.step for r in read_metrics(path)] == [0, 1, 2, 3]
    assert read_metrics(path)[1].loss == math.inf
    assert file.keep_until(None) == 4


def test_timer_adds_up_by_name_and_nests(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 10.0, 20.0, 21.5])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now))
    timer = Timer()
    with timer("outer"), timer("inner"):
        pass
    with timer("inner"):
        pass
    assert timer.seconds == {"outer": 10.0, "inner": 3.5}


def test_timer_counts_a_failing_span():
    timer = Timer()
    with pytest.raises(KeyError), timer("failing"):
        raise KeyError
    assert timer.seconds["failing"] >= 0.0


def test_tensorboard_writer_reads_back(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = TensorBoardWriter(tmp_path)
    for step in range(3):
        record = StepRecord(
            step, loss=0.5 * step, ok=True, note="text", count=np.int64(step), arm={"left": 2.0}
        )
        writer.append(record)
    writer.append(StepRecord(3, loss=np.float32(0.25)))
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["arm/left", "count", "loss", "ok"]
    read = [(event.step, event.value) for event in events.Scalars("loss")]
    assert read == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 0.25)]


def test_absent_trackio_names_the_install_line(monkeypatch):
    monkeypatch.setattr(module, "is_present", lambda name: False)
    with pytest.raises(MissingExtra, match=r"needs trackio, which is not .*: pip install trackio"):
        TrackioWriter("project", "name")


def test_trackio_writer_forwards_numbers(monkeypatch, tmp_path):
    (tmp_path / "trackio.py").write_text(
        "calls = []\n"
        "class _Run:\n"
        "    def log(self, values, step): calls.append((step, values))\n"
        "    def finish(self): calls.append('finished')\n"
        "def init(**options):\n"
        "    calls.append(options)\n"
        "    return _Run()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    writer = TrackioWriter("project", "name", {"lr": 1})
    writer.append(StepRecord(2, loss=0.5, text="x"))
    writer.close()
    import trackio  # type: ignore[import-not-found]

    started = {"project": "project", "name": "name", "config": {"lr": 1}}
    assert trackio.calls == [started, (2, {"loss": 0.5}), "finished"]
