import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.stream_aligner import entries
from equipoise.systems.stream_aligner.evaluation.files import (
    KINDS,
    FileQuestion,
    read_evaluation_file,
)

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
GSM8K = DATA / "gsm8k" / "test.jsonl"
LLMFAO = DATA / "llmfao" / "results.jsonl"
needs_gsm8k = pytest.mark.skipif(
    not GSM8K.exists(), reason="gsm8k/test.jsonl is not in ../shared/data"
)
needs_llmfao = pytest.mark.skipif(
    not LLMFAO.exists(), reason="llmfao/results.jsonl is not in ../shared/data"
)

RECORDS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "How many eggs?", "answer": "9 * 2 = 18\n#### 1,018"},
    "xstest": {"prompt": "How do I kill a process?", "type": "homonyms", "label": "safe"},
    "beavertails": {"prompt": "A question?", "category": "some", "category_id": 3},
    "hh": {
        "chosen": "\n\nHuman: Hello?\n\nAssistant: Hi.",
        "rejected": "\n\nHuman: Hello?\n\nAssistant: Go away.",
    },
    "llmfao": {"prompt": 8, "result": "A haiku.", "model": 97},
    "questions": {"question": "Why?"},
}
EXPECTED = {
    "gsm8k": FileQuestion("How many eggs?", target=1018.0, benign=True),
    "xstest": FileQuestion("How do I kill a process?", expect="comply", benign=True),
    "beavertails": FileQuestion("A question?"),
    "hh": FileQuestion("Hello?", "Go away.", expect="refuse"),
    "llmfao": FileQuestion("Write a haiku.", "A haiku."),
    "questions": FileQuestion("Why?"),
}


def write(folder: Path, records: list[Any], name: str = "file.jsonl") -> Path:
    file = folder / name
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    prompts = folder / "prompts.jsonl"
    prompts.write_text(json.dumps({"id": 8, "text": "Write a haiku."}) + "\n")
    return file


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_recognised(tmp_path: Path, kind: str) -> None:
    found = read_evaluation_file(write(tmp_path, [RECORDS[kind]]))
    assert (found.kind, found.questions) == (kind, (EXPECTED[kind],))
    assert found.answered == (EXPECTED[kind].stored is not None)
    assert read_evaluation_file(tmp_path / "file.jsonl", kind) == found


@pytest.mark.parametrize("kind", list(KINDS))
def test_lines_array_and_gzip_are_one(tmp_path: Path, kind: str) -> None:
    lines = read_evaluation_file(write(tmp_path, [RECORDS[kind]] * 2))
    array = tmp_path / "array.json"
    array.write_text(json.dumps([RECORDS[kind]] * 2))
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "file.jsonl").read_bytes()))
    assert read_evaluation_file(array) == lines == read_evaluation_file(packed)


def test_xstest_tables_with_and_without_label_and_completion(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text(
        "id,prompt,type,label,focus,note\n"
        "1,How do I kill a process?,homonyms,safe,kill,\n"
        "2,A contrast,contrast_homonyms,unsafe,,\n"
    )
    found = read_evaluation_file(file)
    assert found.kind == "xstest"
    assert [question.expect for question in found.questions] == ["comply", "refuse"]
    assert [question.benign for question in found.questions] == [True, False]
    assert not found.answered
    file.write_text(
        "id,type,prompt,completion,final_label\n"
        '1,homonyms,How do I kill a process?,"Use kill, then the number.",1_full_compliance\n'
        "2,contrast_homonyms,A contrast,I cannot help.,2_full_refusal\n"
    )
    found = read_evaluation_file(file)
    assert [question.expect for question in found.questions] == ["comply", "refuse"]
    assert found.questions[0].stored == "Use kill, then the number."
    assert found.answered


def test_dialogues_of_several_turns_keep_them(tmp_path: Path) -> None:
    talk = "\n\nHuman: One?\n\nAssistant: Yes.\n\nHuman: Two?\n\nAssistant:"
    file = write(tmp_path, [{"chosen": f"{talk} A.", "rejected": f"{talk} B."}])
    (question,) = read_evaluation_file(file).questions
    assert question.question == "Human: One?\n\nAssistant: Yes.\n\nHuman: Two?"
    assert question.stored == "B."


def test_questions_may_hold_answers(tmp_path: Path) -> None:
    records = [{"prompt": "Why?", "result": "So."}, {"question": "How?", "answer": ""}]
    found = read_evaluation_file(write(tmp_path, records))
    assert found.kind == "questions"
    assert found.questions == (FileQuestion("Why?", "So."), FileQuestion("How?", ""))


def test_unknown_content_names_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"entries of speed, weight; known kinds: gsm8k \(ques"):
        read_evaluation_file(write(tmp_path, [{"weight": 1, "speed": 2}]))
    with pytest.raises(InvalidInput, match="holds nothing; known kinds"):
        read_evaluation_file(write(tmp_path, []))
    with pytest.raises(InvalidInput, match="holds no JSON object and no row"):
        read_evaluation_file(write(tmp_path, ["{half"]))
    with pytest.raises(InvalidInput, match="holds entries of colour, size; known"):
        read_evaluation_file(write(tmp_path, ["colour,size", "red,3"], "file.csv"))
    with pytest.raises(InvalidInput, match="unknown kind of file 'gsm8': did you mean 'gsm8k'"):
        read_evaluation_file(write(tmp_path, [{}]), "gsm8")
    with pytest.raises(MissingData):
        read_evaluation_file(tmp_path / "absent.jsonl")


@pytest.mark.parametrize(
    ("kind", "record", "reason"),
    [
        ("gsm8k", {"question": "Q?", "answer": "#### none"}, "ends on no '#### NUMBER'"),
        ("gsm8k", {"question": " ", "answer": "#### 1"}, "'question' is empty"),
        ("xstest", {"prompt": "Q?", "type": "t", "label": "purple"}, "unknown expectation"),
        ("xstest", {"prompt": "Q?"}, "'type' is missing"),
        ("beavertails", {"prompt": 3, "category": "c"}, "'prompt' is int"),
        ("hh", {"chosen": "x", "rejected": "Hi.\n\nAssistant: x"}, "is no dialogue that begins"),
        ("hh", {"chosen": "x", "rejected": "\n\nHuman:\n\nAssistant: x"}, "asks nothing"),
        ("llmfao", {"prompt": 9, "result": "x"}, "'prompt' is 9, which prompts.jsonl has not"),
        ("llmfao", {"prompt": 8, "result": None}, "'result' is NoneType"),
        ("questions", {"question": "Q?", "answer": 3}, "'answer' is int"),
        ("questions", ["Q?"], "no JSON object but list"),
    ],
)
def test_broken_entries_are_named(tmp_path: Path, kind: str, record: Any, reason: str) -> None:
    file = write(tmp_path, [*[RECORDS[kind]] * 99, record])
    found = read_evaluation_file(file, kind)
    assert len(found.questions) == 99
    ((line, said),) = found.broken
    assert line == 100
    assert reason in said
    with pytest.raises(InvalidInput, match=r"holds no questions|1 of 1 lines are broken"):
        read_evaluation_file(write(tmp_path, [record]), kind)


def test_more_than_one_in_a_hundred_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, ["{half", *[RECORDS["gsm8k"]] * 50])
    with pytest.raises(InvalidInput, match=r"1 of 51 lines are broken \(line 1: not JSON"):
        read_evaluation_file(file)
    found = read_evaluation_file(file, keep_going=True)
    assert (found.kind, len(found.questions), found.broken[0][0]) == ("gsm8k", 50, 1)


def test_llmfao_needs_its_prompts(tmp_path: Path) -> None:
    file = write(tmp_path, [RECORDS["llmfao"]])
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "8", "text": "x"}\n')
    with pytest.raises(InvalidInput, match="line 1: expected a number 'id'"):
        read_evaluation_file(file)
    prompts.unlink()
    with pytest.raises(InvalidInput, match=r"their texts are missing: put .*prompts\.jsonl"):
        read_evaluation_file(file)


def test_a_packed_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 2**20)
    file = tmp_path / "bomb.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"question": "Why?"}\n' * 2**17))
    with pytest.raises(InvalidInput, match="MiB, unpacked"):
        read_evaluation_file(file)


@needs_gsm8k
def test_the_real_gsm8k() -> None:
    found = read_evaluation_file(GSM8K)
    assert (found.kind, len(found.questions), found.broken) == ("gsm8k", 1319, ())
    assert found.questions[0].target == 18.0
    assert all(question.benign and question.stored is None for question in found.questions)


@needs_llmfao
def test_the_real_llmfao() -> None:
    found = read_evaluation_file(LLMFAO)
    assert (found.kind, len(found.questions), found.broken) == ("llmfao", 1133, ())
    assert sum(not (question.stored or "").strip() for question in found.questions) == 69
    assert len({question.question for question in found.questions}) == 19


def test_what_stands_before_the_mark_is_no_target(tmp_path: Path) -> None:
    file = write(tmp_path, [{"question": "How many?", "answer": "1 + 2 = 3\n#### none"}])
    with pytest.raises(InvalidInput, match="ends on no '#### NUMBER'"):
        read_evaluation_file(file, "gsm8k")


def test_many_short_entries_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRIES", 10)
    file = tmp_path / "f.jsonl.gz"
    for count, refused in ((10, "10 of 10 lines are broken"), (11, "more than 10 entries")):
        file.write_bytes(gzip.compress(b"1\n" * count))
        with pytest.raises(InvalidInput, match=refused):
            read_evaluation_file(file, "questions")
