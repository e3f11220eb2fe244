"""The evaluation run: resume, bounded concurrency, retries, rates, missing items, order."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.evaluation import Verdict, load_task, read_results
from equipoise.systems.libra.cache import Cache, reply_key
from equipoise.systems.libra.contenders import Reply
from equipoise.systems.libra.runner import Limits, chosen_items, evaluate
from equipoise.text.transport import HttpStatusError

FAST = Limits(base_delay=0.001)


@dataclass
class Counting:
    """A contender that answers from a function and counts what it is asked."""

    name: str
    answer: object = "4"
    key: str = "same"
    delay: float = 0.0
    asked: list = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    def description(self):
        return {"kind": "test", "model": self.key}

    async def reply(self, messages, *, sample=0):
        self.asked.append((messages[-1]["content"], sample))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self.delay)
            answer = self.answer
            if callable(answer):
                answer = answer(messages[-1]["content"], sample, len(self.asked))
            if isinstance(answer, Exception):
                raise answer
            return Reply(str(answer))
        finally:
            self.open -= 1


def write_task(folder: Path, name="sums", items=4, scorer="number", **extra) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = extra.pop("rows", None) or [
        {"id": f"i{k}", "question": f"What is {k} + 2?", "target": str(k + 2)} for k in range(items)
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = {"name": name, "dimension": "capability", "category": "maths", "scorer": scorer} | extra
    lines["items"] = f"{name}.jsonl"
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.fixture
def task(tmp_path):
    return load_task(write_task(tmp_path / "tasks"))


def right(question, sample, count):
    return f"The answer is {int(question.split()[2]) + 2}"


def test_rows_hold_scores_by_item_in_order_of_contenders_and_tasks(tmp_path, task):
    other = load_task(write_task(tmp_path / "tasks", "more", items=2))
    results = evaluate([Counting("a", right, "a"), Counting("b", "2", "b")], [task, other])
    assert [(r.model, r.task) for r in results] == [
        ("a", "sums"), ("a", "more"), ("b", "sums"), ("b", "more"),
    ]  # fmt: skip
    first, _, third, _ = results
    assert first.score == 1.0
    assert first.scores == (1.0,) * 4
    assert first.item_ids == ("i0", "i1", "i2", "i3")
    assert third.scores == (1.0, 0.0, 0.0, 0.0)
    assert third.score == 0.25
    assert (third.n, third.missing, third.dimension) == (4, 0, "capability")
    assert third.task_hash == task.task_hash


def test_one_description_under_two_names_is_asked_once_and_two_descriptions_apart(task):
    first, twin, other = Counting("a"), Counting("b"), Counting("c", key="other")
    evaluate([first, twin, other], [task])
    assert len(first.asked) + len(twin.asked) == 4
    assert len(other.asked) == 4


def test_the_same_call_again_asks_nothing_and_gives_the_same(tmp_path, task):
    first = Counting("a", right)
    before = evaluate([first], [task], out=tmp_path / "run")
    again = Counting("a", RunFailed("must not be asked"))
    after = evaluate([again], [task], out=tmp_path / "run")
    assert before == after
    assert again.asked == []
    assert read_results(tmp_path / "run" / "results.jsonl") == before


def test_a_changed_task_is_scored_anew_from_stored_replies(tmp_path):
    path = write_task(tmp_path, rows=[{"id": "i", "question": "2 + 2?", "target": "4"}])
    contender = Counting("a", "5")
    assert evaluate([contender], [path], out=tmp_path / "run")[0].score == 0.0
    write_task(tmp_path, rows=[{"id": "i", "question": "2 + 2?", "target": "5"}])
    assert evaluate([contender], [path], out=tmp_path / "run")[0].score == 1.0
    assert len(contender.asked) == 1


def test_two_items_of_one_question_and_two_targets_keep_their_own_verdicts(tmp_path):
    rows = [{"id": k, "question": "Which?", "target": k} for k in ("4", "5")]
    results = evaluate([Counting("a", "5")], [write_task(tmp_path, rows=rows)])
    assert results[0].scores == (0.0, 1.0)


def test_concurrency_is_bounded_and_used(tmp_path):
    path = write_task(tmp_path, items=30)
    contender = Counting("a", delay=0.005)
    evaluate([contender], [path], limits=Limits(concurrency=3))
    assert contender.most_open == 3
    assert len(contender.asked) == 30


def test_order_of_completion_never_changes_results(tmp_path):
    path = write_task(tmp_path, items=12)

    class Shuffled(Counting):
        async def reply(self, messages, *, sample=0):
            await asyncio.sleep(hash((self.key, messages[-1]["content"])) % 7 / 1000)
            return Reply(right(messages[-1]["content"], sample, 0) if "1" in str(messages) else "9")

    outcomes = [
        evaluate([Shuffled("a", key=str(k))], [path], limits=Limits(concurrency=c))
        for k, c in enumerate([1, 4, 12])
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_failures_are_tried_again_five_times_and_then_missing(tmp_path, task, capsys):
    def mostly(question, sample, count):
        return ConnectionError("refused") if "What is 1" in question else right(question, 0, 0)

    contender = Counting("a", mostly)
    result = evaluate([contender], [task], out=tmp_path / "run", limits=FAST)[0]
    assert result.scores == (1.0, None, 1.0, 1.0)
    assert (result.n, result.missing, result.score) == (3, 1, 1.0)
    assert result.incomplete()
    assert sum("What is 1" in question for question, _ in contender.asked) == 5
    assert "1 requests got no answer" in capsys.readouterr().err
    healed = Counting("a", right)
    result = evaluate([healed], [task], out=tmp_path / "run", limits=FAST)[0]
    assert len(healed.asked) == 1
    assert result.score == 1.0
    assert not result.incomplete()


def test_a_failure_that_heals_leaves_no_trace(task):
    def flaky(question, sample, count):
        return RunFailed("busy") if count % 2 else right(question, 0, 0)

    result = evaluate([Counting("a", flaky)], [task], limits=Limits(base_delay=0.001, tries=30))[0]
    assert result.score == 1.0
    assert result.missing == 0


def test_an_error_that_says_it_is_final_is_not_tried_again(task):
    final = RunFailed("too long")
    final.retryable = False  # pyright: ignore[reportAttributeAccessIssue]
    contender = Counting("a", final)
    result = evaluate([contender], [task], limits=FAST)[0]
    assert len(contender.asked) == 4
    assert result.score is None
    assert result.missing == 4


def test_retry_after_is_obeyed(tmp_path):
    path = write_task(tmp_path, items=1)
    times = []

    def busy(question, sample, count):
        times.append(time.monotonic())
        error = HttpStatusError("the server answered 429", 429, "busy", retry_after=0.12)
        return error if count == 1 else "2"

    result = evaluate([Counting("a", busy)], [path], limits=FAST)[0]
    assert result.score == 1.0
    assert times[1] - times[0] >= 0.12


@pytest.mark.parametrize("error", [MissingData("pull it"), InvalidInput("bad request")])
def test_an_error_that_no_try_can_mend_ends_the_run_and_keeps_what_is_stored(tmp_path, task, error):
    def fails(question, sample, count):
        return error if count == 3 else right(question, 0, 0)

    with pytest.raises(type(error), match=str(error)):
        evaluate([Counting("a", fails)], [task], out=tmp_path, limits=Limits(concurrency=1))
    with Cache(tmp_path / "cache.db") as cache:
        assert cache.count()["replies"] == 2
    assert not (tmp_path / "results.jsonl").exists()


def test_the_rate_is_charged_before_every_sending_retries_included(tmp_path, monkeypatch):
    events = []

    class Recorder:
        def __init__(self, rate):
            events.append(rate)

        async def acquire(self):
            events.append("token")

    def flaky(question, sample, count):
        events.append("sent")
        return RunFailed("busy") if count == 1 else "2"

    monkeypatch.setattr("equipoise.systems.libra.runner.TokenBucket", Recorder)
    path = write_task(tmp_path, items=2)
    evaluate(
        [Counting("a", flaky)], [path], limits=Limits(rate=30, concurrency=1, base_delay=0.001)
    )
    assert events == [30, "token", "sent", "token", "sent", "token", "sent"]


def test_samples_are_averaged_and_numbered(tmp_path):
    path = write_task(tmp_path, items=2)
    contender = Counting("a", lambda q, sample, n: right(q, 0, 0) if sample else "nothing")
    result = evaluate([contender], [path], samples=4)[0]
    assert result.scores == (0.75, 0.75)
    assert sorted({sample for _, sample in contender.asked}) == [0, 1, 2, 3]


def test_limit_takes_the_first_items(task):
    result = evaluate([Counting("a", right)], [task], limit=2)[0]
    assert result.item_ids == ("i0", "i1")
    assert result.missing == 0


def test_limit_takes_items_in_turn_from_clusters_and_classes(tmp_path):
    rows = [
        {"id": f"{word}{k}", "question": "?", "target": word, "cluster": f"{word}{k // 3}"}
        for word in ("yes", "no")
        for k in range(6)
    ]
    path = write_task(tmp_path, rows=rows, scorer="yes_no")
    ids = [[item.id for item in chosen_items(load_task(path), limit)] for limit in (2, 4, 12, None)]
    assert ids[0] == ["yes0", "no0"]
    assert ids[1] == ["yes0", "no0", "yes3", "no3"]
    assert sorted(ids[2]) == sorted(ids[3])
    assert ids[3] == [row["id"] for row in rows]


def test_empty_replies_are_missing_and_never_zero(task):
    result = evaluate([Counting("a", lambda q, s, n: "" if "0 +" in q else right(q, s, n))], [task])
    assert result[0].scores == (None, 1.0, 1.0, 1.0)
    assert result[0].score == 1.0


def test_a_lone_surrogate_in_a_reply_does_no_harm(tmp_path, task):
    results = evaluate([Counting("a", "\ud800 4")], [task], out=tmp_path / "run")
    assert results[0].missing == 0
    assert "? 4" in (tmp_path / "run" / "answers.jsonl").read_text(encoding="utf-8")


def test_answers_are_listed_and_private_texts_stay_out(tmp_path):
    public = write_task(tmp_path / "t", "open", items=1)
    private = write_task(tmp_path / "t", "closed", items=1, split="private")
    evaluate([Counting("a", "my answer is 2")], [public, private], out=tmp_path / "run")
    lines = (tmp_path / "run" / "answers.jsonl").read_text().splitlines()
    first, second = map(json.loads, lines)
    assert first["reply"] == "my answer is 2"
    assert first["question"] == "What is 0 + 2?"
    assert (first["value"], first["label"]) == (1.0, "correct")
    assert second["reply"] is None
    assert second["question"] is None
    assert (second["item"], second["value"]) == ("i0", 1.0)


def test_a_canary_in_a_reply_is_reported(tmp_path):
    path = write_task(tmp_path, items=2, canary="canary-7f3a")
    leaky = Counting("a", lambda q, s, n: "canary-7f3a 2" if "0" in q else "3")
    result = evaluate([leaky], [path])[0]
    assert result.notes == ("canary text appeared in replies to i0",)


@dataclass
class LenientJudge:
    """Gives every reply 0.75, unless it is out of order."""

    identity: str = "lenient@1"
    broken: bool = False
    asked: int = 0

    def judge(self, requests):
        self.asked += len(requests)
        value, label = (None, "unavailable") if self.broken else (0.75, "score")
        return [Verdict(value, label, "", self.identity) for _ in requests]


def test_a_judge_scores_once_and_its_failures_are_asked_again(tmp_path):
    path = write_task(tmp_path, items=3, scorer="judge")
    contender, judge = Counting("a"), LenientJudge(broken=True)
    with pytest.raises(InvalidInput, match="'sums' is scored by a judge"):
        evaluate([contender], [path], out=tmp_path / "run")
    assert contender.asked == []
    down = evaluate([contender], [path], out=tmp_path / "run", judge=judge)[0]
    assert (down.score, down.missing) == (None, 3)
    judge.broken = False
    up = evaluate([contender], [path], out=tmp_path / "run", judge=judge)[0]
    assert (up.score, up.missing, up.judge) == (0.75, 0, "lenient@1")
    assert judge.asked == 6
    assert evaluate([contender], [path], out=tmp_path / "run", judge=judge)[0] == up
    assert judge.asked == 6
    evaluate([contender], [path], out=tmp_path / "run", judge=LenientJudge("other@1"))
    assert len(contender.asked) == 3


def test_a_judge_is_not_named_where_a_rule_scores(task):
    result = evaluate([Counting("a", right)], [task], judge=LenientJudge())[0]
    assert (result.judge, result.score) == ("", 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"limit": 0}, "limit 0"),
        ({"tasks": []}, "no task was given"),
        ({"contenders": []}, "no contender was given"),
    ],
)
def test_bad_arguments_ask_nothing(task, change, message):
    contender = Counting("a")
    arguments = {"contenders": [contender], "tasks": [task]} | change
    with pytest.raises(InvalidInput, match=message):
        evaluate(**arguments)
    assert contender.asked == []


def test_two_tasks_of_one_name_are_refused(task):
    with pytest.raises(InvalidInput, match="two tasks are called 'sums'"):
        evaluate([Counting("a")], [task, task])


def test_bad_limits_are_refused():
    with pytest.raises(InvalidInput, match="both must be >= 1"):
        Limits(concurrency=0)


def test_many_answers_go_to_the_judge_together_and_each_once(tmp_path, capsys):
    path = write_task(tmp_path, items=100, scorer="judge")
    calls = []

    class Counted(LenientJudge):
        def judge(self, requests):
            calls.append(len(requests))
            return super().judge(requests)

    twins = [Counting("a"), Counting("b")]
    results = evaluate(twins, [path], judge=Counted())
    assert calls == [64, 36]
    assert [result.score for result in results] == [0.75, 0.75]
    assert "judging answers" in capsys.readouterr().err


def test_a_judge_that_is_down_is_told_with_its_first_reason(tmp_path, capsys):
    class Down(LenientJudge):
        def judge(self, requests):
            return [Verdict(None, "unavailable", "refused:\n111", "d") for _ in requests]

    evaluate([Counting("a")], [write_task(tmp_path, items=3, scorer="judge")], judge=Down())
    assert "3 answers could not be judged" in (told := capsys.readouterr().err)
    assert "unavailable: refused: 111" in told
    evaluate([Counting("a")], [write_task(tmp_path, scorer="judge", split="private")], judge=Down())
    assert "refused" not in capsys.readouterr().err


def test_a_judge_without_identity_is_asked_by_every_run(tmp_path):
    path = write_task(tmp_path, items=2, scorer="judge")
    judge = LenientJudge(identity="")
    for _ in range(2):
        assert evaluate([Counting("a")], [path], out=tmp_path / "run", judge=judge)[0].score == 0.75
    assert judge.asked == 4
    with Cache(tmp_path / "run" / "cache.db") as cache:
        assert cache.count() == {"replies": 2, "verdicts": 0}


@pytest.mark.parametrize("own", [True, False])
def test_a_task_scored_by_a_reward_is_refused_before_anything_is_asked(tmp_path, own):
    rows = [{"id": "i", "question": "q", "target": "4", "scorer": {"name": "reward"}}]
    path = write_task(tmp_path, rows=rows) if own else write_task(tmp_path, scorer="reward")
    contender = Counting("a")
    with pytest.raises(InvalidInput, match=r"'sums' is scored by a reward; .*task.bound\(reward"):
        evaluate([contender], [path], out=tmp_path / "run")
    assert contender.asked == []
    task = load_task(path).bound(reward=lambda prompts, replies: [0.0] * len(prompts))
    assert evaluate([contender], [task])[0].score == 0.5


def test_inside_a_running_loop_the_error_says_what_to_do(task):
    contender = Counting("a")

    async def call():
        evaluate([contender], [task])

    with pytest.raises(RunFailed, match=r"asyncio\.to_thread"):
        asyncio.run(call())
    assert contender.asked == []


def test_two_runs_of_one_folder_at_once_ask_each_request_once(tmp_path, task):
    contenders = [Counting("a", right, delay=0.02) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda contender: evaluate([contender], [task], out=tmp_path / "run"), contenders
        )
    assert first == second
    assert sum(len(contender.asked) for contender in contenders) == 4


def test_a_reply_that_was_stored_meanwhile_stands_with_its_own_verdict(tmp_path):
    path = write_task(tmp_path, items=1)
    out = tmp_path / "run"

    def late(question, sample, count):
        with Cache(out / "cache.db") as cache:
            cache.put_reply(key, {"text": "The answer is 2"})
        return "The answer is 9"

    contender = Counting("a", late)
    messages = load_task(path).items[0].messages
    key = reply_key(contender.description(), messages, 0)
    assert evaluate([contender], [path], out=out)[0].score == 1.0
    assert json.loads((out / "answers.jsonl").read_text())["reply"] == "The answer is 2"


KILLED = """
import asyncio, sys
from pathlib import Path
from equipoise.systems.libra.contenders import Reply
from equipoise.systems.libra.runner import Limits, evaluate

class Slow:
    name = "slow"
    def description(self):
        return {"kind": "test", "model": "slow"}
    async def reply(self, messages, *, sample=0):
        await asyncio.sleep(0.01)
        with open(sys.argv[3], "a") as log:
            log.write(messages[-1]["content"] + "\\n")
        return Reply("The answer is 4")

evaluate([Slow()], [sys.argv[1]], out=sys.argv[2], limits=Limits(concurrency=2))
"""


def test_kill_9_then_the_same_line_repeats_no_stored_request(tmp_path):
    path, log = write_task(tmp_path / "tasks", items=60), tmp_path / "asked.log"
    line = [sys.executable, "-c", KILLED, str(path), str(tmp_path / "run"), str(log)]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists() and len(log.read_text().splitlines()) >= 15:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with Cache(tmp_path / "run" / "cache.db") as cache:
        stored = cache.count()["replies"]
    asked = len(log.read_text().splitlines())
    assert 10 <= stored < 60
    assert asked - stored <= 2  # only what was under way when the process died
    subprocess.run(line, check=True, stderr=subprocess.DEVNULL)
    questions = log.read_text().splitlines()
    assert len(set(questions)) == 60
    assert len(questions) - 60 == asked - stored
    resumed = read_results(tmp_path / "run" / "results.jsonl")
    subprocess.run([*line[:4], str(tmp_path / "whole"), str(log)], check=True, stderr=-3)
    assert read_results(tmp_path / "whole" / "results.jsonl") == resumed
