"""The figures of `rflaf`: fits, predictions, sums and memory beside peers, in one run.

`python -m benchmarks.rflaf` measures all and writes `benchmarks/results/rflaf.json`; `--only NAME`
(repeatable) renews a part. `sets` and `synthetic` take tens of minutes.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parts import RESULTS, Line, line, measure_parts

M, N, D = 300, 17, 20


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the median seconds of a few calls, and what the last one returned."""
    times, result = [], None
    for _ in range(repeats):
        begun = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times), result


def table(n: int, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Return n training and 5000 test rows of a smooth target in 20 columns with noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + 5000, D))
    u = rng.standard_normal(D) / np.sqrt(D)
    y = np.sin(3 * X @ u) + 0.5 * X[:, 0] * X[:, 1] + 0.3 * rng.standard_normal(n + 5000)
    return X[:n], y[:n], X[n:], y[n:]


def fit() -> dict[str, Any]:
    """Time a fit of 20,000 rows against a grid search over RBFSampler and Ridge."""
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from equipoise.systems.rflaf import RFLAFRegressor

    X, y, Xt, yt = table(20_000)
    own, model = timed(lambda: RFLAFRegressor(M, N, random_state=0).fit(X, y))
    pipe = make_pipeline(RBFSampler(n_components=M, random_state=0), Ridge(1e-3))
    grid = {"rbfsampler__gamma": [2 * g / D for g in np.logspace(-2, 1, 7)]}
    other, search = timed(lambda: GridSearchCV(pipe, grid, cv=5).fit(X, y))
    return {
        "seconds": own,
        "search_seconds": other,
        "ratio": own / other,
        "r2": float(model.score(Xt, yt)),
        "search_r2": float(search.score(Xt, yt)),
    }


def fit_large() -> dict[str, Any]:
    """Time a fit of 200,000 rows, the activation learnt on 5,000, against one plain fit."""
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    from equipoise.systems.rflaf import RFLAFRegressor

    X, y, Xt, yt = table(200_000)
    model = RFLAFRegressor(M, N, activation_rows=5000, random_state=0)
    own, model = timed(lambda: model.fit(X, y))
    pipe = make_pipeline(RBFSampler(gamma=0.1, n_components=M, random_state=0), Ridge(1e-3))
    other, plain = timed(lambda: pipe.fit(X, y))
    return {
        "seconds": own,
        "plain_seconds": other,
        "ratio": own / other,
        "r2": float(model.score(Xt, yt)),
        "plain_r2": float(plain.score(Xt, yt)),
    }


def solvers() -> dict[str, Any]:
    """Time variable projection against the published 45 epochs of Adam on f1."""
    from equipoise.systems.rflaf import RFLAFRegressor, make_synthetic

    data = make_synthetic("f1", 6000, random_state=125)
    X, y, Xt, yt = data.X[:4800], data.y[:4800], data.X[4800:], data.y[4800:]
    common: dict[str, Any] = {"standardize": False, "scale": 1.0, "random_state": 0}
    adam = RFLAFRegressor(
        200, 41, solver="adam", fit_intercept=False, solver_options={"epochs": 45}, **common
    )
    adam_seconds, adam = timed(lambda: adam.fit(X, y))
    goal = float(np.mean((adam.predict(Xt) - yt) ** 2))
    tried = []
    # the shortest ones leave smooth at 0: choosing it takes longer than they do
    for starts, steps, smooth in ((1, 1, 0.0), (1, 2, 0.0), (1, 5, "gcv"), (5, 100, "gcv")):
        model = RFLAFRegressor(200, 41, n_starts=starts, max_iter=steps, smooth=smooth, **common)
        seconds, model = timed(lambda model=model: model.fit(X, y))
        error = float(np.mean((model.predict(Xt) - yt) ** 2))
        tried.append(
            {
                "starts": starts,
                "max_iter": steps,
                "smooth": smooth,
                "seconds": seconds,
                "mse": error,
            }
        )
    first = next((one for one in tried if one["mse"] <= goal), None)
    return {
        "adam_seconds": adam_seconds,
        "adam_mse": goal,
        "variance": float(yt.var()),
        "varpro": tried,
        "speedup": None if first is None else adam_seconds / first["seconds"],
    }


def predict() -> dict[str, Any]:
    """Time predictions against RBFSampler with a dot product, and against dense evaluation."""
    from sklearn.kernel_approximation import RBFSampler

    from equipoise.systems.rflaf import RFLAFRegressor

    X, y, Xt, _ = table(3000)
    rows = np.tile(Xt, (8, 1))
    sampler = RBFSampler(gamma=0.1, n_components=M, random_state=0).fit(X)
    weights = np.random.default_rng(0).standard_normal(M)
    peer, _ = timed(lambda: sampler.transform(rows) @ weights, 5)
    found: dict[str, Any] = {"peer_seconds": peer}
    for n_basis in (17, 65, 401):
        model = RFLAFRegressor(
            M, n_basis, n_starts=1, max_iter=3, alpha=1e-3, smooth=1e-3, random_state=0
        ).fit(X, y)
        own, _ = timed(lambda model=model: model.predict(rows), 5)
        some = rows[:2000]

        def dense(model: Any = model, some: Any = some) -> Any:
            values = model.basis_.values(model.calibration_.z(some))
            return np.einsum("nmi,ri,mrk->nk", values, model.activation_coef_, model.readout_,
                             optimize=True) + model.intercept_  # fmt: skip

        slow, _ = timed(dense, 3)
        found[f"n{n_basis}"] = {
            "seconds": own,
            "ratio_to_peer": own / peer,
            "dense_over_table": slow * len(rows) / len(some) / own,
        }
    return found


def sums() -> dict[str, Any]:
    """Time the accumulation of lifted sums against one symmetric rank-k product of that size."""
    from scipy.linalg import blas

    from equipoise.systems.rflaf import LiftedStatistics, RFLAFRegressor

    X, y, _, _ = table(8000)
    rows = []
    model = RFLAFRegressor(100, N, random_state=0).calibrate(X)
    for n in (2000, 4000, 8000):
        at = model.calibration_

        def add(n: int = n, at: Any = at) -> Any:
            kept = LiftedStatistics(at.weights, at.basis, offset=at.offset, scale=at.scale)
            return kept.update(X[:n], y[:n])

        seconds, kept = timed(add, 3)
        lifted = np.asfortranarray(np.random.default_rng(0).random((n, 100 * N)))
        syrk: Any = blas.dsyrk  # type: ignore[attr-defined]
        product, _ = timed(lambda lifted=lifted, syrk=syrk: syrk(1.0, lifted, trans=1), 3)
        rows.append(
            {
                "rows": n,
                "seconds": seconds,
                "product_seconds": product,
                "share_of_product": product / seconds,
                "bytes": kept.nbytes,
            }
        )
    return {"sizes": rows, "linear": rows[2]["seconds"] / rows[0]["seconds"] / 4}


_MEMORY = r"""
import re
from pathlib import Path
import numpy as np
from equipoise.systems.rflaf import RFLAFRegressor
def peak():
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
rng = np.random.default_rng(0)
X = rng.standard_normal((200_000, 20)); y = np.sin(X[:, 0]) + X[:, 1]
RFLAFRegressor(20, 7, engine="data", n_starts=1, max_iter=2).fit(X[:500], y[:500])
before = peak()
RFLAFRegressor(300, 17, engine="data", random_state=0, n_starts=1, max_iter=5).fit(X, y)
print(peak() - before)
"""
_IMPORT = """
import sys, time
begun = time.perf_counter()
from equipoise.systems.rflaf import RFLAFRegressor
assert "torch" not in sys.modules
print(time.perf_counter() - begun)
"""
_CHECK = """
import sys, time, warnings
from sklearn.utils.estimator_checks import check_estimator
from equipoise.systems import rflaf
warnings.simplefilter("ignore")
begun = time.perf_counter()
check_estimator(getattr(rflaf, sys.argv[1])())
print(time.perf_counter() - begun)
"""


def _alone(code: str, *arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def limits() -> dict[str, Any]:
    """Measure peak memory of a large fit, import time, scikit-learn's checks, and two workers."""
    from equipoise.systems.rflaf import RFLAFRegressor, fit_shards

    X, y, _, _ = table(24_000)
    shards = [(X[k::8], y[k::8]) for k in range(8)]

    def fit(jobs: int) -> Any:
        model = RFLAFRegressor(100, N, random_state=0, n_starts=1, max_iter=5).calibrate(X[:2000])
        return fit_shards(model, shards, n_jobs=jobs)

    fit(2)  # the workers are started once
    one, _ = timed(lambda: fit(1), 3)
    two, _ = timed(lambda: fit(2), 3)
    return {
        "memory_bytes": _alone(_MEMORY),
        "import_seconds": statistics.median(_alone(_IMPORT) for _ in range(5)),
        "check_seconds": {
            name: _alone(_CHECK, name)
            for name in ("RFLAFRegressor", "RFLAFClassifier", "RFLAFTransformer")
        },
        "two_workers": one / two,
    }


def _verb(*arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "equipoise", "rflaf", *arguments, "--json"]
        command += ["--out", str(Path(folder) / "run")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def sets() -> dict[str, Any]:
    """Score the model and its baselines on eight sets over ten splits."""
    models = "rbf_sampler,nystroem,relu,cos,tanh,trees,mlp"
    found = _verb("evaluate", "--preset", "small", "--seeds", "10", "--models", models)
    return {name: found[name] for name in ("rows", "paired", "seconds")}


def coverage() -> dict[str, Any]:
    """Measure how often 90 % intervals hold new targets: 20 splits of three sets, M 100."""
    from equipoise.systems.rflaf import RFLAFRegressor, load_dataset
    from equipoise.systems.rflaf.training import split

    found: dict[str, Any] = {}
    for name in ("diabetes", "friedman1", "single_index"):
        data = load_dataset(name)
        shares: dict[str, list[float]] = {"bayes": [], "jackknife": [], "conformal": []}
        for seed in range(20):
            train, test = split(data.y, data.task, 0.2, seed)
            kept, apart = train[len(train) // 4 :], train[: len(train) // 4]
            y = data.y[test]
            for method in shares:
                rows = kept if method == "conformal" else train
                model = RFLAFRegressor(100, random_state=seed).fit(data.X[rows], data.y[rows])
                if method == "conformal":
                    model.conformalize(data.X[apart], data.y[apart])
                band = model.predict_interval(data.X[test], 0.9, method)
                shares[method].append(float(((band.low <= y) & (y <= band.high)).mean()))
        found[name] = {method: float(np.mean(values)) for method, values in shares.items()}
    return found


def compression() -> dict[str, Any]:
    """Measure the share of the score lost by a fifth of the units, five splits of two sets."""
    found = _verb("reproduce", "--table", "leverage", "--compare-components", "300", "--seeds", "5")
    return {"rows": found["rows"]}


def streaming() -> dict[str, Any]:
    """Train on all flights, 20,000 rows at a time, and follow the memory over the chunks."""
    import psutil

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "equipoise", "rflaf", "train", "flights"]
        command += ["--stream", "20000", "--json", "--out", str(out)]
        begun = time.perf_counter()
        with psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            peaks: dict[int, int] = {}
            while child.poll() is None:
                log = out / "metrics.jsonl"
                done = len(log.read_text().splitlines()) if log.exists() else 0
                with contextlib.suppress(psutil.NoSuchProcess):
                    peaks[done] = max(peaks.get(done, 0), child.memory_info().rss)
                time.sleep(0.2)
            found = json.loads(child.stdout.read().splitlines()[-1])
        seconds = time.perf_counter() - begun
    return {
        "rows": found["n_samples"],
        "chunks": max(peaks),
        "seconds": seconds,
        "peak_bytes": {str(chunk): peak for chunk, peak in peaks.items()},
        "r2": found["test_score"],
        "baselines": found["baselines"],
    }


_COST_BASE = {"rows": 4000, "units": 100, "functions": 17}


def cost() -> dict[str, Any]:
    """Time short fits over rows, units and functions, each alone, and draw them."""
    from equipoise.systems.rflaf import RFLAFRegressor

    swept = {
        "rows": [2000, 4000, 8000, 16_000],
        "units": [50, 100, 200, 400],
        "functions": [9, 17, 33, 65],
    }
    X, y, _, _ = table(16_000)
    found: dict[str, Any] = {}
    for what, values in swept.items():
        seconds = []
        for value in values:
            at = _COST_BASE | {what: value}
            model = RFLAFRegressor(
                at["units"], at["functions"], n_starts=1, max_iter=10, engine="data", random_state=0
            )
            n = at["rows"]
            seconds.append(timed(lambda model=model, n=n: model.fit(X[:n], y[:n]), 3)[0])
        found[what] = {"values": values, "seconds": seconds}
    draw_cost(found)
    return found


def draw_cost(found: dict[str, Any]) -> None:
    """Draw seconds over size, each size in multiples of one base."""
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    from equipoise.core.files import write_atomic
    from equipoise.report.figures import figure_svg, new_figure

    figure, axes = new_figure()
    for what, part in found.items():
        times = [value / _COST_BASE[what] for value in part["values"]]
        axes.loglog(times, part["seconds"], marker="o", label=what)
    axes.set_xticks([0.5, 1, 2, 4])
    axes.set_yticks([0.5, 1, 2, 4, 8])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("times 4,000 rows, 100 units, 17 functions")
    axes.set_ylabel("seconds of a fit")
    axes.legend(frameon=False)
    text = figure_svg(figure, "rflaf-cost", "Seconds of a fit over rows, units and functions")
    write_atomic(RESULTS / "rflaf-cost.svg", text)


def synthetic() -> dict[str, Any]:
    """Reproduce the paper's synthetic sets at the size of the preset small."""
    return {"rows": _verb("reproduce", "--table", "synthetic", "--preset", "small")["rows"]}


PARTS = {
    "fit": fit,
    "fit_large": fit_large,
    "solvers": solvers,
    "predict": predict,
    "sums": sums,
    "limits": limits,
    "coverage": coverage,
    "compression": compression,
    "streaming": streaming,
    "cost": cost,
    "sets": sets,
    "synthetic": synthetic,
}


def _fit_lines(part: dict[str, Any]) -> list[Line]:
    return [
        line(
            "rflaf: fit of 20,000 x 20 rows (M 300, N 17)",
            f"{part['ratio']:.2f} x, R2 {part['r2']:.3f}",
            f"search over RBFSampler + Ridge: {part['search_seconds']:.1f} s, R2 "
            f"{part['search_r2']:.3f}",
            "7 gammas x 5 folds; goal: at most 1 x",
        )
    ]


def _large_lines(part: dict[str, Any]) -> list[Line]:
    return [
        line(
            "rflaf: fit of 200,000 rows, activation from 5,000",
            f"{part['ratio']:.1f} x, R2 {part['r2']:.3f}",
            f"one RBFSampler + Ridge: {part['plain_seconds']:.1f} s, R2 {part['plain_r2']:.3f}",
            "goal: at most 4 x",
        )
    ]


def _solver_lines(part: dict[str, Any]) -> list[Line]:
    best = min(part["varpro"], key=lambda one: one["mse"])
    speed = "not reached" if part["speedup"] is None else f"{part['speedup']:.2g} x as fast"
    return [
        line(
            "rflaf: to the error of the published recipe on f1",
            f"{speed}; goal: 5 x",
            f"Adam, 45 epochs: {part['adam_seconds']:.1f} s, MSE {part['adam_mse']:.1e}",
            f"variable projection ends at MSE {best['mse']:.1e} after {best['seconds']:.1f} s",
        )
    ]


def _predict_lines(part: dict[str, Any]) -> list[Line]:
    return [
        line(
            "rflaf: prediction by table",
            f"{part['n17']['ratio_to_peer']:.2f} x RBFSampler and a dot product",
            f"dense: {part['n65']['dense_over_table']:.0f} x slower at N 65, "
            f"{part['n401']['dense_over_table']:.0f} x at N 401",
            "goals: 1.5 x; 8 x and 20 x",
        )
    ]


def _sum_lines(part: dict[str, Any]) -> list[Line]:
    share = part["sizes"][-1]["share_of_product"]
    return [
        line(
            "rflaf: lifted sums (M 100, N 17)",
            f"{share:.0%} of the speed of one BLAS product",
            "goal: 40 %",
            f"time for 4 x the rows: {4 * part['linear']:.1f} x; the same memory",
        )
    ]


def _limit_lines(part: dict[str, Any]) -> list[Line]:
    checks = max(part["check_seconds"].values())
    return [
        line(
            "rflaf: peak memory of a fit of 200,000 rows by the data engine",
            f"{part['memory_bytes'] / 2**20:.0f} MiB",
            "goal: 512 MiB beside the rows",
            f"import {part['import_seconds']:.2f} s; slowest check_estimator {checks:.0f} s; two "
            f"workers {part['two_workers']:.2f} x one",
        )
    ]


def _set_lines(part: dict[str, Any]) -> list[Line]:
    count = {v: sum(r["verdict"] == v for r in part["paired"]) for v in ("better", "tie", "worse")}
    return [
        line(
            "rflaf: test score against a tuned RBFSampler of as many units, 8 data sets",
            f"better on {count['better']}, tie on {count['tie']}, worse on {count['worse']}",
            "goal: better on 6",
            "10 splits, 95 % interval of the paired difference",
        )
    ]


def _coverage_lines(part: dict[str, Any]) -> list[Line]:
    means = {m: [sets[m] for sets in part.values()] for m in ("bayes", "jackknife", "conformal")}
    words = ", ".join(f"{m} {min(v):.1%} to {max(v):.1%}" for m, v in means.items())
    return [
        line("rflaf: coverage of 90 % intervals", words, "goal: 88 to 92 %", "20 splits, 3 sets")
    ]


def _compression_lines(part: dict[str, Any]) -> list[Line]:
    words = {
        way: ", ".join(
            f"{row['data']} {row['measured']:.1%}"
            for row in part["rows"]
            if row["model"].endswith(way)
        )
        for way in ("eliminate", "leverage")
    }
    return [
        line(
            "rflaf: score lost by compressing 300 units to 60",
            words["eliminate"],
            f"drawn by leverage, as published: {words['leverage']}",
            "5 splits; goal: at most 5 %",
        )
    ]


def _streaming_lines(part: dict[str, Any]) -> list[Line]:
    early = max(peak for chunk, peak in part["peak_bytes"].items() if 1 <= int(chunk) <= 4)
    late = max(peak for chunk, peak in part["peak_bytes"].items() if int(chunk) > 4)
    best = max(part["baselines"], key=part["baselines"].get)
    return [
        line(
            f"rflaf: all flights, {part['rows']:,} rows in chunks of 20,000",
            f"{part['seconds']:.0f} s, R2 {part['r2']:.3f}",
            f"{best}, fitted on the first chunk: {part['baselines'][best]:.3f}",
            f"most memory in chunks 1 to 4: {early / 2**20:.0f} MiB, after them: "
            f"{late / 2**20:.0f} MiB",
        )
    ]


def _cost_lines(part: dict[str, Any]) -> list[Line]:
    words = ", ".join(
        f"8 x the {what}: {p['seconds'][-1] / p['seconds'][0]:.1f} x" for what, p in part.items()
    )
    return [line("rflaf: time of a fit (10 iterations) as its size grows", words)]


def _synthetic_lines(part: dict[str, Any]) -> list[Line]:
    rows = {(row["data"], row["model"]): row for row in part["rows"]}
    kinds = [kind for kind in ("f1", "f2", "f3") if (kind, "RFLAF") in rows]
    own = ", ".join(f"{rows[kind, 'RFLAF']['measured']:.1e}" for kind in kinds)
    published = ", ".join(f"{rows[kind, 'RFLAF']['published']:.1e}" for kind in kinds)
    return [
        line(
            f"rflaf: test MSE on {', '.join(kinds)} (n 15,000, M 200, N 41)",
            own,
            f"published best epoch (M 1000, N 401): {published}",
            "ours never sees the test rows",
        )
    ]


LINES = {
    "fit": _fit_lines,
    "fit_large": _large_lines,
    "solvers": _solver_lines,
    "predict": _predict_lines,
    "sums": _sum_lines,
    "limits": _limit_lines,
    "coverage": _coverage_lines,
    "compression": _compression_lines,
    "streaming": _streaming_lines,
    "cost": _cost_lines,
    "sets": _set_lines,
    "synthetic": _synthetic_lines,
}

if __name__ == "__main__":
    measure_parts("rflaf", PARTS, LINES, str(__doc__))
