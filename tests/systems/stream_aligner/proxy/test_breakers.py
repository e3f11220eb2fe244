"""When a breaker opens, how long it stays open, and who may try again; with a clock that is set."""

from hypothesis import given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner.proxy.breakers import Breaker


def failed(times, now):
    breaker = Breaker(clock=lambda: now[0])
    for _ in range(times):
        breaker.failed()
    return breaker


def test_five_failures_in_a_row_open_it_for_ten_seconds():
    now = [100.0]
    assert failed(4, now).closed_in() == 0
    breaker, left = failed(5, now), []
    for now[0] in (100.0, 104.0, 109.5, 110.0):
        left.append(breaker.closed_in())
    assert left == [10.0, 6.0, 0.5, 0.0], "looking does not prolong it"


def test_a_trial_without_a_result_is_followed_by_another():
    now, allowed = [0.0], []
    breaker = failed(5, now)
    for second in range(35):
        now[0] = float(second)
        if breaker.closed_in() == 0:
            allowed.append(second)
    assert allowed == [10, 20, 30]


@given(st.lists(st.sampled_from(["fail", "fail", "succeed", "ask", 1, 4, 10]), max_size=60))
def test_while_open_it_lets_one_try_in_ten_seconds_and_while_closed_all(events):
    now = [0]
    breaker = Breaker(clock=lambda: now[0])
    failures, quiet_since = 0, 0
    for event in events:
        match event:
            case int():
                now[0] += event
            case "fail":
                breaker.failed()
                failures, quiet_since = failures + 1, now[0]
            case "succeed":
                breaker.succeeded()
                failures = 0
            case _:
                expected = 0 if failures < 5 else max(0, quiet_since + 10 - now[0])
                assert breaker.closed_in() == expected
                if expected == 0:
                    quiet_since = now[0]
