import json
import threading
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import science_commands
from equipoise.systems.stream_aligner.upstreams import backend_name
from equipoise.text.interface import Completion

pytestmark = pytest.mark.standard

GSM8K = [
    {"question": f"What is {place} + {place}?", "answer": f"It is {2 * place}.\n#### {2 * place}"}
    for place in range(1, 7)
]


class Model:
    """Adds wrongly, from bad to worse; as a judge it likes right sums in either place."""

    spec = ""
    calls = 0
    breaks_at = 0
    together: threading.Barrier | None = None
    options: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def count_tokens(self, text: str) -> int:
        return len(text)

    def iter_text(
        self, messages: Iterable[Mapping[str, Any]], *, prefix: str = "", **options: Any
    ) -> Generator[str, None, str]:
        Model.calls += 1
        if Model.calls == Model.breaks_at:
            raise KeyboardInterrupt
        if Model.together and not prefix:
            Model.together.wait()
        asked = list(messages)[-1]["content"].removeprefix("What is ").removesuffix("?")
        left = int(asked.split(" + ")[0])
        if not prefix:
            yield f"So {asked} = {2 * left + 1}."
            yield f" #### {2 * left + 1}"
        elif str(2 * left + 1) in prefix:
            yield f" #### {2 * left + 1}"
        else:
            yield f" #### {2 * left}"
        return "stop"

    def generate(self, messages: Iterable[Mapping[str, Any]], **options: Any) -> Completion:
        Model.calls += 1
        if Model.calls == Model.breaks_at:
            raise KeyboardInterrupt
        if Model.together:
            Model.together.wait()
        shown = list(messages)[-1]["content"]
        if "responseA:" not in shown:
            return Completion("Right: [[true]]", "stop", 1, 1)
        first, second = shown.split("responseA:")[1].split("responseB:")
        side = "Equal" if len(first) == len(second) else "responseA"
        return Completion(f"Better: [[{side}]]", "stop", 1, 1)


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    def load(spec: str, **options: Any) -> Model:
        Model.spec, Model.options = spec, options
        return Model()

    monkeypatch.setattr("equipoise.text.load_backend", load)
    Model.spec, Model.calls, Model.breaks_at, Model.together = "", 0, 0, None
    return Model


def write(folder: Path, records: list[dict[str, Any]], name: str = "file.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def evaluate(file: Path, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"corrector": "arithmetic", "upstream": "local:model"}
    return science_commands.evaluate(file=file, **(given | options))


def by_method(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {row["method"]: row[name] for row in found["rows"]}


def test_mathematics_from_the_file_to_the_page(tmp_path: Path) -> None:
    found = evaluate(write(tmp_path, GSM8K), out=tmp_path / "run")
    assert (found["kind"], found["questions"], found["broken"]) == ("gsm8k", 6, 0)
    assert found["scores"] == [{"score": "math", "judge": "exact: the final number", "answers": 6}]
    right = by_method(found, "accuracy")
    assert right == {"raw": 0, "aligner": 0, "post-hoc": 0, "stream": 1}  # repairs come in time
    assert by_method(found, "math_omega")["stream"] == 100
    assert by_method(found, "benign_questions")["stream"] == 6
    assert json.loads(json.dumps(found)) == found
    kept = json.loads((tmp_path / "run" / "results.json").read_text())["measured"]
    assert kept["rows"] == found["rows"]
    page = Path(found["report"]).read_text()
    assert "What is 3 + 3?" in page
    assert "exact: the final number" in page
    assert Model.spec == "llamacpp:model"


def test_a_judge_is_asked_in_both_orders(tmp_path: Path) -> None:
    file = write(tmp_path, [{"question": "What is 2 + 2?", "answer": "2 + 2 = 5. So."}])
    found = evaluate(
        file, upstream=None, judge="http://host/v1#judge", methods="raw,stream", out=tmp_path / "r"
    )
    assert found["upstream"] == "stored answers"
    assert found["scores"][0] == {"score": "help", "judge": "http://host/v1#judge", "answers": 1}
    (stream,) = [row for row in found["rows"] if row["method"] == "stream"]
    assert stream["help_judged"] == 1
    assert Model.calls == 2
    assert Model.spec == "openai:http://host/v1#judge"
    assert len((tmp_path / "r" / "judgements-help.jsonl").read_text().splitlines()) == 2


def test_a_server_is_asked_several_things_at_once(tmp_path: Path, model: type[Model]) -> None:
    file, options = write(tmp_path, GSM8K), {"score": "help,math", "methods": "raw,stream"}
    alone = evaluate(file, judge="local:judge", out=tmp_path / "alone", **options)
    model.together = threading.Barrier(2, timeout=30)  # nothing passes alone
    found = evaluate(
        file,
        upstream="http://host/v1#model",
        judge="http://host/v1#judge",
        file_requests="2",
        out=tmp_path / "together",
        **options,
    )
    assert found["rows"] == alone["rows"]
    assert model.options["concurrency"] == 2
    with pytest.raises(InvalidInput, match="requests is 0; it must be >= 1"):
        evaluate(file, file_requests="0", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, model: type[Model]) -> None:
    file = write(tmp_path, GSM8K)
    options = {"score": "help,math", "judge": "local:judge", "methods": "raw,stream"}
    whole = evaluate(file, out=tmp_path / "whole", **options)
    needed = model.calls
    for breaks_at in (5, needed - 3):  # while it answers, while it judges
        run = tmp_path / f"cut-{breaks_at}"
        model.calls, model.breaks_at = 0, breaks_at
        with pytest.raises(KeyboardInterrupt):
            evaluate(file, out=run, **options)
        model.breaks_at = 0
        found = evaluate(file, out=run, **options)
        assert found["rows"] == whole["rows"]
        assert model.calls < needed + 4  # what was interrupted is asked again, no more
        for name in ("answers.jsonl", "judgements-help.jsonl", "judgements-math.jsonl"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_goes_on_with_the_same_plan_only(tmp_path: Path, model: type[Model]) -> None:
    file = write(tmp_path, GSM8K)
    model.breaks_at = 3
    with pytest.raises(KeyboardInterrupt):
        evaluate(file, out=tmp_path / "run")
    model.breaks_at = 0
    with pytest.raises(InvalidInput, match="corrector = 'arithmetic', not 'identity'"):
        evaluate(file, out=tmp_path / "run", corrector="identity")
    write(tmp_path, GSM8K[:5])
    with pytest.raises(InvalidInput, match="an evaluation with sha256"):
        evaluate(file, out=tmp_path / "run")


@pytest.mark.parametrize("kind", ["xstest", "hh", "beavertails", "llmfao"])
def test_harmful_files_show_no_text_on_the_page(tmp_path: Path, kind: str) -> None:
    secret = "UNSPEAKABLE"
    talk = f"\n\nHuman: {secret}?\n\nAssistant: {secret}."
    record: dict[str, Any] = {
        "xstest": {"prompt": f"{secret}?", "type": "contrast_x", "completion": f"{secret}."},
        "hh": {"chosen": talk, "rejected": talk},
        "beavertails": {"prompt": f"{secret}?", "category": "c"},
        "llmfao": {"prompt": 1, "result": f"{secret}."},
    }[kind]
    write(tmp_path, [{"id": 1, "text": f"{secret}?"}], "prompts.jsonl")
    options: dict[str, Any] = {"upstream": None} if kind != "beavertails" else {}
    if kind == "beavertails":
        answers = write(tmp_path, [{"prompt": f"{secret}?", "answer": f"{secret}."}], "a.jsonl")
        options["upstream"] = f"replay:{answers}"
    if kind in ("beavertails", "llmfao"):
        options["score"] = "none"
    found = evaluate(
        write(tmp_path, [record]), corrector="identity", out=tmp_path / "run", **options
    )
    assert found["kind"] == kind
    assert by_method(found, "copy_rate")["stream"] == 1
    folder = tmp_path / "run"
    assert secret in (folder / "answers.jsonl").read_text()
    for name in ("report.html", "report.json", "results.json"):
        assert secret not in (folder / name).read_text()
    assert "may hold harmful text" in (folder / "report.html").read_text()
    assert ("stand-in" in str(found["scores"])) == (kind in ("xstest", "hh"))


def test_stored_answers_come_from_a_replay(tmp_path: Path) -> None:
    answers = [{"question": r["question"], "answer": "#### 4"} for r in GSM8K]
    replay = write(tmp_path, answers, "answers.jsonl")
    found = evaluate(write(tmp_path, GSM8K), upstream=f"replay:{replay}", out=tmp_path / "run")
    assert set(by_method(found, "accuracy").values()) == {1 / 6}
    assert Model.calls == 0
    write(tmp_path, answers[1:], "answers.jsonl")
    with pytest.raises(InvalidInput, match=r"holds no answer to 'What is 1 \+ 1\?'"):
        evaluate(tmp_path / "file.jsonl", upstream=f"replay:{replay}")


def test_broken_and_empty_entries_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"question": f"Q{place}", "answer": f"A{place}."} for place in range(150)]
    file = write(tmp_path, [*records, {"question": "Q", "answer": ""}, {"question": 3}])
    found = evaluate(
        file, upstream=None, score="none", limit=5, methods="post-hoc", out=tmp_path / "run"
    )
    assert (found["questions"], found["broken"], found["empty"]) == (5, 1, 1)
    assert "line 152: 'question' is int" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upstream": None}, "holds questions without answers: name a model by --upstream"),
        ({"score": "help"}, "nothing stands in for score 'help' on a file of kind 'gsm8k'"),
        ({"score": "none,math"}, "score none measures the changes alone"),
        ({"judge": "http://host/v1"}, "must name URL and model"),
        ({"score": "maths"}, "unknown score 'maths': did you mean 'math'"),
        ({"judge": "lokal:x"}, "unknown judge 'lokal:x'"),
        ({"judge": "replay:x"}, "unknown judge 'replay:x'"),
        ({"methods": "steam"}, "unknown method 'steam': did you mean 'stream'"),
        ({"methods": ","}, "no method is named"),
        ({"kind": "gsm8"}, "unknown kind of file 'gsm8'"),
        ({"limit": 0}, "limit is 0"),
        ({"questions": 3}, "with --file give --limit"),
        ({"world": "text"}, "give either --world"),
        ({"file": None}, "give either --world"),
        ({"file": None, "world": "text", "judge": "local:x"}, "--judge belongs to --file"),
        ({"file": None, "world": "text", "score": "help"}, "--score belongs to --file"),
        ({"file": None, "world": "text", "keep_going": True}, "--keep-going belongs to --file"),
    ],
)
def test_wrong_use_is_told_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"file": write(tmp_path, GSM8K), "upstream": "local:model"}
    if "world" in options and options.get("file", 0) is None:
        given["upstream"] = None
    with pytest.raises(InvalidInput, match=message):
        science_commands.evaluate(corrector="identity", out=tmp_path / "run", **(given | options))
    assert not (tmp_path / "run").exists()
    assert Model.calls == 0


def test_back_ends_by_name() -> None:
    for spec, name in (
        ("https://host/v1#m", "openai:https://host/v1#m"),
        ("openai:http://host/v1#m", "openai:http://host/v1#m"),
        ("llamacpp:m", "llamacpp:m"),
        ("transformers:a/b", "transformers:a/b"),
    ):
        assert backend_name(spec) == name
    for spec in ("local:", "m", ""):
        with pytest.raises(InvalidInput, match="unknown upstream"):
            backend_name(spec)


def test_a_replayed_question_counts_once(tmp_path: Path) -> None:
    file = write(tmp_path, [GSM8K[0], *GSM8K[:2] * 3])
    answers = [{"question": r["question"], "answer": "#### 4"} for r in GSM8K[:2]]
    replay = write(tmp_path, answers, "answers.jsonl")
    found = evaluate(file, upstream=f"replay:{replay}", methods="raw", out=tmp_path / "run")
    assert (found["questions"], found["answers"]) == (2, 2)
    assert by_method(found, "accuracy") == {"raw": 0.5}


@pytest.mark.parametrize("changed", ["rules.json", "prompts.jsonl", "answers.jsonl"])
def test_a_run_does_not_go_on_with_other_rules_prompts_or_answers(
    tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, GSM8K)
    rules = tmp_path / "rules.json"
    rules.write_text('[{"find": "So", "replace": "Thus"}]')
    write(tmp_path, [{"id": 1, "text": "?"}], "prompts.jsonl")
    answers = [{"question": r["question"], "answer": "So."} for r in GSM8K]
    replay = write(tmp_path, answers, "answers.jsonl")
    plan = {"corrector": f"rules:{rules}", "upstream": f"replay:{replay}", "out": tmp_path / "run"}

    def interrupt(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "equipoise.systems.stream_aligner.evaluation.evaluating_files.measure_file", interrupt
        )
        with pytest.raises(KeyboardInterrupt):
            evaluate(file, **plan)
    before = (tmp_path / changed).read_text()
    (tmp_path / changed).write_text(before + "\n")
    with pytest.raises(InvalidInput, match=r"holds an evaluation with .*_sha256 = "):
        evaluate(file, **plan)
    (tmp_path / changed).write_text(before)
    assert evaluate(file, **plan)["questions"] == 6


def test_a_judge_without_a_score_is_not_loaded(tmp_path: Path) -> None:
    file = write(tmp_path, [{"question": "What is 2 + 2?", "answer": "2 + 2 = 5. So."}])
    evaluate(file, upstream=None, score="none", judge="local:judge", out=tmp_path / "run")
    assert Model.spec == ""
