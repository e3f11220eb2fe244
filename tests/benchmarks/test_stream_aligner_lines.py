"""What the parts say in words: targets reached or missed or not measured; the documents' rows."""

import json

import pytest

from benchmarks import stream_aligner_lines as lines
from docs import generate

SPREAD = {"p50": 0.2, "p99": 0.3, "n": 9}


def test_milliseconds_keep_three_figures():
    assert lines.ms(0.00012345) == "0.123 ms"
    assert lines.ms(0.22547) == "225 ms"
    assert lines.ms(1.6264) == "1,626 ms"


@pytest.mark.parametrize(("reached", "said"), [(True, "yes"), (False, "no"), (None, "")])
def test_a_figure_says_whether_its_target_is_reached(reached, said):
    found = lines.figure("x", "1", "<= 2", reached)
    assert found["reached"] == said
    assert list(found) == ["what", "ours", "target", "reached", "peer", "conditions"]


def segmenter_part(**changes):
    peer = {"ratio": 60.0, "extrapolated_seconds": 9000.0, "power": 2.0, "sizes": [10, 20],
            "measured_ratio": 30.0}  # fmt: skip
    return {"growth": 10.0, "characters": 100_000, "seconds": 0.1, "piece": 4,
            "piece_seconds": 0.15, "pysbd": peer} | changes  # fmt: skip


def test_segmenter_against_its_targets():
    grows, splits = lines.segmenter(segmenter_part())
    assert (grows["reached"], splits["reached"]) == ("yes", "yes")
    assert "60 x faster" in splits["ours"]
    assert "power 2.0" in splits["conditions"]
    [grows, _] = lines.segmenter(segmenter_part(growth=13.0))
    assert grows["reached"] == "no"


def test_an_absent_peer_is_named_and_nothing_is_claimed():
    _, splits = lines.segmenter(segmenter_part(pysbd={"absent": "not there"}))
    assert splits["reached"] == ""
    assert splits["peer"] == "pysbd absent: not there"


def way(first, tokens=80.0, total=1.6):
    return {"first_s": {"p50": first}, "gaps_s": SPREAD, "total_s": {"p50": total},
            "pieces": 8, "upstream_tokens": tokens, "upstream_requests": 1.0}  # fmt: skip


def proxy_part(added=0.002, detect=0.0001, **beside):
    return {
        "token_s": 0.02,
        "first_segment": {
            "added_s": {"p50": added, "p99": 0.009, "n": 5},
            "asked_later_s": 0.001,
            "direct_jitter_s": SPREAD,
        },
        "at_once": {"detect_added_s": detect, "off_added_s": 1e-4, "detect_age_s": SPREAD},
        "beside": {"direct": way(0.02), "ours": way(0.2), **beside},
    }


def test_the_proxy_reaches_or_misses_each_target_by_itself():
    found = lines.proxied(proxy_part())
    assert [line["reached"] for line in found[:4]] == ["yes"] * 4
    found = lines.proxied(proxy_part(added=0.004, detect=0.0003, ours=way(0.2, 85.0, 1.7)))
    assert [line["reached"] for line in found[:4]] == ["no"] * 4


def test_peers_that_are_earlier_later_or_absent():
    peers = {"litellm_diff": way(0.1), "nemo": way(1.6), "nemo_10": {"absent": "why not"}}
    *_, earlier, later, absent = lines.proxied(proxy_part(**peers))
    assert (earlier["reached"], earlier["ours"]) == ("no", "ours 0.5 x as early")
    assert (later["reached"], later["ours"]) == ("yes", "ours 8 x as early")
    assert (absent["reached"], absent["peer"]) == ("", "absent: why not")


def level(streams, dropped=0, growth=40e3):
    return {"streams": streams, "dropped": dropped, "growth_bytes_per_stream": growth,
            "second_wave_bytes_per_stream": 0.0, "first_s": SPREAD}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "reached"),
    [(level(200), "yes"), (level(200, 1), "no"), (level(200, 0, 60e3), "no"), (level(50), "")],
)
def test_streams_ask_something_of_two_hundred(given, reached):
    [found] = lines.streams({"levels": [given]})
    assert found["reached"] == reached
    assert (found["target"] == "") == (reached == "")


@pytest.mark.parametrize(("off", "reached"), [(0.09, "yes"), (0.11, "no")])
def test_speculation_within_ten_percent(off, reached):
    point = {"generate_s": 0.3, "correct_s": 0.1, "restart_s": 0.05, "copy_rate": 0.8,
             "sequential_s": 0.45, "speculative_s": 0.33, "speedup": 1.36,
             "expected_sequential_s": 0.45, "expected_speculative_s": 0.33,
             "expected_speedup": 1.3636, "off_by": off}  # fmt: skip
    [found] = lines.speculation({"points": [point]})
    assert found["reached"] == reached
    assert found["target"] == "1.36 x within 10 %"


def test_first_text_lists_all_counts():
    rows = [{"sentences": n, "stream": 0.15, "aligner": 0.1 * n + 0.05, "expected_stream": 0.15,
             "expected_aligner": 0.1 * n + 0.05} for n in (1, 32)]  # fmt: skip
    rows[0]["stream"] = 0.18
    [found] = lines.first_text({"generate_s": 0.1, "correct_s": 0.05, "rows": rows})
    assert found["ours"] == "0.18, 0.15 s"
    assert found["peer"].endswith("0.15, 3.25 s")
    assert "20% off" in found["conditions"]


def rate(copy_rate, speedup, edits="other words", same=True):
    return {"copy_rate": copy_rate, "edits": edits, "passes": 1.2, "plain_passes": 28.0,
            "seconds": 0.1, "plain_seconds": 0.1 * speedup, "speedup": speedup,
            "same_output": same}  # fmt: skip


def copying_part(growth=1.0, *rates):
    reading = {"rounds": 16, "kept": {"growth": growth, "tokens": [95, 64]},
               "afresh": {"growth": 3.0, "tokens": [95, 120]}}  # fmt: skip
    return {"draft_tokens": 27, "rates": list(rates), "reading": reading}


def test_copying_asks_for_five_times_from_a_copy_rate_of_eight_tenths_on():
    rates = [rate(0.5, 6.0), rate(0.8, 4.0), rate(0.95, 6.0), rate(0.95, 6.0, same=False)]
    *found, reading = lines.copying(copying_part(1.0, *rates))
    assert [line["reached"] for line in found] == ["", "no", "yes", "no"]
    assert reading["reached"] == "yes"
    assert "159 tokens" in reading["ours"]
    assert lines.copying(copying_part(1.3))[-1]["reached"] == "no"
    [astray, _] = lines.copying(copying_part(1.0, rate(0.8, 6.0, "words from further on")))
    assert astray["target"] == ""


@pytest.mark.parametrize(("ratio", "reached"), [(1.1, "yes"), (1.2, "no")])
def test_a_training_step(ratio, reached):
    part = {"seconds": 1.0, "bare_seconds": 1.0, "ratio": ratio, "rows": 4, "steps": 4}
    assert lines.training(part)[0]["reached"] == reached


@pytest.mark.parametrize(
    ("left", "alive", "reached"), [(0, True, "yes"), (1, True, "no"), (0, False, "no")]
)
def test_aborts(left, alive, reached):
    part = {"aborts": 1000, "open": left, "answers_afterwards": alive, "open_at_once": 2,
            "closed_s": 0.01, "upstream_requests": 990}  # fmt: skip
    assert lines.faults(part)[0]["reached"] == reached


def test_a_part_that_was_not_measured_says_why():
    for name, say in lines.LINES.items():
        [found] = say({"absent": "no model"})
        assert found["what"] == f"stream_aligner: {name}"
        assert (found["reached"], found["peer"]) == ("", "absent: no model")


def test_documents_show_figures_of_both_forms():
    plain = {"name": "a", "value": "1 s", "beside": "2 s", "note": "n"}
    assert generate.figure_cells(plain) == ["a", "1 s", "2 s", "n"]
    missed = lines.figure("b", "3 s", "<= 2 s", False, "4 s", "idle")
    assert generate.figure_cells(missed) == [
        "stream_aligner: b", "3 s", "4 s", "goal <= 2 s: missed; idle"
    ]  # fmt: skip
    assert generate.figure_cells(lines.figure("c", "5")) == []
    unknown = generate.figure_cells(lines.figure("d", "", "<= 1"))
    assert unknown[3] == "goal <= 1: not measured"


def test_the_rooms_table_holds_every_figure_with_its_target(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "RESULTS", tmp_path)
    assert generate.targets_table("stream_aligner") == "Not measured yet: `make bench`."
    figures = [lines.figure("b", "3 s", "<= 2 s", False), lines.figure("c", "5")]
    record = {"machine": "2 cores", "figures": figures, "a": {"load_before": 0.5}}
    (tmp_path / "stream_aligner.json").write_text(json.dumps(record))
    found = generate.targets_table("stream_aligner").splitlines()
    assert found[2:4] == ["| b | 3 s | <= 2 s | no |  |  |", "| c | 5 |  |  |  |  |"]
    assert "on 2 cores" in found[-1]
    assert found[-1].endswith("Load before the parts: 0.5 to 0.5.")
