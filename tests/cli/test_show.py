"""Results as people see them: tables that fit the terminal, with what was left out named."""

import pytest

from equipoise.cli.show import show

ROWS = [
    {
        "data": f"set {k}",
        "model": "a learnt activation with a long name" if k else "ridge",
        "score": 0.123456 * k,
        "low": -1234.5678,
        "note": None,
    }
    for k in range(3)
]


@pytest.fixture
def printed(monkeypatch, capsys):
    def run(result, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        show(result)
        return capsys.readouterr().out

    return run


def test_a_wide_terminal_gets_every_column(printed):
    out = printed({"rows": ROWS, "run": "runs/x"}, 120)
    assert "not shown" not in out
    assert "-1235" in out
    assert out.splitlines()[-1] == "run  runs/x"
    assert sum("a learnt activation with a long name" in line for line in out.splitlines()) == 2


def test_numbers_are_never_broken_and_what_does_not_fit_is_named(printed):
    out = printed({"rows": ROWS}, 36)
    assert "0.1235" in out
    assert "not shown: low, note (--json has all)" in out
    assert all(len(line) <= 36 for line in out.splitlines() if "not shown" not in line)


def test_a_table_shown_whole_leaves_nothing_out(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "44")
    show({"rows": ROWS * 20}, whole=True)
    out = capsys.readouterr().out
    assert "not shown" not in out
    assert "more (" not in out
    assert sum("ridge" in line for line in out.splitlines()) == 20


def test_a_very_narrow_terminal_keeps_the_first_column(printed):
    out = printed({"rows": [{"some long heading": "x", "b": 1}]}, 10)
    assert "not shown: b" in out


def test_many_rows_are_cut_with_their_number(printed):
    out = printed({"rows": [{"k": k} for k in range(55)]}, 80)
    assert "... and 15 more (--json has all)" in out
    assert "39" in out.split()
    assert "40" not in out.split()
