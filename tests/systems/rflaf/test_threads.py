"""BLAS has one thread while small systems are solved, and its own number again afterwards."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from equipoise.systems.rflaf.threads import SMALL, one_blas_thread


def blas() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_small_systems_only():
    with one_blas_thread(SMALL):
        assert blas() == {1}
    assert blas() == {2}
    with one_blas_thread(SMALL + 1):
        assert blas() == {2}


def test_fits_in_other_threads_leave_the_process_as_it_is():
    seen = []

    def fit():
        with one_blas_thread(1):
            seen.append(blas())

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join(10)
    assert seen == [{2}]
    assert blas() == {2}


def test_an_error_takes_the_limit_back():
    with pytest.raises(ValueError, match="x"), one_blas_thread(1):
        raise ValueError("x")
    assert blas() == {2}
