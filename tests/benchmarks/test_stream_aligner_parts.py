"""The benchmark's parts with tiny sizes: what they count is right; seconds are not looked at."""

import stat
from pathlib import Path

import numpy as np
import pytest

from benchmarks import stream_aligner_crowd as crowd
from benchmarks import stream_aligner_models as models
from benchmarks import stream_aligner_served as served
from benchmarks.stream_aligner import PARTS, recorded
from benchmarks.stream_aligner_lines import LINES
from benchmarks.stream_aligner_load import Heard
from benchmarks.stream_aligner_peers import (
    SERVERS,
    VARIABLE,
    Absent,
    peer,
    python_of,
    write_litellm,
    write_nemo,
)
from benchmarks.stream_aligner_segmenter import PIECE, against_pysbd, feed, prose, segmenter
from equipoise.core.errors import MissingData


@pytest.fixture
def no_peers(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def fake_python(folder, name, script):
    """An interpreter of a peer's environment that runs a shell script instead."""
    path = folder / name / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_every_part_has_its_lines():
    assert list(PARTS) == list(LINES)


def test_prose_has_the_size_asked_for_and_is_the_same_each_time():
    text = prose(500)
    assert len(text) == 500
    assert text == prose(500)
    assert text != prose(500, seed=1)
    assert sum(text.count(mark) for mark in ".?!") > 3


def test_segmenter_records_an_absent_peer(no_peers):
    found = segmenter(small=200, sizes=(50,), repeats=1)
    assert found["characters"] == 200
    assert found["pysbd"]["absent"] == f"{VARIABLE} is not set"
    assert found["growth"] > 0
    assert feed(prose(40), PIECE) > 0


def test_pysbd_is_extrapolated_by_its_power(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    fake_python(tmp_path, "pysbd", "cat > /dev/null; echo '[1.0, 4.0, 16.0]'")
    found = against_pysbd(prose(1000), (100, 200, 400), repeats=1)
    assert found["power"] == pytest.approx(2.0)
    assert found["extrapolated_seconds"] == pytest.approx(100.0)


def test_a_failing_pysbd_is_absent_with_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    fake_python(tmp_path, "pysbd", "echo 'no such module' >&2; exit 3")
    with pytest.raises(Absent, match="no such module"):
        against_pysbd("One. Two.", (4,))


def test_a_peer_without_environment_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(Absent, match="no environment nemo"):
        python_of("nemo")
    with pytest.raises(Absent, match="litellm"), peer("litellm_whole", "http://127.0.0.1:9"):
        pass


def test_a_server_that_ends_at_once_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    fake_python(tmp_path, "litellm", "exit 0").with_name("litellm").symlink_to("python")
    with pytest.raises(Absent, match="did not answer"), peer("litellm_diff", "http://127.0.0.1:9"):
        pass


@pytest.mark.parametrize("name", SERVERS)
def test_the_files_of_a_peer_name_the_upstream_and_are_valid(name, tmp_path, monkeypatch):
    yaml = pytest.importorskip("yaml")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    fake_python(tmp_path, name.partition("_")[0], "")
    write, setting = SERVERS[name]
    folder = tmp_path / "files"
    folder.mkdir()
    command = write(folder, "http://127.0.0.1:9", setting)
    assert Path(command[0]).parent.name == "bin"
    configs = [yaml.safe_load(path.read_text()) for path in folder.rglob("*.y*ml")]
    assert len(configs) == 1
    assert "http://127.0.0.1:9/v1" in str(configs[0])
    for path in folder.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    assert write in (write_litellm, write_nemo)


def test_nemo_gets_the_chunks_that_are_named(tmp_path, monkeypatch):
    yaml = pytest.importorskip("yaml")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    fake_python(tmp_path, "nemo", "")
    write_nemo(tmp_path, "http://127.0.0.1:9", SERVERS["nemo_10"][1])
    rails = yaml.safe_load((tmp_path / "configs" / "pass" / "config.yml").read_text())["rails"]
    assert rails["output"]["streaming"] == {
        "enabled": True,
        "stream_first": False,
        "chunk_size": 10,
        "context_size": 0,
    }


def test_decided_is_when_the_first_sentence_can_be_told():
    heard = Heard(10.0, times=[11.0, 12.0, 13.0, 14.0], texts=["One", " two.", " Three", "."])
    assert served.decided(heard) == 3.0
    heard = Heard(10.0, times=[11.0], texts=["One two."], ended=15.0)
    assert served.decided(heard) == 5.0


def test_the_first_token_says_when_it_was_written():
    heard = Heard(10.0, times=[11.0], texts=["t10250000 t10500000."])
    assert served.first_written(heard) == pytest.approx(0.25)


@pytest.mark.parametrize(("count", "copy_rate", "edits"), [(11, 0.8, 2), (11, 1.0, 0), (5, 0.5, 2)])
def test_edits_are_spread_and_never_the_last_sentence(count, copy_rate, edits):
    found = served.edited(count, copy_rate)
    assert len(set(found)) == edits
    assert all(0 <= place < count - 1 for place in found)


def test_every_point_has_the_copy_rate_that_it_names():
    for _, _, _, copy_rate in served.POINTS:
        assert 1 - len(served.edited(11, copy_rate)) / 10 == pytest.approx(copy_rate)


@pytest.mark.standard
def test_the_proxy_beside_absent_peers(no_peers):
    found = served.beside_peers(rounds=1, sentences=2, tokens=2)
    assert found["nemo"] == {"absent": f"{VARIABLE} is not set"}
    assert found["direct"]["upstream_tokens"] == found["ours"]["upstream_tokens"] == 4
    assert found["ours"]["pieces"] == 2
    assert found["direct"]["pieces"] == 4


@pytest.mark.standard
def test_first_segments_and_chunks_are_counted():
    first = served.added_at_first(rounds=2, tokens=2)
    assert first["added_s"]["n"] == first["direct_first_s"]["n"] == 2
    chunks = served.at_once(rounds=1)
    assert chunks["detect_age_s"]["n"] == chunks["off_age_s"]["n"] == 20


@pytest.mark.standard
def test_streams_speculation_and_first_text():
    [level] = crowd.streams((3,), sentences=1)["levels"]
    assert (level["streams"], level["dropped"], level["upstream_open_afterwards"]) == (3, 0, 0)
    [point] = served.speculation([(0.04, 0.02, 0.01, 0.5)], rounds=1, count=5)["points"]
    assert point["expected_speedup"] == pytest.approx(0.07 / 0.055)
    assert point["timeline_speculative_s"] == pytest.approx((2 * 0.04 + 2 * 0.07) / 4)
    [row] = served.first_text((2,), rounds=1, tokens=2)["rows"]
    assert row["expected_aligner"] == pytest.approx(0.13)
    assert row["expected_stream"] == pytest.approx(0.09)


@pytest.mark.standard
def test_first_text_is_drawn_with_its_formulas():
    rows = [{"sentences": n, "stream": 0.2, "aligner": 0.1 * n, "expected_stream": 0.15,
             "expected_aligner": 0.1 * n + 0.05} for n in (1, 2, 32)]  # fmt: skip
    drawn = served.draw_first_text({"rows": rows})
    assert drawn.count("<svg") == 1
    for words in ("N U + A", "seconds to the first text", "sentences of the answer"):
        assert words in drawn


@pytest.mark.standard
def test_aborts_leave_nothing_open():
    found = crowd.faults(count=10, parallel=5)
    assert found["open"] == 0
    assert found["aborts"] == 10
    assert found["answers_afterwards"]


def test_chosen_logits_choose_those_tokens():
    assert models.chosen([3, 0, 2], 4).argmax(axis=1).tolist() == [3, 0, 2]


def test_corrections_copy_as_often_as_they_should():
    draft = list(range(10, 30))
    found = models.corrections(draft, 5, 4, [1, 2, 3], seed=0)
    assert found[:4] == [draft] * 4
    assert found[4] != draft
    assert len(found[4]) == len(draft)
    assert sum(a != b for a, b in zip(found[4], draft)) == 3


def byte_network():
    from equipoise.systems.stream_aligner.config import DecoderShape
    from equipoise.systems.stream_aligner.networks.families import ByteNetwork

    return ByteNetwork(DecoderShape(width=16, layers=1, heads=1, window=2))


@pytest.mark.standard
def test_copying_counts_passes_of_both_ways():
    found = models.copying((0.5, 1.0), 4, byte_network)
    half, whole, astray = found["rates"]
    assert all(row["same_output"] for row in found["rates"])
    assert (half["copy_rate"], whole["passes"], astray["copy_rate"]) == (0.5, 1.0, 0.8)
    assert whole["plain_passes"] == found["draft_tokens"] + 1
    assert 1 < half["passes"] < half["plain_passes"]
    assert found["plain_reviews"] == 1


@pytest.mark.standard
def test_reading_is_kept_between_rounds_or_not():
    found = models.reading(rounds=6, repeats=1, load=byte_network)
    kept, afresh = (found[name]["tokens"] for name in ("kept", "afresh"))
    assert kept[0] == afresh[0]
    assert len(set(kept[1:])) == 1
    assert np.diff(afresh).min() >= len(models.SENTENCE)
    assert kept[-1] < afresh[-1]


@pytest.mark.slow
def test_training_steps_of_both_loops_see_the_same_batch(smollm2):
    found = models.training(steps=1, rows=2)
    assert found["losses"]["ours"][0] == pytest.approx(found["losses"]["bare"][0], rel=1e-3)
    assert found["ratio"] > 0


def test_missing_data_is_recorded_and_other_errors_are_not_hidden():
    def missing():
        raise MissingData("no model here")

    def broken():
        raise KeyError("x")

    assert recorded(missing)() == {"absent": "no model here"}
    found = recorded(lambda: {"a": 1})()
    assert found.pop("load_before") >= 0
    assert found == {"a": 1}
    with pytest.raises(KeyError):
        recorded(broken)()
