"""The thread limit: what is set, else the usable cores."""

import os

import pytest

from equipoise.core.threads import thread_limit


def test_the_limit_that_is_set_counts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_limit() == 3


@pytest.mark.parametrize("text", ["", "0", "-2", "many"])
def test_anything_else_means_the_usable_cores(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert thread_limit() == len(os.sched_getaffinity(0))
