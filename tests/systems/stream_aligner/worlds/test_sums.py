import numpy as np

from equipoise.core.stats import wilson_interval
from equipoise.systems.stream_aligner import arithmetic_accuracy
from equipoise.systems.stream_aligner.worlds.sums import simulate_sums


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
