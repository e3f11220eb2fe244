"""Vote files in their three forms; real human votes; other implementations on the same votes."""

# Constructors also take strings, lists and bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.preference.comparisons import Comparison, Origin, Rating, write_comparisons
from equipoise.preference.ratings import count_battles, fit_bradley_terry, read_votes

LLMFAO = Path(__file__).parents[4] / "shared" / "data" / "llmfao" / "crowd-comparisons.csv"

real_votes = pytest.mark.skipif(
    not LLMFAO.exists(), reason="the llmfao votes are not beside the repository"
)


def _file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _rows(votes):
    return list(zip(votes.model_a.tolist(), votes.model_b.tolist(), votes.outcome.tolist()))


def test_csv_with_all_columns(tmp_path):
    path = _file(
        tmp_path,
        "v.csv",
        "model_a,model_b,outcome,ballot,weight,voter,time,counted,other\n"
        "x,y,a,helpful,2,v1,t1,true,1\n"
        "x,y,b,safer,1,v1,t1,true,1\n"
        'x,"y, z",both_bad,helpful,,,,,1\n'
        "x,y,tie,helpful,1,v2,t2,False,1\n"
        "x,y,tie,safer,1,v2,t2,0,1\n",
    )
    votes = read_votes(path)
    assert _rows(votes) == [("x", "y", "a"), ("x", "y, z", "both_bad")]
    assert votes.weight.tolist() == [2.0, 1.0]
    assert votes.voter.tolist() == ["v1", None]
    assert votes.time.tolist() == ["t1", None]
    assert votes.skipped == 1
    safer = read_votes(path, ballot="safer")
    assert _rows(safer) == [("x", "y", "b")]
    assert safer.skipped == 1


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("left,right,winner", ["left", "right", "tie"]),
        ("model_a,model_b,winner", ["model_a", "model_b", "tie (bothbad)"]),
        ("model_a,model_b,outcome", ["a", "b", "both_bad"]),
    ],
)
def test_other_words_for_winners(tmp_path, header, words):
    body = "".join(f"x,y,{word}\n" for word in words)
    votes = read_votes(_file(tmp_path, "v.csv", f"\ufeff{header}\r\n{body}"))
    last = "tie" if words[-1] == "tie" else "both_bad"
    assert votes.outcome.tolist() == ["a", "b", last]


def test_json_lines_and_gzip(tmp_path):
    rows = [
        {"model_a": "x", "model_b": "y", "outcome": "a", "weight": 0.5, "counted": True},
        {"model_a": "x", "model_b": "y", "outcome": "tie", "counted": False},
        {"left": "x", "right": "z", "winner": "right", "voter": 7},
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    votes = read_votes(_file(tmp_path, "v.jsonl", text))
    assert _rows(votes) == [("x", "y", "a"), ("x", "z", "b")]
    assert votes.weight.tolist() == [0.5, 1.0]
    assert votes.voter.tolist() == [None, "7"]
    assert votes.skipped == 1
    (tmp_path / "v.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert _rows(read_votes(tmp_path / "v.jsonl.gz")) == _rows(votes)


def test_answers_beside_a_vote_do_not_make_it_a_record(tmp_path):
    text = "model_a,model_b,outcome,prompt,response_a,response_b\nx,y,a,q,one,two\n"
    assert _rows(read_votes(_file(tmp_path, "v.csv", text)))
    line = '{"model_a": "x", "model_b": "y", "outcome": "a", "response": "one"}\n'
    assert len(read_votes(_file(tmp_path, "v.jsonl", line)).outcome) == 1


@pytest.mark.parametrize("name", ["v.csv.gz", "v.jsonl.gz"])
def test_a_packed_file_that_is_cut_off_keeps_its_beginning(tmp_path, name):
    lines = [f"m{i},n{i * 7919 % 1000},a" for i in range(20000)]
    if "jsonl" in name:
        names = ("model_a", "model_b", "outcome")
        lines = [json.dumps(dict(zip(names, line.split(",")))) for line in lines]
    else:
        lines = ["model_a,model_b,outcome", *lines]
    raw = gzip.compress("\n".join(lines).encode())
    (tmp_path / name).write_bytes(raw[: len(raw) // 2])
    bad = []
    votes = read_votes(tmp_path / name, on_bad=lambda line, problem: bad.append(problem))
    assert len(votes.outcome) > 1000
    assert "damaged or cut short" in bad[-1]
    with pytest.raises(InvalidInput, match="damaged or cut short"):
        read_votes(tmp_path / name)


def test_a_folder_is_no_vote_file(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_votes(tmp_path)


def test_comparison_records(tmp_path):
    def record(name, winner, winners=None, models=("x", "y"), flags=()):
        origin = Origin(annotator="s", time="t", flags=flags)
        return Comparison(
            name,
            "p",
            "1",
            "2",
            winner,
            winners=winners or {},
            models=models,
            weight=2,
            origin=origin,
        )

    write_comparisons(
        tmp_path / "c.jsonl",
        [
            record("1", "a", {"helpful": "a", "safer": "b"}),
            record("2", "both_bad"),
            record("3", None),
            record("4", "a", models=("x", None)),
            record("5", "b", flags=("not_counted",)),
            Rating("6", "p", "r"),
        ],
    )
    votes = read_votes(tmp_path / "c.jsonl")
    assert _rows(votes) == [("x", "y", "a"), ("x", "y", "both_bad")]
    assert votes.skipped == 4
    assert votes.weight.tolist() == [2.0, 2.0]
    assert votes.voter.tolist() == ["s", "s"]
    safer = read_votes(tmp_path / "c.jsonl", ballot="safer")
    assert _rows(safer) == [("x", "y", "b")]
    assert safer.skipped == 5


def test_bad_rows_raise_or_are_reported_with_their_line(tmp_path):
    path = _file(
        tmp_path,
        "v.csv",
        "model_a,model_b,outcome,weight,counted\n"
        'x,"y\nz",a,1,\n'
        "x,y,won,1,\n"
        "x,x,a,1,\n"
        "x,,a,1,\n"
        "x,y,a,-1,\n"
        "x,y,a,heavy,\n"
        "x,y,a,1,maybe\n"
        "x,y,a\n"
        "x,y,b,1,\n",
    )
    with pytest.raises(InvalidInput, match=r"line 4: outcome 'won' is not one of a, b, tie"):
        read_votes(path)
    bad = []
    votes = read_votes(path, on_bad=lambda line, problem: bad.append((line, problem)))
    assert _rows(votes) == [("x", "y\nz", "a"), ("x", "y", "b")]
    assert [line for line, _ in bad] == [4, 5, 6, 7, 8, 9, 10]
    for (_, problem), text in zip(
        bad,
        [
            *("outcome 'won'", "against itself", "non-empty string", ">= 0", "not a number"),
            *("counted 'maybe'", "3 columns, the header has 5"),
        ],
    ):
        assert text in problem


def test_bad_json_lines(tmp_path):
    path = _file(
        tmp_path,
        "v.jsonl",
        '{"model_a": "x", "model_b": "y", "outcome": "a"}\n{oops\n[1]\n{"model_a": "x"}\n'
        '{"model_a": "x", "model_b": 3, "outcome": "a"}\n'
        '{"id": "1", "prompt": "p", "response_a": "1", "response_b": "2", "winner": "q"}\n',
    )
    bad = {}
    votes = read_votes(path, on_bad=bad.__setitem__)
    assert _rows(votes) == [("x", "y", "a")]
    assert sorted(bad) == [2, 3, 4, 5, 6]
    assert "not JSON" in bad[2]
    assert "model_b" in bad[4]
    assert "winner: must be one of" in bad[6]
    with pytest.raises(InvalidInput, match="line 2"):
        read_votes(path)


def test_files_without_votes(tmp_path):
    assert len(read_votes(_file(tmp_path, "e.csv", "")).outcome) == 0
    assert len(read_votes(_file(tmp_path, "h.csv", "model_a,model_b,outcome\n")).outcome) == 0
    with pytest.raises(InvalidInput, match=r"line 1: columns a, outcom hold no votes.*'outcome'"):
        read_votes(_file(tmp_path, "x.csv", "a,outcom\n1,2\n"))
    with pytest.raises(InvalidInput, match="line 3: columns a, b hold no votes"):
        read_votes(_file(tmp_path, "y.csv", "\n\na,b\n1,2\n"))
    with pytest.raises(MissingData, match=r"none\.csv"):
        read_votes(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"model_a,model_b,outcome\nx,\xe9,a\nx,y,a\n")
    bad = {}
    assert len(read_votes(tmp_path / "latin.csv", on_bad=bad.__setitem__).outcome) == 1
    assert bad == {2: "not UTF-8"}


@real_votes
def test_real_votes_give_the_published_ratings():
    votes = read_votes(LLMFAO)
    assert len(votes.outcome) == 8931
    assert [(votes.outcome == word).sum() for word in ("a", "b", "tie")] == [2911, 2549, 3471]
    assert votes.skipped == 0
    assert all(voter is not None for voter in votes.voter)
    counts = count_battles(votes.model_a, votes.model_b, votes.outcome)
    assert len(counts.models) == 59
    fit = fit_bradley_terry(counts)
    offset = fit.rating - fit.rating.mean()
    order = np.argsort(-offset)[:5]
    assert [fit.models[i] for i in order] == [
        "GPT 4",
        "Platypus-2 Instruct (70B)",
        "command",
        "ReMM SLERP L2 13B",
        "LLaMA-2-Chat (70B)",
    ]
    np.testing.assert_allclose(offset[order], [172.13, 112.45, 110.17, 99.61, 94.64], atol=0.01)


@real_votes
def test_real_votes_agree_with_a_plain_iteration():
    votes = read_votes(LLMFAO)
    counts = count_battles(votes.model_a, votes.model_b, votes.outcome)
    points = counts.matrix()
    games = points + points.T
    strength = np.ones(59)
    for _ in range(20_000):  # Zermelo's iteration (1929)
        old = strength
        strength = points.sum(1) / (games / (strength[:, None] + strength[None, :])).sum(1)
        strength /= np.exp(np.log(strength).mean())
        if np.abs(np.log(strength / old)).max() < 1e-13:
            break
    np.testing.assert_allclose(fit_bradley_terry(counts).log_strength, np.log(strength), atol=1e-6)


@real_votes
def test_real_votes_agree_with_evalica():
    evalica = pytest.importorskip("evalica", reason="the peer evalica is not installed")
    votes = read_votes(LLMFAO)
    winner = {"a": evalica.Winner.X, "b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        votes.model_a.tolist(),
        votes.model_b.tolist(),
        [winner[outcome] for outcome in votes.outcome],
        tolerance=1e-14,
        limit=100_000,
    )
    fit = fit_bradley_terry(count_battles(votes.model_a, votes.model_b, votes.outcome))
    scores = np.log(theirs.scores.loc[list(fit.models)].to_numpy())
    np.testing.assert_allclose(fit.log_strength, scores - scores.mean(), atol=1e-6)


def test_importing_ratings_loads_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; import equipoise.preference.ratings as r;"
        "[getattr(r, name) for name in r.__all__];"
        "print([m for m in ('torch', 'pandas', 'sklearn') if m in sys.modules], len(r.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 20"
