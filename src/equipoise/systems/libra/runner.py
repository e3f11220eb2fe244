"""The evaluation run: every contender answers every item, once, whatever happens in between.

Requests are known by content, so two contenders of one description share answers, a killed run goes
on where it was, and the order in which answers arrive changes nothing.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from equipoise.core.console import note, progress
from equipoise.core.errors import InvalidInput, MissingData, MissingExtra, RunFailed
from equipoise.core.files import write_atomic
from equipoise.core.limits import TokenBucket, backoff
from equipoise.evaluation import (
    Item,
    Judge,
    Scorer,
    Task,
    TaskResult,
    load_tasks,
    write_results,
)
from equipoise.systems.libra.answers import Answer, Ask, score_answers
from equipoise.systems.libra.cache import Cache, claimed, reply_key
from equipoise.systems.libra.contenders import Contender, Reply, check_names
from equipoise.systems.libra.summary import LEAK, target_class, task_result

TRIES = 5
FATAL = (InvalidInput, MissingData, MissingExtra)
"""Errors that no further try can mend: they end the run, and what is stored stays."""


BUSY = (408, 409, 425, 429)
"""Statuses below 500 after which another try may succeed."""


@dataclass(frozen=True)
class Limits:
    """How hard contenders are asked.

    Attributes:
        concurrency: requests under way at once.
        rate: most requests a minute, charged before sending; None for no limit.
        tries: attempts before an item counts as missing.
        base_delay: first back-off ceiling in seconds; it doubles with every try.
    """

    concurrency: int = 8
    rate: float | None = None
    tries: int = TRIES
    base_delay: float = 0.5

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.tries < 1:
            raise InvalidInput(
                f"concurrency is {self.concurrency} and tries {self.tries}; both must be >= 1"
            )


def evaluate(
    contenders: Sequence[Contender],
    tasks: Iterable[Task | str | Path],
    *,
    out: str | Path | None = None,
    limit: int | None = None,
    samples: int = 1,
    limits: Limits | None = None,
    judge: Judge | None = None,
) -> list[TaskResult]:
    """Put every item of every task to every contender and score the answers.

    Args:
        contenders: what is evaluated; names unique.
        tasks: tasks, task files, or names of shipped ones (`fixtures` for all).
        out: folder for `cache.db`, `results.jsonl` and `answers.jsonl`; answers that its cache
            holds are not asked again. None keeps everything in memory.
        limit: so many items of each task only, taken in turn from its clusters and classes.
        samples: answers drawn per item; the item's score is their mean.
        limits: concurrency, rate, tries.
        judge: scores the tasks whose scorer is `judge`; verdicts that it fails to give are asked
            for again by the next call.

    Returns:
        One row per contender and task, in that order, items sorted by id. An item whose request
        failed `tries` times, or whose answer could not be scored, is missing: None, never a guess.

    Raises:
        InvalidInput: no contender, two of one name, no task, limit or samples < 1, or a task that
            needs a judge or a reward without one.
        RunFailed: called from inside a running event loop, or the disk is full.
    """
    _check_no_loop()
    check_names(contenders)
    loaded = _load(tasks)
    if samples < 1 or (limit is not None and limit < 1):
        raise InvalidInput(f"samples is {samples} and limit {limit}; both must be at least 1")
    if judge is not None:
        loaded = [task.bound(judge=judge) for task in loaded]
    _check_resources(loaded, limit)
    asks = list(_asks(contenders, loaded, limit=limit, samples=samples))
    path = Path(":memory:" if out is None else Path(out) / "cache.db")
    with nullcontext() if out is None else claimed(path), Cache(path) as cache:
        failures = asyncio.run(_ask_all(asks, cache, limits or Limits()))
        answers = score_answers(asks, cache)
    by_row: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        by_row.setdefault((answer.ask.contender.name, answer.ask.task.name), []).append(answer)
    results = [
        _result(contender, task, by_row[contender.name, task.name])
        for contender in contenders
        for task in loaded
    ]
    if failures:
        reason = next(iter(failures.values()))
        note(f"{len(failures)} requests got no answer (their items are missing): {reason}")
    if out is not None:
        write_atomic(Path(out) / "answers.jsonl", "".join(answer.line() for answer in answers))
        write_results(Path(out) / "results.jsonl", results)
    return results


def _check_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RunFailed(
        "evaluate was called inside a running event loop; call it in a thread: "
        "await asyncio.to_thread(evaluate, ...)"
    )


def _check_resources(tasks: Sequence[Task], limit: int | None) -> None:
    """Refuse a task that cannot be scored, before anything is asked and paid for."""
    for task in tasks:
        own = [task.scorer_for(item) for item in chosen_items(task, limit) if item.scorer]
        for scorer in (task.scorer, *own):
            for name in scorer.lacks():
                line = " (--judge)" if name == "judge" else f": task.bound({name}=...), from Python"
                raise InvalidInput(f"task {task.name!r} is scored by a {name}; give one{line}")


def _load(tasks: Iterable[Task | str | Path]) -> list[Task]:
    given = list(tasks)
    if not given:
        raise InvalidInput(
            "no task was given; name at least one, or `fixtures` for all shipped ones"
        )
    loaded: list[Task] = []
    for task in given:
        loaded.extend([task] if isinstance(task, Task) else load_tasks([task]))
    names = [task.name for task in loaded]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"two tasks are called {name!r}; names must be unique")
    return loaded


def _asks(
    contenders: Sequence[Contender], tasks: Sequence[Task], *, limit: int | None, samples: int
) -> Iterator[Ask]:
    """List all requests, contenders in the inner loop so that none waits for another to finish."""
    described = [(contender, contender.description()) for contender in contenders]
    for task in tasks:
        for item in chosen_items(task, limit):
            for sample in range(samples):
                for contender, description in described:
                    key = reply_key(description, item.messages, sample)
                    yield Ask(key, contender, task, item, sample)


def chosen_items(task: Task, limit: int | None) -> list[Item]:
    """Return the first `limit` items of a task, taken in turn from its clusters and target classes.

    A plain head of the file could hold ten rewrites of one question, or only items to say yes to.
    Where every item stands alone and has its own target the order is that of the file.
    """
    if limit is None:
        return list(task.items)
    by_cluster = _in_turn(task.items, [item.cluster or item.id for item in task.items])
    return _in_turn(by_cluster, [target_class(item) for item in by_cluster])[:limit]


def _in_turn(items: Sequence[Item], groups: Sequence[str]) -> list[Item]:
    """Return items one from each group, then the second of each, and so on; order kept in each."""
    seen: dict[str, int] = {}
    turns = []
    for group in groups:
        seen[group] = turn = seen.get(group, -1) + 1
        turns.append(turn)
    return [item for _, item in sorted(zip(turns, items), key=lambda pair: pair[0])]


async def _ask_all(asks: Sequence[Ask], cache: Cache, limits: Limits) -> dict[str, str]:
    """Ask what is not stored yet; return key -> reason for requests without an answer."""
    unique = {ask.key: ask for ask in asks}
    waiting = [ask for key, ask in unique.items() if cache.reply(key) is None]
    if len(waiting) < len(unique):
        note(f"{len(unique) - len(waiting)} of {len(unique)} answers are stored already")
    if not waiting:
        return {}
    bucket = TokenBucket(limits.rate) if limits.rate is not None else None
    rest = iter(waiting)
    failures: dict[str, str] = {}
    with progress("asking contenders", len(waiting)) as bar:

        async def work() -> None:
            for ask in rest:
                reply = await _ask(ask, limits, bucket)
                if isinstance(reply, Reply):
                    cache.put_reply(ask.key, asdict(reply))
                else:
                    failures[ask.key] = f"{ask.contender.name}: {reply}"
                bar.advance()

        workers = [
            asyncio.create_task(work()) for _ in range(min(limits.concurrency, len(waiting)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return failures


async def _ask(ask: Ask, limits: Limits, bucket: TokenBucket | None) -> Reply | str:
    """Return the answer, or after the last try the reason why there is none."""
    reason = ""
    for attempt in range(limits.tries):
        if bucket is not None:
            await bucket.acquire()
        try:
            reply = await ask.contender.reply(ask.item.messages, sample=ask.sample)
        except FATAL:
            raise
        except (RunFailed, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            if _is_final(error):
                return reason
            if attempt + 1 < limits.tries:
                told = getattr(error, "retry_after", None) or 0.0
                await asyncio.sleep(max(told, backoff(attempt, base=limits.base_delay)))
            continue
        # A lone surrogate (a server's "\\ud800") would fit neither the cache nor a report.
        return Reply(
            reply.text.encode("utf-8", "replace").decode(),
            reply.finish_reason,
            reply.prompt_tokens,
            reply.completion_tokens,
        )
    return reason


def _is_final(error: Exception) -> bool:
    """Say whether a failure would only repeat itself: a refusal, or an error that says so."""
    status = getattr(error, "status", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in BUSY
    return refused or getattr(error, "retryable", True) is False


def _judge_of(scorer: Scorer) -> str:
    """Return the identity of the judge or reward that a scorer asks, empty where it asks none."""
    return ", ".join(scorer.describe().get("resources", {}).values())


def _result(contender: Contender, task: Task, answers: Sequence[Answer]) -> TaskResult:
    """Sum up one contender's answers to one task."""
    by_item: dict[str, list[float]] = {answer.ask.item.id: [] for answer in answers}
    for answer in answers:
        if answer.score.value is not None:
            by_item[answer.ask.item.id].append(answer.score.value)
    scores = {item: float(np.mean(values)) if values else None for item, values in by_item.items()}
    leaks = sorted({a.ask.item.id for a in answers if a.text is not None and task.leaks(a.text)})
    notes = (f"{LEAK} {', '.join(leaks)}",) if leaks else ()
    asked = [
        task.scorer_for(item) for item in {a.ask.item.id: a.ask.item for a in answers}.values()
    ]
    judges = sorted({_judge_of(scorer) for scorer in asked} - {""})
    return task_result(task, contender.name, scores, judge=", ".join(judges), notes=notes)
