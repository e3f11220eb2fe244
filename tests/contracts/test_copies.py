"""Copied lines stay at 3 % of the package or less."""

from benchmarks.structure import WINDOW, copied_share


def test_copied_lines_are_at_most_three_percent(root):
    share, files = copied_share(root / "src")
    assert share <= 0.03, f"{share:.1%} copied; look at {files}"


def test_the_counter_sees_a_copy(tmp_path):
    block = "\n".join(f"value_{i} = compute({i})" for i in range(WINDOW))
    (tmp_path / "a.py").write_text(f"import os\n{block}\n")
    (tmp_path / "b.py").write_text(f"# a comment\n{block}\nlast = 1\n")
    share, files = copied_share(tmp_path)
    assert share == 2 * WINDOW / (2 * WINDOW + 1)
    assert files == ["a.py", "b.py"]


def test_the_counter_leaves_distinct_code_alone(tmp_path):
    (tmp_path / "a.py").write_text("\n".join(f"a_{i} = {i}" for i in range(30)))
    (tmp_path / "b.py").write_text("\n".join(f"b_{i} = {i}" for i in range(30)))
    assert copied_share(tmp_path) == (0.0, [])
