"""Strata, independence of rooms, light core, no cycles; what importing a package may load."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.structure import import_cycles

LIBRARIES = sorted(
    path.parent.name
    for path in (Path(__file__).parents[2] / "src" / "equipoise").glob("*/__init__.py")
)
HEAVY = ("torch", "jax", "transformers", "mujoco", "xllamacpp", "peft")


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running `code`."""
    tail = "\nimport sys; print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, env=os.environ.copy()
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_linter_contracts_hold(root):
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_no_import_is_exempt_from_the_contracts(root):
    linter = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {contract["name"] for contract in linter["contracts"]} >= {
        "strata",
        "rooms are independent",
        "light core",
        "no cycles",
    }
    assert not [c["name"] for c in linter["contracts"] if c.get("ignore_imports")]
    strata = next(c for c in linter["contracts"] if c["name"] == "strata")
    assert strata["exhaustive"] is True


def test_module_graph_has_no_cycle():
    assert import_cycles() == []


def test_import_equipoise_loads_no_numerical_library():
    loaded = loaded_by("import equipoise")
    assert not loaded & {*HEAVY, "numpy", "scipy", "matplotlib"}


def test_help_loads_no_heavy_module():
    code = (
        "import contextlib, io\nfrom equipoise.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as done:\n    assert not done.code\n"
    )
    assert not loaded_by(code) & {*HEAVY, "matplotlib", "pandas", "fastapi", "sklearn"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_importing_a_library_package_loads_nothing_heavy(library):
    assert not loaded_by(f"import equipoise.{library}") & {*HEAVY, "matplotlib", "fastapi"}
