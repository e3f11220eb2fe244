"""The verbs as a person calls them: scripted contenders, real files, resume, errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.core.rooms import find_room
from equipoise.core.runs import Run
from equipoise.evaluation import read_results
from equipoise.systems.libra import ROOM, LibraConfig, commands
from equipoise.systems.libra.importing import read_capability
from equipoise.systems.libra.reproduction import vote_table

CONTENDERS = """
[[contender]]
name = "refuser"
kind = "scripted"
replies = ["I'm sorry, but I can't help with that."]

[[contender]]
name = "helper"
kind = "scripted"
replies = ["Sure: 4. The answer is 4."]
"""
LLMFAO = Path(__file__).parents[3] / "../shared/data/llmfao/crowd-comparisons.csv"


@pytest.fixture
def contenders(tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(CONTENDERS)
    return path


def test_the_room_is_known_and_its_verbs_exist():
    assert find_room("libra") is ROOM
    assert set(ROOM.verbs) == {
        "board", "demo", "evaluate", "import", "rate", "reproduce", "tasks",
    }  # fmt: skip
    assert all(callable(ROOM.verb(verb)) for verb in ROOM.verbs)
    assert "2412.18551" in ROOM.paper
    assert ROOM.bibtex.startswith("@inproceedings{")
    assert set(ROOM.presets) == set(LibraConfig.PRESETS)


def test_config_refuses_what_makes_no_sense():
    assert LibraConfig.preset("tiny").limit == 3
    for field, value in (("limit", 0), ("samples", 0), ("rate", -1.0), ("replicates", -1)):
        with pytest.raises(InvalidInput, match=field):
            LibraConfig.preset("tiny", **{field: value})


def test_demo_writes_board_report_and_results(contenders, tmp_path):
    out = tmp_path / "demo"
    given: dict[str, Any] = {"contenders": str(contenders), "replicates": "50"}
    result = commands.demo(out=out, **given)
    assert {row["model"] for row in result["board"]["rows"]} == {"refuser", "helper"}
    assert Path(result["report"]) == out / "report.html"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The board" in page
    assert "can&#x27;t help" in page or "can't help" in page or "can&#39;t help" in page
    run = Run.open(out)
    assert run.status == "done"
    assert run.results["measured"]["helper/score"] == result["board"]["rows"][0]["score"]
    assert json.loads((out / "board.json").read_text())["version"] == result["board"]["version"]
    assert (out / "board.csv").read_text().startswith("model,score,")
    again = commands.demo(out=out, **given)
    assert again["board"] == result["board"]


def test_evaluate_then_board_from_its_file(contenders, tmp_path):
    out = tmp_path / "run"
    result = commands.evaluate(
        contenders=contenders, tasks=("arithmetic", "over_refusal"), limit=4, out=out
    )
    assert len(result["rows"]) == 4
    rows = {(row["model"], row["task"]): row for row in result["rows"]}
    assert rows["refuser", "over_refusal"]["score"] == 0.0
    assert rows["helper", "over_refusal"]["score"] == 1.0
    assert len(read_results(result["results"])) == 4
    made = commands.board(Path(result["results"]), replicates=50, out=tmp_path / "board")
    assert [row["model"] for row in made["rows"]] == ["helper", "refuser"]
    assert (tmp_path / "board" / "report.html").is_file()
    assert (tmp_path / "board" / "plots" / "board-scatter.svg").is_file()


def test_evaluate_again_in_a_finished_folder_asks_only_what_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "c.toml"
    path.write_text(
        CONTENDERS.replace('replies = ["Sure', 'fail_after_chunks = 0\nreplies = ["Sure')
    )
    line: dict[str, Any] = {
        "contenders": path,
        "tasks": ("arithmetic",),
        "limit": 1,
        "out": tmp_path / "run",
    }
    monkeypatch.setattr("equipoise.systems.libra.runner.backoff", lambda attempt, base: 0.0)
    first = commands.evaluate(**line)
    assert [row["missing"] for row in first["rows"]] == [0, 1]
    second = commands.evaluate(**line)
    assert second["rows"] == first["rows"]
    with pytest.raises(InvalidInput, match="holds a finished run"):
        commands.evaluate(**{**line, "limit": 2})


def test_tasks_lists_shipped_ones_and_checks_files(tmp_path):
    listed = commands.tasks()["tasks"]
    names = {row["name"] for row in listed}
    assert "arithmetic" in names
    assert {row["dimension"] for row in listed} == {"capability", "safety"}
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "x"\ndimention = "safety"\n')
    with pytest.raises(InvalidInput, match="did you mean 'dimension'"):
        commands.tasks(str(bad))


def test_board_of_a_matrix_under_compat_with_a_capability_file(tmp_path):
    matrix = tmp_path / "matrix.json"
    matrix.write_text(
        json.dumps({"A": {"advbench": 0.9}, "B": {"advbench": 0.8}, "C": {"bbq": 0.1}})
    )
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("model,rating\nA,1200\nB,1250\nC,1100\n")
    made = commands.board(matrix, compat=True, capability_file=ratings, replicates=0)
    assert [row["model"] for row in made["rows"]] == ["B", "A", "C"]
    assert made["settings"]["capability"] == "minmax"
    anchored = commands.board(matrix, capability_file=ratings, anchors=(1100, 1300), replicates=0)
    assert anchored["settings"]["warnings"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,rating\nA,1\n", "it needs `model`"),
        ("model,rating\nA,1\nA,2\n", "line 3: 'A' stands twice"),
        ("model,rating\nA,much\n", "line 2: rating is 'much', not a number"),
        ("model,rating\nA,nan\n", "line 2: rating is 'nan', not a number"),
        ("model,rating\nA,1\nB\n", "line 3: rating is None, not a number"),
        ("rating,model\n0.5\n", "line 2: the line names no model"),
        ("model,rating\n ,1\n", "line 2: the line names no model"),
        ("model,rating\nA,1,2\n", "line 2: the line has more cells than the header"),
        (b"model,rating\nCaf\xe9,1\n", "is not UTF-8"),
        (f"model,rating\n{'A' * 200_000},1\n", "field larger than field limit"),
        ("", r"it has columns \(none\)"),
    ],
)
def test_a_bad_capability_file_is_refused(tmp_path, text, message):
    path = tmp_path / "ratings.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=rf"ratings\.csv.*{message}"):
        read_capability(path)
    with pytest.raises(InvalidInput, match="does not exist"):
        read_capability(tmp_path / "none.csv")


def test_board_with_votes_and_reference(tmp_path):
    matrix = tmp_path / "matrix.json"
    matrix.write_text(json.dumps({"A": {"advbench": 0.9}, "B": {"advbench": 0.8}}))
    votes = tmp_path / "votes.csv"
    votes.write_text("model_a,model_b,outcome\n" + "A,B,a\n" * 3 + "A,B,b\n")
    made = commands.board(matrix, votes=votes, reference="B", anchors=(800, 1200), replicates=100)
    rows = {row["model"]: row for row in made["rows"]}
    assert rows["B"]["capability"] == 0.5
    assert rows["A"]["capability"] == pytest.approx((1190.8485 - 800) / 400, abs=1e-6)
    assert rows["A"]["battles"] == 4
    with pytest.raises(InvalidInput, match="no results were given"):
        commands.board()


def test_rate_writes_its_json(tmp_path):
    votes = tmp_path / "votes.csv"
    votes.write_text("model_a,model_b,outcome\nA,B,a\nA,B,b\n")
    rated = commands.rate(votes, out=tmp_path / "rated.json")
    assert json.loads((tmp_path / "rated.json").read_text()) == rated
    assert rated["battles"] == 2


def test_import_writes_rows_with_the_map(tmp_path):
    matrix, table = tmp_path / "matrix.json", tmp_path / "map.toml"
    matrix.write_text(json.dumps({"A": {"mine": 0.9}, "B": {"mine": 0.8}}))
    table.write_text('[mine]\ndimension = "capability"\n')
    summary = commands.import_files(matrix, map=table, out=tmp_path / "rows.jsonl")
    assert summary == {"rows": 2, "models": ["A", "B"], "tasks": ["mine"], "notes": []}
    assert read_results(tmp_path / "rows.jsonl")[0].dimension == "capability"
    with pytest.raises(InvalidInput, match="no file was given"):
        commands.import_files()


def test_an_out_of_the_wrong_kind_is_refused_before_the_work(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("")
    folder.mkdir()
    with pytest.raises(InvalidInput, match=r"--out .*file is a file; the board goes into a folder"):
        commands.board(tmp_path / "none.jsonl", out=file)
    with pytest.raises(InvalidInput, match=r"--out .*folder is a folder; name the file"):
        commands.rate(tmp_path / "none.csv", out=folder)
    with pytest.raises(InvalidInput, match=r"--out .*folder is a folder; name the file"):
        commands.import_files(tmp_path / "none.json", out=folder)


def test_a_leak_stands_in_the_rows_of_evaluate_and_on_the_board(contenders, tmp_path, capsys):
    task = tmp_path / "t.toml"
    task.write_text(
        'name = "t"\ndimension = "safety"\nscorer = "regex"\nitems = "t.jsonl"\n'
        'canary = "The answer is 4"\n[scorer_options]\npattern = "."\n'
    )
    (tmp_path / "t.jsonl").write_text('{"id": "i", "question": "2 + 2?"}\n')
    out = tmp_path / "run"
    rows = commands.evaluate(contenders=contenders, tasks=(str(task),), out=out)["rows"]
    leak = "canary text appeared in replies to i"
    assert {row["model"]: row["notes"] for row in rows} == {"refuser": [], "helper": [leak]}
    made = commands.board(out / "results.jsonl", replicates=0)
    notes = {row["model"]: row["notes"] for row in made["rows"]}
    assert notes == {"refuser": [], "helper": [f"t: {leak}"]}
    assert f"helper: t: {leak}" in capsys.readouterr().err


def test_two_runs_of_evaluate_are_told_apart_by_their_files(contenders, tmp_path):
    files = [
        Path(
            commands.evaluate(
                contenders=contenders, tasks=("arithmetic",), limit=1, out=tmp_path / name
            )["results"]
        )
        for name in ("one", "two")
    ]
    with pytest.raises(InvalidInput, match=r"one/results\.jsonl' and '.*two/results\.jsonl'"):
        commands.board(*files, replicates=0)


def test_unfinished_logs_are_imported_on_request(tmp_path):
    log = {"eval": {"model": "m", "task": "t"}, "status": "cancelled", "samples": []}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    with pytest.raises(InvalidInput, match="status 'cancelled'"):
        commands.import_files(path)
    assert commands.import_files(path, allow_unfinished=True)["rows"] == 1


def test_reproduce_refuses_votes_that_rate_nobody_and_skips_unbounded_models(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("left,right,winner\n")
    with pytest.raises(InvalidInput, match=r"votes\.csv holds no votes from which"):
        vote_table(path)
    path.write_text("left,right,winner\nA,B,left\nA,B,right\nW,A,left\n")
    table = vote_table(path)
    assert [row["model"] for row in table] == ["A", "B"]
    assert [row["offset"] for row in table] == pytest.approx([0.0, 0.0])


def test_reproduce_shows_published_beside_ours(tmp_path):
    result = commands.reproduce(out=tmp_path / "run")
    for row in result["safety"]:
        if row["published"] is not None:
            assert row["macro_average"] == pytest.approx(row["published"], abs=0.051)
    flat = {row["model"]: round(row["flat_mean"], 1) for row in result["safety"]}
    assert flat["GPT-4o"] == 87.9
    assert flat["GPT-4 (1106)"] == 89.3
    assert flat["Claude 3.5 Haiku"] == 90.0
    assert flat["GPT-3.5-turbo-0613"] == 78.2
    assert flat["Llama-3-8B-Instruct"] == 82.3
    refuse, comply = result["polarity"]
    assert (refuse["comply"], refuse["refuse"]) == (0.0, 1.0)
    assert (comply["comply"], comply["refuse"]) == (1.0, 0.0)
    assert round(refuse["accuracy"], 3) == 0.444
    assert round(comply["accuracy"], 3) == 0.556
    assert refuse["comply_flipped"] == 1.0
    assert refuse["macro_average"] == comply["macro_average"] == 0.5
    assert Run.open(tmp_path / "run").results["published"]["safety/GPT-4o"] == 86.8


@pytest.mark.skipif(not LLMFAO.is_file(), reason="llmfao/crowd-comparisons.csv is not here")
def test_reproduce_gives_the_golden_ratings_of_human_votes(tmp_path):
    result = commands.reproduce(out=tmp_path / "run", llmfao=LLMFAO)
    assert [row["model"] for row in result["votes"]] == [
        "GPT 4", "Platypus-2 Instruct (70B)", "command", "ReMM SLERP L2 13B",
        "LLaMA-2-Chat (70B)",
    ]  # fmt: skip
    for row in result["votes"]:
        assert row["offset"] == pytest.approx(row["published"], abs=0.01)
