"""A language model as judge, over any back end of `equipoise.text`: JSON verdicts or none."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.files import canonical_json
from equipoise.evaluation.checks import first_json_object
from equipoise.evaluation.judging import JudgeRequest, Verdict, pair_label
from equipoise.evaluation.rubric import Form, Rubric, load_rubric, schema_problem

if TYPE_CHECKING:
    from equipoise.text import Backend

_WINNERS = {"a": 1.0, "tie": 0.5, "b": 0.0}
_CUT = "\n[cut here: the reply is longer than the judge is shown]"


class LLMJudge:
    """Asks a language model by a rubric; the answer is read as JSON only and never evaluated.

    A reply is shown between markers that it cannot contain, and cut to `max_chars`, so that
    instructions inside it stay material. An answer that does not fit the schema gets one repair
    attempt; then the verdict is None with the label `unparsed`. A back end that fails gives
    `unavailable`.

    Args:
        backend: any back end of `equipoise.text`.
        rubric: name of a shipped rubric, path of a rubric file, or a `Rubric`.
        max_chars: longest reply that is shown whole.
        max_tokens: longest answer of the judge.
        batch: how many requests go to the back end together.

    Attributes:
        rubric: the rubric in use.
        identity: kind, rubric and a hash of model and rubric; the judge's part of a cache key.
    """

    def __init__(
        self,
        backend: "Backend",
        rubric: str | Path | Rubric = "quality",
        *,
        max_chars: int = 8000,
        max_tokens: int = 256,
        batch: int = 16,
    ) -> None:
        for name, value in (("max_chars", max_chars), ("max_tokens", max_tokens), ("batch", batch)):
            if value < 1:
                raise InvalidInput(f"{name} is {value!r}; it must be >= 1")
        self.rubric = rubric if isinstance(rubric, Rubric) else load_rubric(rubric)
        self._backend = backend
        self._max_chars, self._max_tokens, self._batch = max_chars, max_tokens, batch
        origin = [backend.describe(), self.rubric.rubric_hash, max_chars, max_tokens]
        digest = hashlib.sha256(canonical_json(origin).encode()).hexdigest()
        self.identity = f"llm:{self.rubric.name}@{digest[:12]}"

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Return one verdict for each request, in order."""
        verdicts: list[Verdict] = []
        for start in range(0, len(requests), self._batch):
            verdicts.extend(self._judge_batch(requests[start : start + self._batch]))
        return verdicts

    def _judge_batch(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        asked = [self._messages(request) for request in requests]
        verdicts, answers = self._ask(requests, asked)
        again = [place for place, text in enumerate(answers) if verdicts[place].value is None]
        repairs = [_repair(asked[i], answers[i], verdicts[i].label) for i in again]
        mended, answers = self._ask([requests[place] for place in again], repairs)
        for place, verdict in zip(again, mended):
            verdicts[place] = verdict
            if verdict.value is None and answers:
                verdicts[place] = Verdict(None, "unparsed", verdict.raw, self.identity)
        return verdicts

    def _ask(
        self, requests: Sequence[JudgeRequest], asked: list[list[dict[str, str]]]
    ) -> tuple[list[Verdict], list[str]]:
        """Return verdicts and the answers they were read in; no answers where none could be had."""
        try:
            answers = self._answers(asked)
        except RunFailed as error:
            lost = Verdict(None, "unavailable", str(error), self.identity)
            return [lost for _ in requests], []
        return [self._read(request, text) for request, text in zip(requests, answers)], answers

    def _answers(self, batch: list[list[dict[str, str]]]) -> list[str]:
        if not batch:
            return []
        done = self._backend.generate_batch(batch, max_tokens=self._max_tokens, temperature=0.0)
        return [completion.text for completion in done]

    def _form(self, request: JudgeRequest) -> Form:
        return self.rubric.single if len(request.replies) == 1 else self.rubric.pair

    def _messages(self, request: JudgeRequest) -> list[dict[str, str]]:
        shown = [fenced(text, self._max_chars) for text in (request.prompt, *request.replies)]
        names = ("reply",) if len(request.replies) == 1 else ("reply_a", "reply_b")
        return self.rubric.ask(self._form(request), prompt=shown[0], **dict(zip(names, shown[1:])))

    def _read(self, request: JudgeRequest, text: str) -> Verdict:
        """Return the verdict in `text`; without one, value None and the problem as label."""
        form = self._form(request)
        answer = first_json_object(text)
        problem = "no JSON object" if answer is None else schema_problem(answer, form.schema)
        if answer is None or problem:
            return Verdict(None, str(problem), text, self.identity)
        if len(request.replies) == 2:
            value = _WINNERS.get(str(answer.get("winner")))
            if value is None:
                return Verdict(None, "winner is none of a, b, tie", text, self.identity)
            return Verdict(value, pair_label(value), text, self.identity)
        if "score" not in answer:
            return Verdict(None, "score is missing", text, self.identity)
        return Verdict(_unit(answer["score"], form), "score", text, self.identity)


def _unit(score: float, form: Form) -> float:
    bounds = form.schema["properties"]["score"]
    return (score - bounds["minimum"]) / (bounds["maximum"] - bounds["minimum"])


def _repair(messages: list[dict[str, str]], answer: str, problem: str) -> list[dict[str, Any]]:
    wanted = f"That was not usable: {problem}. Reply again with the JSON object only."
    said = answer.strip() or "(no answer)"
    return [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": wanted}]


def fenced(text: str, max_chars: int) -> str:
    """Return `text`, cut to `max_chars`, between markers that do not occur in it.

    >>> fenced("hello", 100).splitlines()[1]
    'hello'
    """
    shown = text if len(text) <= max_chars else text[:max_chars] + _CUT
    # A text cannot hold its own hash, so it cannot close its fence.
    mark = f"material {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return f"<<<{mark}\n{shown}\n{mark}>>>"
