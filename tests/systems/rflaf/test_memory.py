"""The memory of a fit that keeps no statistics, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

N, D, M, BASIS = 200_000, 20, 100, 17
LIMIT = 512 * 2**20
CHILD = f"""
import re
from pathlib import Path
import numpy as np
from equipoise.systems.rflaf import RFLAFRegressor

def peak():  # of this program: getrusage also remembers the one that started it
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

def fit(X, y):
    return RFLAFRegressor({M}, {BASIS}, engine="data", random_state=0, n_starts=1).fit(X, y)

rng = np.random.default_rng(0)
fit(rng.standard_normal((3000, {D})), rng.standard_normal(3000))  # modules, threads, pools
X = rng.standard_normal(({N}, {D}))
y = np.sin(X[:, 0]) + X[:, 1]
before = peak()
model = fit(X, y)
grown = peak() - before
array = np.ones(({N}, {M}, 4))  # four of the {BASIS} basis functions at every row and unit
print(model.score(X, y), grown, X.nbytes, peak() - before)
"""


@pytest.mark.standard
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_fit_by_the_data_engine_needs_little_more_than_its_rows():
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    score, grown, rows, with_array = map(float, done.stdout.split())
    assert score > 0.9
    assert rows == 8 * N * D
    assert grown <= LIMIT + rows
    assert with_array > LIMIT + rows  # what would have been seen of a part of the n x M x N array
