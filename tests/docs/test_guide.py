"""The guide's room is real: in a copy of the tree it passes the contracts, and goes again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(root: Path) -> dict[str, str]:
    return dict(BLOCK.findall((root / "docs" / "adding-a-room.md").read_text(encoding="utf-8")))


def run_tests(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture
def tree(root, tmp_path):
    """A copy of what the contracts look at."""
    for name in ("src", "tests/contracts", "benchmarks", "docs"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, tmp_path / name, ignore=ignore)
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(root / name, tmp_path / name)
    for room in (root / "src" / "equipoise" / "systems").iterdir():
        if room.is_dir():
            (tmp_path / "tests" / "systems" / room.name).mkdir(parents=True, exist_ok=True)
    return tmp_path


def test_the_guide_holds_a_whole_room(root):
    names = {Path(name).name for name in blocks(root)}
    assert {"__init__.py", "config.py", "objective.py", "commands.py", "README.md"} <= names
    assert [f"## {n}. " in (root / "docs" / "adding-a-room.md").read_text() for n in range(1, 11)]


@pytest.mark.standard
def test_the_room_of_the_guide_passes_and_leaves_no_trace(root, tree):
    for name, text in blocks(root).items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    checks = ("tests/contracts/test_rooms.py", "tests/contracts/test_public_names.py")
    chosen = run_tests(tree, *checks, "-k", "coin")
    assert chosen.returncode == 0, chosen.stdout
    assert " passed" in chosen.stdout
    own = run_tests(tree, "tests/systems/coin", "tests/contracts/test_imports.py")
    assert own.returncode == 0, own.stdout
    lint = [sys.executable, "-m", "ruff", "check", "src/equipoise/systems/coin"]
    assert subprocess.run(lint, cwd=tree, capture_output=True).returncode == 0
    listed = subprocess.run(
        [sys.executable, "-m", "equipoise", "--help"],
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
    )
    assert "coin" in listed.stdout

    for name in blocks(root):
        (tree / name).unlink()
    shutil.rmtree(tree / "src" / "equipoise" / "systems" / "coin")
    shutil.rmtree(tree / "tests" / "systems" / "coin")
    after = run_tests(tree, "tests/contracts/test_imports.py", "tests/contracts/test_copies.py")
    assert after.returncode == 0, after.stdout
