"""Import: lm-evaluation-harness, inspect_ai, the matrix, result rows, and the map."""

import json
import zipfile

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult, write_results
from equipoise.systems.libra import apply_map, import_results
from equipoise.systems.libra.foreign_rows import NO_DIMENSION
from equipoise.systems.libra.summary import SOURCE

LM_EVAL = {
    "results": {
        "arc": {
            "alias": "arc",
            "acc,none": 0.4,
            "acc_stderr,none": 0.02,
            "acc_norm,none": 0.45,
            "acc_norm_stderr,none": 0.03,
        },
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.1,
            "exact_match_stderr,strict-match": "N/A",
            "exact_match,flexible-extract": 0.2,
        },
        "toxic": {"alias": "toxic", "rate,none": 0.3, "rate_stderr,none": 0.01},
        "wiki": {"alias": "wiki", "word_perplexity,none": 12.5},
        "group": {"alias": "group", "acc,none": 0.5},
        "tags": {"alias": "tags"},
    },
    "groups": {"group": {"acc,none": 0.5}},
    "group_subtasks": {"tags": ["arc"], "arc": []},
    "versions": {"arc": 1.0},
    "n-samples": {"arc": {"original": 100, "effective": 80}},
    "higher_is_better": {"arc": {"acc": True, "acc_norm": True}, "toxic": {"rate": False}},
    "model_name": "org/model",
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def lm_eval(tmp_path):
    return write(tmp_path / "results_2026-01-01T00-00-00.000001.json", LM_EVAL)


def by_task(rows):
    return {row.task: row for row in rows}


def test_lm_eval_results_prefer_the_usual_metric_and_skip_groups(lm_eval):
    rows = by_task(import_results(lm_eval))
    assert set(rows) == {"arc", "gsm8k", "toxic", "wiki"}
    arc = rows["arc"]
    assert (arc.model, arc.score, arc.standard_error, arc.n) == ("org/model", 0.45, 0.03, 80)
    assert arc.task_version == "1.0"
    assert arc.source == str(lm_eval)
    assert arc.notes == ("metric acc_norm,none", NO_DIMENSION)
    assert (rows["gsm8k"].score, rows["gsm8k"].standard_error) == (0.1, None)


def test_lower_is_better_is_turned_over_with_a_note(lm_eval):
    toxic = by_task(import_results(lm_eval))["toxic"]
    assert toxic.score == pytest.approx(0.7)
    assert toxic.standard_error == 0.01
    assert any("lower rate is better" in note for note in toxic.notes)


def test_a_metric_outside_the_range_gives_a_row_without_score(lm_eval):
    wiki = by_task(import_results(lm_eval))["wiki"]
    assert wiki.score is None
    assert any("outside [0, 1]" in note for note in wiki.notes)


def test_a_metric_is_chosen_by_name_or_by_key(tmp_path):
    one = {"results": {"gsm8k": LM_EVAL["results"]["gsm8k"]}, "model_name": "m"}
    path = write(tmp_path / "r.json", one)
    assert import_results(path, metric="exact_match,flexible-extract")[0].score == 0.2
    assert import_results(path, metric="exact_match")[0].score == 0.1
    with pytest.raises(InvalidInput, match="gsm8k has no metric 'f1'; choices: exact_match,strict"):
        import_results(path, metric="f1")


def samples(flip=False):
    rows = []
    for doc in range(4):
        for name in ("strict", "flexible"):
            value = float(doc % 2) if name == "strict" else 1.0
            rows.append(
                {"doc_id": doc, "filter": name, "metrics": ["exact_match"], "exact_match": value}
            )
    return rows


def test_lm_eval_samples_give_item_scores(tmp_path):
    folder = tmp_path / "org__model"
    path = folder / "samples_gsm8k_2026-01-01T00-00-00.000001.jsonl"
    folder.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in samples()))
    (row,) = import_results(path)
    assert (row.model, row.task, row.score, row.n) == ("org__model", "gsm8k", 0.5, 4)
    assert row.item_ids == ("000000", "000001", "000002", "000003")
    assert row.scores == (0.0, 1.0, 0.0, 1.0)
    assert row.standard_error == pytest.approx((1 / 3) ** 0.5 / 2)
    (row,) = import_results(path, metric="exact_match,flexible")
    assert row.score == 1.0
    beside = {"model_name": "named", "higher_is_better": {"gsm8k": {"exact_match": False}}}
    write(folder / "results_2026-01-01T00-00-00.000001.json", {"results": {}} | beside)
    (row,) = import_results(path, metric="exact_match,flexible")
    assert (row.model, row.score) == ("named", 0.0)
    with pytest.raises(InvalidInput, match="gsm8k has no metric 'f1'; choices: exact_match,strict"):
        import_results(path, metric="f1")


def inspect_log(status="success", metrics=None, values=("C", "I", "P", "N")):
    sample_rows = [
        {"id": k, "epoch": epoch, "scores": {"match": {"value": value}}}
        for k, value in enumerate(values)
        for epoch in (1, 2)
    ]
    metrics = metrics or {
        "accuracy": {"name": "accuracy", "value": 0.375},
        "stderr": {"value": 0.2},
    }
    return {
        "version": 2,
        "status": status,
        "eval": {"task": "mmlu", "task_version": 0, "model": "openai/x"},
        "results": {
            "completed_samples": 4,
            "scores": [
                {"name": "match", "metrics": metrics},
                {"name": "other", "metrics": {"f1": {"value": 0.9}}},
            ],
        },
        "samples": sample_rows,
    }


def test_inspect_json_gives_accuracy_and_item_scores(tmp_path):
    (row,) = import_results(write(tmp_path / "log.json", inspect_log()))
    assert (row.model, row.task, row.score, row.standard_error) == ("openai/x", "mmlu", 0.375, 0.2)
    assert row.item_ids == ("0", "1", "2", "3")
    assert row.scores == (1.0, 0.0, 0.5, 0.0)
    assert row.notes[0] == "metric match/accuracy"


def test_inspect_epochs_are_averaged(tmp_path):
    log = inspect_log()
    log["samples"][1]["scores"]["match"]["value"] = "I"
    (row,) = import_results(write(tmp_path / "log.json", log))
    assert row.scores[0] == 0.5


def test_inspect_falls_back_to_mean_then_the_first_metric(tmp_path):
    mean = inspect_log(metrics={"std": {"value": 0.1}, "mean": {"value": 0.6}})
    assert import_results(write(tmp_path / "a.json", mean))[0].score == 0.6
    first = inspect_log(metrics={"f1": {"value": 0.7}, "em": {"value": 0.2}})
    assert import_results(write(tmp_path / "b.json", first))[0].score == 0.7
    assert import_results(tmp_path / "b.json", metric="em")[0].score == 0.2
    with pytest.raises(InvalidInput, match="has no metric 'accurate'; choices: f1, em"):
        import_results(tmp_path / "b.json", metric="accurate")


def test_inspect_unfinished_logs_are_refused_unless_allowed(tmp_path):
    path = write(tmp_path / "log.json", inspect_log(status="cancelled"))
    with pytest.raises(InvalidInput, match="status 'cancelled'"):
        import_results(path)
    (row,) = import_results(path, allow_unfinished=True)
    assert "the log's status is cancelled" in row.notes


@pytest.fixture
def archive(tmp_path):
    log = inspect_log()
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for place, sample in enumerate(log.pop("samples")):
            file.writestr(f"samples/{place}.json", json.dumps(sample))
        file.writestr("header.json", json.dumps(log))
    return path


def test_inspect_archive_equals_the_json_log(tmp_path, archive):
    (packed,) = import_results(archive)
    (plain,) = import_results(write(tmp_path / "log.json", inspect_log()))
    assert packed.scores == plain.scores
    assert packed.score == plain.score


def test_a_truncated_archive_names_the_file(archive):
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match=r"log\.eval is truncated or no \.eval archive"):
        import_results(archive)


def packed(path, header=None, samples=(), **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for place, sample in enumerate(samples):
            file.writestr(f"samples/{place}.json", sample)
        if header is not None:
            file.writestr("header.json", header)
    return path


HEADER = json.dumps({k: v for k, v in inspect_log().items() if k != "samples"})


@pytest.mark.parametrize(
    ("header", "samples", "message"),
    [
        ("[1]", (), r"header.json must be one JSON object, got \[1\]"),
        (b"\xff", (), "is truncated or no .eval archive"),
        (None, (), "holds no header.json"),
        (HEADER, (b"\xff",), "is truncated or no .eval archive"),
        (HEADER, ("5",), "samples, entry 1 is 5; not an object"),
        ("9" * 5000, (), "is truncated or no .eval archive"),
    ],
)
def test_an_archive_of_another_shape_names_the_file(tmp_path, header, samples, message):
    with pytest.raises(InvalidInput, match=rf"log\.eval.*{message}"):
        import_results(packed(tmp_path / "log.eval", header, samples))


@pytest.mark.parametrize(("place", "value"), [(8, 99), (6, 1)])
def test_an_archive_of_unknown_packing_or_encrypted_names_the_file(tmp_path, place, value):
    path = packed(tmp_path / "log.eval", HEADER)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # 8: flags and 10: method in the directory
    content[entry + place + 2] = value
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"log\.eval is truncated or no \.eval archive"):
        import_results(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 5}, "samples is 5; it must be a list"),
        ({"samples": ["x"]}, "samples, entry 1 is 'x'; not an object"),
        ({"results": [1]}, r"results is \[1\]; it must be an object"),
        ({"results": {"scores": {"a": 1}}}, r"scores is {'a': 1}; it must be a list"),
        ({"results": {"scores": [1]}}, "scores, entry 1 is 1; not an object"),
        ({"results": {"scores": [{"metrics": [1]}]}}, r"metrics is \[1\]; it must be an object"),
        ({"results": {"completed_samples": -3}, "samples": []}, "mmlu: n is -3"),
        ({"eval": 5}, "eval is 5; it must be an object"),
        ({"eval": {"task": " ", "model": "m"}}, "names no model and task"),
    ],
)
def test_an_inspect_log_of_another_shape_names_the_file(tmp_path, change, message):
    with pytest.raises(InvalidInput, match=rf"log\.json.*{message}") as caught:
        import_results(write(tmp_path / "log.json", inspect_log() | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), 7])
def test_a_value_that_is_no_score_is_a_note_in_either_log(tmp_path, value):
    metrics = {"accuracy": {"value": value}, "stderr": {"value": float("inf")}}
    (row,) = import_results(write(tmp_path / "log.json", inspect_log(metrics=metrics)))
    assert (row.score, row.standard_error) == (None, None)
    assert any("outside [0, 1]" in note for note in row.notes)
    values = {"acc,none": value, "acc_stderr,none": float("inf")}
    content = {"results": {"t": values}, "model_name": "m"}
    (row,) = import_results(write(tmp_path / "r.json", content))
    assert (row.score, row.standard_error) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_subtasks": ["a"]}, r"group_subtasks is \['a'\]; it must be an object"),
        ({"groups": 5}, "groups is 5; it must be an object"),
        ({"n-samples": {"arc": {"effective": -1}}}, "arc: n is -1"),
    ],
)
def test_lm_eval_results_of_another_shape_name_the_file(tmp_path, change, message):
    with pytest.raises(InvalidInput, match=rf"r\.json.*{message}"):
        import_results(write(tmp_path / "r.json", LM_EVAL | change))


def test_an_infinite_error_of_lm_eval_is_not_known(tmp_path):
    values = {"acc,none": 0.5, "acc_stderr,none": float("inf")}
    content = {"results": {"t": values}, "model_name": "m"}
    (row,) = import_results(write(tmp_path / "r.json", content))
    assert (row.score, row.standard_error) == (0.5, None)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"doc_id": 1, "metrics": 5}, "metrics is 5; it must be a list"),
        ({"doc_id": 1, "metrics": [["a"]]}, "line 1: metrics must be names"),
    ],
)
def test_lm_eval_samples_of_another_shape_name_the_file(tmp_path, sample, message):
    path = write(tmp_path / "samples_t.jsonl", sample)
    with pytest.raises(InvalidInput, match=rf"samples_t\.jsonl.*{message}"):
        import_results(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2], "row 1: a result row is an object, got 1"),
        (["..."], r"row 1: a result row is an object, got '\.\.\.'"),
        ([{"model": "m", "task": "t", "score": 0.5}, {"model": "m", "task": "t", "score": 2}],
         "row 2: score is 2"),
    ],
)  # fmt: skip
def test_a_list_of_rows_names_file_and_row(tmp_path, rows, message):
    with pytest.raises(InvalidInput, match=rf"rows\.json, {message}"):
        import_results(write(tmp_path / "rows.json", rows))


def test_a_list_of_rows_has_its_file_as_source(tmp_path):
    path = write(tmp_path / "rows.json", [{"model": "m", "task": "t", "score": 0.5}])
    assert import_results(path)[0].source == str(path)
    with pytest.raises(InvalidInput, match="must hold a list of result rows, got dict"):
        import_results(write(tmp_path / "m.json", {"m": {"t": 0.5}}), format="rows")


def test_rows_of_evaluate_name_the_file_that_they_were_read_from(tmp_path):
    path = tmp_path / "results.jsonl"
    write_results(path, [TaskResult("m", "t", 0.5, source=SOURCE)])
    assert import_results(path)[0].source == str(path)


def test_matrix_and_rows(tmp_path):
    path = write(tmp_path / "matrix.json", {"m": {"advbench": 0.5, "bbq": "N/A"}})
    rows = import_results(path)
    assert [(r.task, r.score, r.category) for r in rows] == [
        ("advbench", 0.5, "direct_risky"), ("bbq", None, "direct_risky"),
    ]  # fmt: skip
    assert rows[0].source == str(path)
    own = tmp_path / "own.jsonl"
    write_results(own, [TaskResult("m", "t", 0.5), TaskResult("n", "t", 0.5, source="kept")])
    assert [row.source for row in import_results(own)] == [str(own), "kept"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.jsonl", "nonsense\n", "not JSONL"),
        ("a.csv", "x", "end in .json, .jsonl or .eval"),
        ("a.json", '{"m": 3}', "must map tasks to numbers"),
        ("a.json", '{"m": {"t": 7}}', "allowed: a number"),
        ("a.json", "3", r"a\.json: it is no matrix"),
        ("a.json", "9" * 5000, "is not JSON"),
        ("a.json", '{"eval": {}, "status": "success"}', "names no model and task"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=message) as caught:
        import_results(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_file_and_unknown_format(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        import_results(tmp_path / "none.json")
    with pytest.raises(InvalidInput, match="did you mean 'lm_eval'"):
        import_results(tmp_path / "none.json", format="lmeval")


def test_a_map_gives_dimension_and_category(tmp_path, lm_eval):
    path = tmp_path / "map.toml"
    path.write_text(
        '[arc]\ndimension = "capability"\ncategory = "science"\n["gs*"]\ncategory = "maths"\n'
    )
    rows = by_task(apply_map(import_results(lm_eval), path))
    assert (rows["arc"].dimension, rows["arc"].category) == ("capability", "science")
    assert NO_DIMENSION not in rows["arc"].notes
    assert (rows["gsm8k"].dimension, rows["gsm8k"].category) == ("safety", "maths")
    assert NO_DIMENSION in rows["gsm8k"].notes
    assert rows["wiki"].category == "uncategorised"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[arc]\ndimention = "x"', "did you mean 'dimension'"),
        ('[arc]\ndimension = "able"', "unknown dimension 'able'"),
        ("arc = 1", "must be a table"),
        ("[arc", "is not TOML"),
    ],
)
def test_a_bad_map_is_refused(tmp_path, lm_eval, text, message):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        apply_map(import_results(lm_eval), path)


def test_a_map_that_is_a_folder_or_fits_no_task(tmp_path, lm_eval, capsys):
    with pytest.raises(InvalidInput, match="cannot be read"):
        apply_map(import_results(lm_eval), tmp_path)
    path = tmp_path / "map.toml"
    path.write_text('[gsm8]\ncategory = "x"\n["arc*"]\ncategory = "y"\n["zzzzzz"]\n')
    apply_map(import_results(lm_eval), path)
    told = capsys.readouterr().err
    assert "[gsm8] fits none of the 4 tasks; did you mean 'gsm8k'?" in told
    assert "[zzzzzz] fits none of the 4 tasks\n" in told
    assert "arc" not in told
