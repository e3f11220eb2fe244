"""The studies that take minutes: coverage of intervals, and the paper's sets at preset small."""

import numpy as np
import pytest

from equipoise.systems.rflaf import RFLAFRegressor, load_dataset
from equipoise.systems.rflaf.commands import reproduce
from equipoise.systems.rflaf.training import split

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["diabetes", "friedman1", "single_index"])
@pytest.mark.parametrize("method", ["bayes", "jackknife", "conformal"])
def test_ninety_percent_intervals_hold_ninety_percent(name, method):
    data = load_dataset(name)
    shares = []
    for seed in range(20):
        train, test = split(data.y, data.task, 0.2, seed)
        kept, apart = train[len(train) // 4 :], train[: len(train) // 4]
        rows = kept if method == "conformal" else train
        model = RFLAFRegressor(100, random_state=seed).fit(data.X[rows], data.y[rows])
        if method == "conformal":
            model.conformalize(data.X[apart], data.y[apart])
        band = model.predict_interval(data.X[test], 0.9, method)
        shares.append(np.mean((band.low <= data.y[test]) & (data.y[test] <= band.high)))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.03)


def test_the_papers_sets_at_preset_small(tmp_path):
    found = reproduce(table=("synthetic",), preset="small", out=tmp_path / "run")
    rows = {(row["data"], row["model"]): row for row in found["rows"]}
    for kind, most in (("f1", 3.3e-4), ("f2", 1e-3), ("f3", 3.3e-4)):
        own, adam = rows[kind, "RFLAF"], rows[kind, "published recipe (Adam)"]
        assert own["measured"] < most
        assert own["measured"] < adam["measured"]
        assert own["relative"] < 0.05 * rows[kind, "rbf_sampler"]["relative"]
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.filterwarnings("ignore:.*outside the span:UserWarning")
def test_compression_to_a_fifth_keeps_the_score(tmp_path):
    found = reproduce(
        table=("leverage",),
        preset="small",
        out=tmp_path / "run",
        compare_components="300",
        seeds="3",
    )
    lost = {row["data"]: row["measured"] for row in found["rows"] if "eliminate" in row["model"]}
    assert lost["friedman1"] < 0.06
    assert lost["digits"] < 0.05
