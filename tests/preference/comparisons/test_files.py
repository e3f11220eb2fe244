"""Comparison files: streaming, bad records, atomic writing, gzip, media, the committed schema."""

# Constructors also take strings, lists and bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import base64
import gzip
import hashlib
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.preference.comparisons import (
    Comparison,
    Feedback,
    Rating,
    Segment,
    comparison_schema,
    iter_comparisons,
    read_comparisons,
    write_comparisons,
)
from equipoise.preference.comparisons import lines as lines_module

GOOD = {"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"}
DOCS = Path(__file__).parents[3] / "docs"


def _line(**change):
    return json.dumps({**GOOD, **change})


def _write(path, *lines):
    path.write_bytes(b"".join(x if isinstance(x, bytes) else x.encode() + b"\n" for x in lines))
    return path


def _records(n, **fields):
    return [Comparison(f"q{k}", f"prompt {k}", "yes", "no", **fields) for k in range(n)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_round_trip_and_equal_bytes(tmp_path, name):
    records = [*_records(3, winner="a"), Rating("r", "p", "x", desirable=True)]
    assert write_comparisons(tmp_path / name, iter(records)) == 4
    file = read_comparisons(tmp_path / name)
    assert file.records == tuple(records)
    assert file.bad == ()
    assert file.root == tmp_path
    (tmp_path / "other").mkdir()
    write_comparisons(tmp_path / "other" / name, records)
    assert (tmp_path / "other" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_gzip_is_compressed_and_known_by_its_content(tmp_path):
    write_comparisons(tmp_path / "x.jsonl.gz", _records(50))
    raw = (tmp_path / "x.jsonl.gz").read_bytes()
    assert raw[:2] == b"\x1f\x8b"
    assert raw[4:8] == bytes(4)  # no time stamp
    renamed = tmp_path / "y.jsonl"
    renamed.write_bytes(raw)
    assert len(read_comparisons(renamed).records) == 50


def test_bad_lines_are_reported_with_line_and_field_and_the_rest_kept(tmp_path):
    path = _write(
        tmp_path / "x.jsonl",
        _line(),
        "{not json",
        "",
        _line(id="2", winner="c"),
        b"\xff\xfe\n",
        "[1, 2]",
        _line(id="1"),
        '{"id": "9", "prompt": "p", "response_a": "a", "response_b": "b", "probability": NaN}',
        _line(id="3", weight=1e400).replace("Infinity", "1e400"),
        '{"id": "\\ud800", "prompt": "p", "response_a": "a", "response_b": "b"}',
        _line(id="last").encode(),
    )
    file = read_comparisons(path, strict=False)
    assert [record.id for record in file.records] == ["1", "last"]
    assert [(bad.line, bad.field) for bad in file.bad] == [
        *((2, ""), (4, "winner"), (5, ""), (6, ""), (7, "id"), (8, "probability")),
        *((9, "weight"), (10, "")),
    ]
    assert "not JSON" in file.bad[0].problem
    assert "must be one of a, b, tie, both_bad; got 'c'" in file.bad[1].problem
    assert "not UTF-8" in file.bad[2].problem
    assert "a list" in file.bad[3].problem
    assert "twice" in file.bad[4].problem
    assert "surrogate" in file.bad[7].problem
    assert file.bad[0].text == "{not json"


def test_without_on_bad_the_first_bad_record_raises(tmp_path):
    path = _write(tmp_path / "x.jsonl", _line(), _line(id="2", winner="c"), _line(id="3"))
    stream = iter_comparisons(path)
    assert next(stream).id == "1"
    with pytest.raises(InvalidInput, match=r"line 2: winner: must be one of"):
        next(stream)
    with pytest.raises(InvalidInput, match="line 2"):
        read_comparisons(path)


def test_on_bad_goes_on(tmp_path):
    path = _write(tmp_path / "x.jsonl", _line(), _line(id="2", safe=1), _line(id="3"))
    bad = []
    assert [record.id for record in iter_comparisons(path, on_bad=bad.append)] == ["1", "3"]
    assert [(one.line, one.field) for one in bad] == [(2, "safe")]


def test_missing_file_is_told_at_once(tmp_path):
    with pytest.raises(MissingData, match=r"nowhere\.jsonl"):
        iter_comparisons(tmp_path / "nowhere.jsonl")


def test_empty_file_and_byte_order_mark(tmp_path):
    assert read_comparisons(_write(tmp_path / "e.jsonl")).records == ()
    marked = _write(tmp_path / "m.jsonl", b"\xef\xbb\xbf" + _line().encode() + b"\r\n")
    assert len(read_comparisons(marked).records) == 1


def test_a_monstrous_line_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", 4096)
    path = _write(tmp_path / "x.jsonl", _line(), "x" * 100_000, _line(id="2"))
    file = read_comparisons(path, strict=False)
    assert [record.id for record in file.records] == ["1", "2"]
    assert file.bad[0].line == 2
    assert "longer than 64 MiB" in file.bad[0].problem
    assert len(file.bad[0].text) <= 1000
    assert lines_module.MAX_LINE_BYTES == 4096


def test_deep_nesting_is_a_bad_record(tmp_path):
    deep = "[" * 5000 + "]" * 5000
    path = _write(tmp_path / "x.jsonl", f'{{"id": "1", "extra": {deep}}}', _line(id="2"))
    file = read_comparisons(path, strict=False)
    assert len(file.bad) == 1
    assert len(file.records) == 1


def test_a_cut_gzip_keeps_what_came_before(tmp_path):
    write_comparisons(tmp_path / "x.jsonl.gz", _records(5000))
    whole = (tmp_path / "x.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    file = read_comparisons(tmp_path / "cut.jsonl.gz", strict=False)
    assert 0 < len(file.records) < 5000
    assert "gzip data is damaged or cut short" in file.bad[-1].problem


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n):
        path = tmp_path / f"{n}.jsonl"
        write_comparisons(path, _records(n))
        tracemalloc.start()
        try:
            assert sum(1 for _ in iter_comparisons(path)) == n
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(4000) <= peak(400) + 20_000


def test_reading_opens_no_media_and_loads_no_torch(tmp_path):
    _write(tmp_path / "x.jsonl", _line(prompt=[{"modality": "image", "path": "not/there.png"}]))
    code = (
        "import sys; from equipoise.preference.comparisons import read_comparisons;"
        f"assert len(read_comparisons({str(tmp_path / 'x.jsonl')!r}).records) == 1;"
        "print([m for m in ('torch', 'PIL', 'pandas', 'scipy', 'imageio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_failed_write_changes_nothing(tmp_path):
    path = tmp_path / "x.jsonl"
    write_comparisons(path, _records(2))
    before = path.read_bytes()

    def broken():
        yield Comparison("a", [Segment("image", data=b"picture")], "x", "y")
        raise RuntimeError("source died")

    with pytest.raises(RuntimeError, match="source died"):
        write_comparisons(path, broken())
    with pytest.raises(InvalidInput, match="id 'q0' occurs twice"):
        write_comparisons(path, [*_records(1), *_records(1)])
    with pytest.raises(InvalidInput, match="record 0 is a dict"):
        write_comparisons(path, [GOOD])
    with pytest.raises(InvalidInput, match="surrogate"):
        write_comparisons(path, [Comparison("a", "\ud800", "x", "y")])
    with pytest.raises(InvalidInput, match="unknown media 'inlin': did you mean 'inline'"):
        write_comparisons(path, [], media="inlin")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["x.jsonl"]
    assert not list(tmp_path.glob("media/*"))


def test_inline_media_are_stored_beside_the_file(tmp_path):
    payload = b"\x89PNG not really"
    digest = hashlib.sha256(payload).hexdigest()
    inline = Segment("image", data=payload, media_type="image/png")
    record = Comparison(
        "1", [inline, "and"], [inline], "b", feedback={"a": Feedback(refinement=(inline,))}
    )
    write_comparisons(tmp_path / "x.jsonl", [record, Rating("2", "p", [inline])])
    stored = Segment(
        "image", path=f"media/{digest[:16]}.png", media_type="image/png", sha256=digest
    )
    first, second = read_comparisons(tmp_path / "x.jsonl").records
    assert isinstance(first, Comparison)
    assert first.prompt == (stored, Segment(text="and"))
    assert first.feedback["a"].refinement == (stored,)
    assert second == Rating("2", "p", [stored])
    assert stored.read(tmp_path) == payload
    assert len(list((tmp_path / "media").iterdir())) == 1


def test_files_are_embedded_and_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "pics").mkdir(parents=True)
    (source / "pics" / "one.png").write_bytes(b"bytes")
    record = Comparison("1", [Segment("image", path="pics/one.png")], "a", "b")
    write_comparisons(target / "inline.jsonl", [record], media="inline", root=source)
    embedded = read_comparisons(target / "inline.jsonl").records[0].prompt[0]
    assert embedded.data == base64.b64encode(b"bytes").decode()
    assert embedded.media_type == "image/png"
    assert not (target / "media").exists()
    write_comparisons(target / "path.jsonl", [record], root=source)
    copied = read_comparisons(target / "path.jsonl").records[0].prompt[0]
    assert copied.read(target) == b"bytes"
    write_comparisons(source / "same.jsonl", [record])
    assert read_comparisons(source / "same.jsonl").records == (record,)
    with pytest.raises(MissingData, match=r"pics/one\.png"):
        write_comparisons(target / "x.jsonl", [record], media="inline")


def test_inline_media_are_limited_to_16_mib():
    limit = 16 * 2**20
    assert len(Segment("image", data=bytes(limit)).read()) == limit
    with pytest.raises(InvalidInput, match="16 MiB"):
        Segment("image", data=bytes(limit + 1))


def test_committed_schema_is_up_to_date():
    schema = comparison_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads((DOCS / "comparison.schema.json").read_text("utf-8")) == schema


SEGMENT_VALUES = [
    *("words", "", [], ["x"], [{"modality": "text", "text": "x", "role": "user"}], 3, None),
    [{"text": "x"}],
    [{"modality": "image", "path": "a.png"}],
    [{"modality": "image", "path": "a.png", "data": None}],
    [{"modality": "image", "path": "../a.png"}],
    [{"modality": "image", "path": "a/..\n"}],
    [{"modality": "image", "path": "http://x/a.png"}],
    [{"modality": "image", "data": "AAAA"}],
    [{"modality": "image", "data": "AAA"}],
    [{"modality": "image", "data": "AAAA", "path": "x"}],
    [{"modality": "image"}],
    [{"modality": "image", "text": "x", "path": "a"}],
    [{"modality": "text", "text": "x", "data": "AAAA"}],
    [{"modality": "action", "text": "left", "sha256": 4}],
    [{"modality": "smell", "text": "x"}],
    [{"modality": "audio", "path": "a", "role": "nobody"}],
    [["x"]],
]
VALUES = {
    "schema": [None, *(f"equipoise.comparison/{v}" for v in ("1", "1.2", "2", "1\n", "1."))],
    "kind": ["comparison", "rating", "other", None],
    "id": ["", "x", 4, None],
    "prompt": SEGMENT_VALUES,
    "response_a": SEGMENT_VALUES,
    "response": SEGMENT_VALUES,
    "winner": ["a", "both_bad", "c", None, 1],
    "probability": [0, 1, 0.5, 1.5, -0.1, None, "x", True],
    "winners": [{}, {"x": "tie"}, {"x": None}, {"x": "q"}, None],
    "scores": [{}, {"x": [1, None]}, {"x": [1]}, {"x": 3}, {"x": "3"}, {"x": [True, 1]}, []],
    "safe": [[True, None], [True], None, True, [0, 1]],
    "feedback": [
        *({}, {"a": {}}, {"c": {}}, {"b": {"critique": {"x": "y"}}}, None, {"a": None}),
        *({"a": {"critique": {"x": 1}}}, {"a": {"refinement": "t"}}),
        *({"critique": {"overall": "x"}}, {"refinement": []}),
    ],
    "models": [["m", None], ["m"], [1, 2], None],
    "model": ["m", None, 3],
    "desirable": [True, False, None, "yes"],
    "weight": [0, 1, 2.5, -1, None, "1"],
    "origin": [{}, {"source": "x", "flags": ["y"]}, {"source": None}, {"flags": [1]}, {"time": 3}],
    "extra": [{}, {"x": [1, {"y": None}]}, [], None],
    "unknown": [1, {"x": []}],
}


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 50), max_size=3),
    st.sampled_from(["comparison", "rating"]),
    st.sampled_from([None, "id", "prompt", "response_b"]),
)
def test_schema_and_reader_agree(tmp_path, choice, kind, absent):
    base = {**GOOD, "response": "r"} if kind == "comparison" else {**GOOD, "kind": "rating"}
    base.setdefault("response", "r")
    obj = {**base, **{key: VALUES[key][n % len(VALUES[key])] for key, n in choice.items()}}
    obj.pop(absent, None)
    path = _write(tmp_path / "x.jsonl", json.dumps(obj))
    accepted = bool(read_comparisons(path, strict=False).records)
    assert jsonschema.Draft202012Validator(comparison_schema()).is_valid(obj) == accepted, obj


def test_gzip_reader_streams_concatenated_members(tmp_path):
    pieces = [gzip.compress(_line(id=str(k)).encode() + b"\n") for k in range(3)]
    (tmp_path / "x.jsonl.gz").write_bytes(b"".join(pieces))
    assert [record.id for record in read_comparisons(tmp_path / "x.jsonl.gz").records] == [
        *("0", "1", "2")
    ]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["origin", "feedback", "zz"])
def test_what_is_no_number_is_refused_wherever_it_stands(tmp_path, constant, field):
    line = json.dumps({**GOOD, field: {"a": {"q": "HERE"}}}).replace('"HERE"', constant)
    path = _write(tmp_path / "c.jsonl", line, _line(id="2", prompt="NaN is a word"))
    bad = []
    kept = list(iter_comparisons(path, on_bad=bad.append))
    assert [record.id for record in kept] == ["2"]
    assert len(bad) == 1
