import numpy as np
import pytest

from equipoise.core.stats import wilson_interval
from equipoise.systems.stream_aligner import align, arithmetic_accuracy
from equipoise.systems.stream_aligner.tasks import (
    HOUSE_RULES,
    OPEN_QUESTIONS,
    SumQuestion,
    house_corrector,
    sum_questions,
    worked_examples,
    worked_sum,
)
from equipoise.systems.stream_aligner.worlds import (
    contagious_world,
    final_result,
    random_world,
    simulate_sums,
    simulate_world,
)


@pytest.mark.parametrize("seed", range(3))
def test_the_real_loop_has_the_marginals_of_the_closed_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = random_world(rng) if seed else contagious_world()
    answers, steps = 700, 5
    exact = world.closed_form(steps)
    found = simulate_world(world, steps, answers, rng)
    for method in ("raw", "post_hoc", "stream"):
        states, table = getattr(found, method), getattr(exact, method)
        assert states.shape == (answers, steps)
        for kind in range(table.shape[1]):
            share = (states == kind).mean(axis=0)
            error = np.sqrt(table[:, kind] * (1 - table[:, kind]) / answers)
            assert (np.abs(share - table[:, kind]) <= 4.5 * error + 1e-9).all(), method
        clean = getattr(exact, f"clean_{method}")
        seen = (~np.isin(states, world.bad)).all(axis=1).mean()
        assert abs(seen - clean) <= 4.5 * np.sqrt(clean * (1 - clean) / answers)


def test_the_real_loop_has_the_accuracy_of_the_closed_form() -> None:
    rates = {"error_rate": 0.15, "fix_rate": 0.8, "break_rate": 0.05}
    found = simulate_sums(5, 800, np.random.default_rng(0), **rates)  # type: ignore[arg-type]
    exact = arithmetic_accuracy(5, **rates)
    for method in ("raw", "post_hoc", "stream"):
        hits = getattr(found, method)
        share = wilson_interval(int(hits.sum()), len(hits), level=0.9999)
        assert share.low <= getattr(exact, method) <= share.high, method


def test_simulations_repeat_and_report_their_progress() -> None:
    done = []
    first, second = (
        simulate_sums(
            3,
            20,
            np.random.default_rng(1),
            error_rate=0.3,
            fix_rate=0.5,
            advance=lambda: done.append(1),
        )
        for _ in range(2)
    )
    assert (first.stream == second.stream).all()
    assert len(done) == 40


def test_sum_questions() -> None:
    found = sum_questions(5, 4, seed=3)
    assert found == sum_questions(5, 4, seed=3) != sum_questions(5, 4, seed=4)
    assert all(len(q.numbers) == 4 and all(10 <= n < 100 for n in q.numbers) for q in found)
    question = SumQuestion((10, 20, 30))
    assert (question.text, question.total) == ("Add 10, 20 and 30.", 60)
    ((asked, worked),) = worked_examples(5)
    assert asked == "Add 31, 45, 12, 26 and 32."
    assert final_result(worked) == 146
    with pytest.raises(ValueError, match="expected >= 0 and >= 2"):
        sum_questions(1, 1, seed=0)


def test_right_answers_pass_the_house_corrector_untouched() -> None:
    for question in sum_questions(10, 4, seed=0):
        text = worked_sum(question.numbers)
        answer = align("q", lambda q, p, t=text: [t[len(p) :]], house_corrector(), speculate=True)
        assert answer.text == text
        assert final_result(text) == question.total


def test_the_house_style_changes_what_it_says() -> None:
    review = house_corrector()
    assert review("", "", "It is a really unique way in order to win.").text == (  # type: ignore[union-attr]
        "It is a unique way to win."
    )
    assert review("", "", "As an AI I cannot.").verdict == "drop"  # type: ignore[union-attr]
    assert len(HOUSE_RULES) == 5
    assert len(set(OPEN_QUESTIONS)) == len(OPEN_QUESTIONS) == 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 + 1 = 2. 2 + 3 = 6.", 6), ("no sums", None), ("1 / 2 = 0.5", None), ("", None)],
)
def test_final_result(text: str, expected: int | None) -> None:
    assert final_result(text) == expected
