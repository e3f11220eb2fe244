from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import pipeline_period, simulate_pipeline

SECONDS = st.floats(0.01, 2)


def test_known_periods() -> None:
    found = pipeline_period(0.75, 0.15, 0.05, 0.8)
    assert found.sequential_s == pytest.approx(0.95)
    assert found.speculative_s == pytest.approx(0.79)
    assert found.speedup == pytest.approx(1.2025, abs=1e-4)
    even = pipeline_period(0.5, 0.5, 0, 0.9)
    assert (even.sequential_s, even.speculative_s) == (1.0, pytest.approx(0.55))
    assert even.speedup == pytest.approx(1.818, abs=1e-3)
    assert pipeline_period(0, 0, 0, 1).speedup == 1.0


def test_timeline_by_hand() -> None:
    found = simulate_pipeline([1, 2, 1], [0.5, 3, 0.25], 0.1, np.array([True, False, True]))
    np.testing.assert_allclose(found.review_s, [1, 3, 7.1])
    np.testing.assert_allclose(found.emitted_s, [1.5, 6, 7.35])
    assert found.period_s == pytest.approx((7.35 - 1.5) / 2)
    assert found.discarded == 1
    sequential = simulate_pipeline(
        [1, 2, 1], [0.5, 3, 0.25], 0.1, np.array([True, False, True]), speculate=False
    )
    np.testing.assert_allclose(sequential.review_s, [1, 3.6, 7.7])
    assert sequential.discarded == 0


def test_an_edit_of_the_last_sentence_discards_nothing() -> None:
    assert simulate_pipeline(1, 1, 0, np.array([False, True, False])).discarded == 1
    single = simulate_pipeline(1, 0.5, 0, np.array([False]))
    assert (single.discarded, single.emitted_s.tolist()) == (0, [1.5])
    assert np.isnan(single.period_s)


@given(SECONDS, SECONDS, SECONDS, st.lists(st.booleans(), min_size=2, max_size=40))
def test_the_formula_is_the_mean_of_the_timeline(
    generate: float, correct: float, restart: float, copies: list[bool]
) -> None:
    share = float(np.mean(copies[:-1]))
    formula = pipeline_period(generate, correct, restart, share)
    fast, slow = (
        simulate_pipeline(generate, correct, restart, np.array(copies), speculate=speculate)
        for speculate in (True, False)
    )
    assert fast.period_s == pytest.approx(formula.speculative_s)
    assert slow.period_s == pytest.approx(formula.sequential_s)
    assert (fast.emitted_s <= slow.emitted_s + 1e-9).all()
    assert fast.emitted_s[0] == pytest.approx(generate + correct)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1, 0, [True]), "generate_s must be finite seconds >= 0"),
        ((1, [1, 2, 3], 0, [True]), r"correct_s has shape \(3,\)"),
        ((1, 1, float("nan"), [True]), "restart_s must be finite"),
        ((1, 1, 0, []), r"copies has shape \(0,\)"),
        ((1, 1, 0, [1, 0]), "type int"),
    ],
)
def test_bad_timelines(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        simulate_pipeline(*arguments)


def test_bad_periods() -> None:
    with pytest.raises(InvalidInput, match=r"copy_rate is 1.5"):
        pipeline_period(1, 1, 1, 1.5)
    with pytest.raises(InvalidInput, match="correct_s must be finite"):
        pipeline_period(1, float("inf"), 1, 0.5)
