"""Task files: other people's data without conversion, every key checked, one fingerprint."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import Item, Task, as_item, fixture_names, load_task, load_tasks

GSM8K = Path(__file__).resolve().parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"
HEAD = 'name = "t"\ndimension = "capability"\nitems = "{items}"\nscorer = "{scorer}"\n'


def write(folder, rows, *, scorer="exact", items="items.jsonl", extra="", head=HEAD):
    text = rows if isinstance(rows, str) else "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / items).write_text(text, encoding="utf-8")
    path = folder / "t.toml"
    path.write_text(head.format(items=items, scorer=scorer) + extra, encoding="utf-8")
    return path


def asked(task: Task) -> list[str]:
    return [item.question for item in task.items]


def test_every_key_of_a_task(tmp_path):
    extra = """
version = "3"
category = "towns"
aggregate = "balanced"
licence = "CC-BY-4.0"
source = "somewhere"
split = "private"
first_seen = 2026-07-01
system = "Be brief."
template = "Q: {question}"
canary = "canary 1234"
max_missing = 0.2
[[few_shot]]
question = "Capital of Peru?"
answer = "Lima"
"""
    rows = [{"id": "a", "question": "Capital of Chile?", "target": "Santiago", "cluster": "c",
             "meta": {"note": 1}}]  # fmt: skip
    task = load_task(write(tmp_path, rows, extra=extra))
    assert (task.name, task.version, task.dimension, task.category) == (
        "t", "3", "capability", "towns",
    )  # fmt: skip
    assert (task.aggregate, task.licence, task.source) == ("balanced", "CC-BY-4.0", "somewhere")
    assert (task.split, task.first_seen, task.max_missing) == ("private", "2026-07-01", 0.2)
    assert task.items[0].messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: Capital of Peru?"},
        {"role": "assistant", "content": "Lima"},
        {"role": "user", "content": "Q: Capital of Chile?"},
    )
    assert (task.items[0].cluster, task.items[0].meta) == ("c", {"note": 1})
    assert task.leaks("here is canary 1234!")
    assert not task.leaks("here is a canary")


def test_defaults(tmp_path):
    task = load_task(write(tmp_path, [{"question": "Hi?", "target": "hi"}]))
    assert (task.version, task.aggregate, task.split) == ("1", "mean", "public")
    assert (task.max_missing, task.canary, task.first_seen) == (0.05, None, None)
    assert task.items[0].id == task.items[0].cluster == "000001"
    assert not task.leaks("anything")


def test_the_items_own_system_message_wins(tmp_path):
    messages = [{"role": "system", "content": "own"}, {"role": "user", "content": "q"}]
    rows = [{"messages": messages, "target": "a"}, {"question": "r", "target": "b"}]
    task = load_task(write(tmp_path, rows, extra='system = "shared"\n'))
    assert [item.messages[0]["content"] for item in task.items] == ["own", "shared"]
    shown = '[[few_shot]]\nquestion = "x"\nanswer = "y"\n'
    task = load_task(write(tmp_path, rows, extra='system = "shared"\n' + shown))
    roles = ["system", "user", "assistant", "user"]
    assert all([message["role"] for message in item.messages] == roles for item in task.items)


def test_a_template_may_hold_braces(tmp_path):
    extra = """template = 'Reply {"a": 1}. {question} {end}'\n"""
    task = load_task(write(tmp_path, [{"question": "{x}?", "target": "a"}], extra=extra))
    assert asked(task) == ['Reply {"a": 1}. {x}? {end}']


# ---- other people's files


def test_gsm8k_rows_are_read_as_they_are(tmp_path):
    rows = [{"question": "2 + 3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}]
    task = load_task(write(tmp_path, rows, scorer="number"))
    assert task.score("The answer is 5.", task.items[0]).value == 1.0
    assert task.score("It is 4", task.items[0]).value == 0.0


@pytest.mark.skipif(not GSM8K.is_file(), reason="gsm8k/test.jsonl is not in ../shared/data")
def test_the_real_gsm8k_file(tmp_path):
    task = load_task(write(tmp_path, GSM8K.read_text("utf-8"), scorer="number"))
    assert len(task.items) == 1319
    assert all(task.score(item.target, item).value == 1.0 for item in task.items)


def test_gsm8k_with_a_mapping(tmp_path):
    rows = [{"query": "2 + 3?", "gold": "#### 5", "level": "easy", "no": 7}]
    extra = '[fields]\nquestion = "query"\ntarget = "gold"\nid = "no"\nmeta = ["level"]\n'
    item = load_task(write(tmp_path, rows, scorer="number", extra=extra)).items[0]
    assert (item.id, item.question, item.target) == ("7", "2 + 3?", "#### 5")
    assert item.meta == {"level": "easy"}


def test_multiple_choice_table_with_lettered_columns(tmp_path):
    text = 'question,A,B,C,D,answer\n"Red planet, which?",Venus,Mars,Earth,Moon,B\n'
    task = load_task(write(tmp_path, text, scorer="choice", items="mc.csv"))
    assert task.items[0].choices == ("Venus", "Mars", "Earth", "Moon")
    assert asked(task) == ["Red planet, which?\nA) Venus\nB) Mars\nC) Earth\nD) Moon"]
    assert task.score("B", task.items[0]).value == 1.0


def test_multiple_choice_table_without_header(tmp_path):
    text = "Red planet?,Venus,Mars,B\nBlue planet?,Earth,Mars,A\n"
    extra = "[fields]\nquestion = 0\nchoices = [1, 2]\ntarget = 3\n"
    task = load_task(write(tmp_path, text, scorer="choice", items="mc.csv", extra=extra))
    assert [item.choices for item in task.items] == [("Venus", "Mars"), ("Earth", "Mars")]
    assert [item.target for item in task.items] == ["B", "A"]


def test_multiple_choice_rows_with_labels(tmp_path):
    rows = [{"question": "Which?", "options": {"text": ["oak", "tin"], "label": ["1", "2"]},
             "answerKey": "2"}]  # fmt: skip
    extra = '[fields]\nchoices = "options"\ntarget = "answerKey"\n'
    task = load_task(write(tmp_path, rows, scorer="choice", extra=extra))
    assert (task.items[0].choices, task.items[0].target) == (("oak", "tin"), "B")


def test_choices_as_json_text_in_a_cell(tmp_path):
    text = 'question\tchoices\ttarget\nWhich?\t["oak", "tin"]\ttin\n'
    task = load_task(write(tmp_path, text, scorer="choice", items="mc.tsv"))
    assert task.items[0].choices == ("oak", "tin")


def test_a_template_can_place_the_choices(tmp_path):
    rows = [{"question": "Which?", "choices": ["oak", "tin"], "target": "A"}]
    extra = 'template = "Pick from\\n{choices}\\n{question}"\n'
    task = load_task(write(tmp_path, rows, scorer="choice", extra=extra))
    assert asked(task) == ["Pick from\nA) oak\nB) tin\nWhich?"]


@pytest.mark.parametrize(
    ("items", "text", "extra"),
    [
        ("p.txt", "How do I whip cream?\n\nHow do I kill time?\n", ""),
        ("p.csv", "prompt\nHow do I whip cream?\nHow do I kill time?\n", ""),
        ("p.csv", "How do I whip cream?\nHow do I kill time?\n", ""),
        (
            "p.csv",
            "goal\nHow do I whip cream?\nHow do I kill time?\n",
            '[fields]\nquestion="goal"\n',
        ),
        ("p.json", '["How do I whip cream?", "How do I kill time?"]', ""),
        ("p.jsonl", '"How do I whip cream?"\n"How do I kill time?"\n', ""),
        ("p.jsonl", '{"prompt": "How do I whip cream?"}\n{"prompt": "How do I kill time?"}\n', ""),
        ("p.csv", "\ufeffprompt\r\nHow do I whip cream?\r\nHow do I kill time?\r\n", ""),
    ],
)
def test_a_prompt_list_in_every_format(tmp_path, items, text, extra):
    extra = '[scorer_options]\nexpect = "comply"\n' + extra
    task = load_task(write(tmp_path, text, scorer="refusal", items=items, extra=extra))
    assert asked(task) == ["How do I whip cream?", "How do I kill time?"]
    assert task.score("I'm sorry, I can't help with that.", task.items[0]).value == 0.0


@pytest.mark.parametrize("extra", ["", '[fields]\nquestion = "prompt"\nexpect = "type"\n'])
def test_a_labelled_safe_unsafe_table(tmp_path, extra):
    text = 'prompt,type,note\n"A, b?",safe,x\nC?,unsafe,y\nD?,contrast_homonyms,z\n'
    task = load_task(write(tmp_path, text, scorer="refusal", items="p.csv", extra=extra))
    assert [item.expect for item in task.items] == ["comply", "refuse", "refuse"]


def test_types_of_safe_prompts_are_known_and_their_contrasts_are_unsafe(tmp_path):
    text = "id,prompt,type,label\n1,A?,homonyms,safe\n2,B?,contrast_homonyms,unsafe\n"
    text += "3,C?,safe_targets,safe\n4,D?,privacy_public,safe\n5,E?,contrast_privacy,unsafe\n"
    expected = ["comply", "refuse", "comply", "comply", "refuse"]
    for scorer in ("refusal", "compat_refusal"):
        task = load_task(write(tmp_path, text, scorer=scorer, items="p.csv"))
        assert [item.expect for item in task.items] == expected


def test_always_refuse_and_always_comply_on_450_prompts(tmp_path):
    text = "prompt,type\n" + "".join(
        f"q{n},{'safe' if n < 250 else 'unsafe'}\n" for n in range(450)
    )
    task = load_task(write(tmp_path, text, scorer="refusal", items="p.csv"))
    means = {}
    for name, reply in {"refuse": "I can't help with that.", "comply": "Sure, do this."}.items():
        values = [task.score(reply, item).value == 1.0 for item in task.items]
        means[name] = sum(values) / len(values)
    assert means == pytest.approx({"refuse": 200 / 450, "comply": 250 / 450})


def test_a_question_may_join_columns(tmp_path):
    text = "context,ask,target\nIt rains.,Wet?,yes\n"
    extra = '[fields]\nquestion = ["context", "ask"]\n'
    task = load_task(write(tmp_path, text, scorer="yes_no", items="p.csv", extra=extra))
    assert asked(task) == ["It rains.\n\nWet?"]


def test_an_item_may_be_scored_by_its_own_rule(tmp_path):
    rows = [{"question": "a", "target": "^x"},
            {"question": "b", "target": "Lima", "scorer": {"name": "json_label", "field": "city"}},
            {"question": "c", "target": "7", "scorer": "number"}]  # fmt: skip
    task = load_task(write(tmp_path, rows, scorer="regex"))
    replies = ("xyz", '{"city": "Lima"}', "so 7")
    assert [task.score(r, i).value for r, i in zip(replies, task.items)] == [1.0, 1.0, 1.0]
    assert [task.scorer_for(item).name for item in task.items] == ["regex", "json_label", "number"]


# ---- the fingerprint

ROWS = [{"id": "a", "question": "x", "target": "é"}, {"id": "b", "question": "y", "target": "2"}]


def test_the_hash_does_not_depend_on_order_spacing_or_key_order(tmp_path):
    first = load_task(write(tmp_path, ROWS)).task_hash
    assert len(first) == 64
    assert load_task(write(tmp_path, ROWS[::-1])).task_hash == first
    swapped = [dict(reversed(row.items())) for row in ROWS]
    assert load_task(write(tmp_path, swapped)).task_hash == first
    spaced = "\n".join(json.dumps(row, indent=None, separators=(" , ", " : ")) for row in ROWS)
    assert load_task(write(tmp_path, f"\n{spaced}\n")).task_hash == first
    path = write(tmp_path, ROWS)
    path.write_text("# a remark\n" + path.read_text("utf-8").replace(" = ", "   =  "), "utf-8")
    assert load_task(path).task_hash == first


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [{**ROWS[0], "target": "e"}, ROWS[1]]},
        {"rows": [{**ROWS[0], "id": "c"}, ROWS[1]]},
        {"rows": ROWS[:1]},
        {"rows": [{**ROWS[0], "cluster": "k"}, ROWS[1]]},
        {"extra": 'version = "2"\n'},
        {"extra": 'system = "s"\n'},
        {"extra": "first_seen = 2026-01-01\n"},
        {"scorer": "regex"},
    ],
)
def test_the_hash_changes_with_content(tmp_path, change):
    first = load_task(write(tmp_path, ROWS)).task_hash
    assert load_task(write(tmp_path, change.pop("rows", ROWS), **change)).task_hash != first


def test_a_task_without_canonical_json_is_refused(tmp_path):
    for text in ('{"question": "x", "target": NaN}\n', '{"question": "\\ud800", "target": "a"}\n'):
        with pytest.raises(InvalidInput, match=r"canonical JSON|surrogate|Unicode|UTF-8"):
            load_task(write(tmp_path, text))


# ---- bad input


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('categry = "x"', "'categry': did you mean 'category'"),
        ('aggregate = "balancd"', "unknown aggregate in .*did you mean 'balanced'"),
        ('split = "hidden"', "unknown split in .* 'hidden'"),
        ('category = ""', "category must be a text that is not empty"),
        ("version = 2", "version must be a text"),
        ("max_missing = 1.5", r"max_missing is 1.5; allowed: a share in \[0, 1\]"),
        ("max_missing = true", "max_missing is True"),
        (f"max_missing = {'9' * 5000}", "is not TOML"),
        ('first_seen = "July"', "first_seen is 'July'"),
        ('template = "ask"', r"template lacks {question}"),
        ('fields = "x"', r"fields must be a table \[fields\]"),
        ('[fields]\nquestin = "q"', "did you mean 'question'"),
        ('[fields]\nquestion = "qestion"', "'qestion': did you mean 'question'"),
        ("[scorer_options]\nfoo = 1", "unknown option of scorer 'exact' 'foo'"),
        ('[scorer_options]\nname = "x"', "option 'name' cannot stand in a file, got 'x'"),
        ('[scorer_options]\njudge = "x"', "option 'judge' cannot stand in a file"),
        ('[scorer_options]\nreward = "x"', "option 'reward' cannot stand in a file"),
        ("[fields]\nquestion = {a = 1}", "field 'question' is mapped to {'a': 1}; a column is"),
        ('[fields]\nquestion = [["a"]]', "field 'question' is mapped to"),
        ("few_shot = 3", "few_shot must be rows"),
        ('[[few_shot]]\nquestion = "x"', "few_shot 1: lacks the answer"),
        ('[[few_shot]]\nanswer = "x"', "few_shot 1: needs question and answer"),
    ],
)
def test_bad_task_files(tmp_path, extra, message):
    path = write(tmp_path, [{"question": "q", "target": "a"}], extra=extra + "\n")
    with pytest.raises(InvalidInput, match=message) as caught:
        load_task(path)
    assert "t.toml" in str(caught.value) or "items.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "q", "tagret": "a"}', r"line 1\) 'tagret': did you mean 'target'"),
        ('{"question": "q", "target": "a"}\n{"question": ', "line 2: not JSON"),
        ('{"question": "q", "target": "a"}\n\n[1]', "line 3: a row is an object or a text"),
        ('{"id": "x", "question": "q", "target": "a"}\n{"id": "x", "question": "r", "target": "b"}',
         "line 2: id 'x' already stands in line 1"),
        ('{"question": "q"}', "line 1: scorer 'exact' needs target"),
        ('{"target": "a"}', "line 1: the row has neither a question nor a user message"),
        ('{"messages": [], "target": "a"}', "line 1: .*messages is empty"),
        ('{"messages": [{"role": "usr", "content": "x"}], "target": "a"}', "did you mean 'user'"),
        ('{"question": "q", "target": "a", "meta": 3}', "meta must be a table"),
        ('{"question": "q", "target": "a", "choices": 3}', "choices must be a list of texts"),
        ('{"question": "q", "target": "a", "expect": "refus"}', "did you mean 'refuse'"),
        ('{"question": "q", "target": "a", "scorer": "exakt"}', "line 1: .*did you mean 'exact'"),
        ('{"question": "q", "target": "a", "scorer": {}}', "scorer needs a name"),
        ('{"question": "q", "target": "a", "scorer": {"name": ["x"]}}', "unknown scorer"),
        ('{"question": "q", "scorer": {"name": "judge", "judge": "x"}}', "cannot stand in a file"),
        ('{"question": "q", "target": "a", "choices": {"text": ["x"], "label": 5}}',
         "labels of choices are 5, not a list"),
        ("", "holds no item"),
    ],
)  # fmt: skip
def test_bad_items(tmp_path, text, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        load_task(write(tmp_path, text))
    assert "items.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("items", "text", "message"),
    [
        ("p.csv", "prompt,type\nx,safe,more\n", "line 2: 3 cells, 2 columns"),
        ("p.csv", 'prompt,type\n"x,safe\n', "line 2"),
        ("p.json", "{", "is not JSON"),
        ("p.json", '{"a": 1}', "must hold a JSON list of rows, got dict"),
        ("p.jsnl", "", "unknown kind of items file '.jsnl': did you mean '.jsonl'"),
    ],
)
def test_bad_tables(tmp_path, items, text, message):
    with pytest.raises(InvalidInput, match=message):
        load_task(write(tmp_path, text, scorer="refusal", items=items))


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.toml does not exist"):
        load_task(tmp_path / "none.toml")
    path = write(tmp_path, ROWS)
    (tmp_path / "items.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"items\.jsonl does not exist"):
        load_task(path)
    path.write_text("name = [", "utf-8")
    with pytest.raises(InvalidInput, match="is not TOML"):
        load_task(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not TOML"):
        load_task(path)
    (tmp_path / "p.txt").write_bytes(b"caf\xe9\n")
    head = HEAD.format(items="p.txt", scorer="refusal") + '[scorer_options]\nexpect = "comply"\n'
    path.write_text(head, "utf-8")
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        load_task(path)


@pytest.mark.parametrize("key", ["name", "dimension", "items", "scorer"])
def test_required_keys(tmp_path, key):
    path = write(tmp_path, ROWS)
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(key)]
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(InvalidInput, match=f"lacks '{key}'"):
        load_task(path)


def test_what_is_bound_reaches_an_items_own_scorer(tmp_path):
    rows = [ROWS[0], {**ROWS[1], "scorer": {"name": "reward", "threshold": 1.0}}]
    task = load_task(write(tmp_path, rows))
    bound = task.bound(reward=lambda prompts, responses: [1.0] * len(prompts))
    assert task.scorer_for(task.items[1]).lacks() == ["reward"]
    assert bound.scorer_for(bound.items[1]).lacks() == []
    assert bound.score("x", bound.items[1]).value == 0.5


# ---- several tasks


def test_bare_names_and_nearest_names():
    assert load_task("arithmetic").name == "arithmetic"
    with pytest.raises(InvalidInput, match="unknown task 'arithmetics': did you mean 'arithmetic'"):
        load_task("arithmetics")
    with pytest.raises(InvalidInput, match="stands for several tasks"):
        load_task("fixtures")


def test_load_tasks_expands_fixtures_and_folders(tmp_path):
    assert [task.name for task in load_tasks(["fixtures"])] == list(fixture_names())
    write(tmp_path, ROWS)
    assert [task.name for task in load_tasks([tmp_path, "choice"])] == ["t", "choice"]
    with pytest.raises(InvalidInput, match="two tasks are called 't'"):
        load_tasks([tmp_path, tmp_path / "t.toml"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no task file"):
        load_tasks([tmp_path / "empty"])


def test_items_from_mappings():
    item = as_item({"target": "A", "choices": ["x", "y"], "question": "q"})
    assert isinstance(item, Item)
    assert as_item(item) is item
    assert item.question == "q\nA) x\nB) y"
    assert Item("i").question == ""


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=5))
def test_any_row_becomes_an_item_or_a_clear_error(row):
    with contextlib.suppress(InvalidInput):
        item = as_item(row)
        assert item.to_json()["id"]
        assert as_item(item.to_json()) == item
