"""Figures of the source tree: copied lines, import cycles, file sizes, tests to source."""

import ast
import hashlib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOW = 8


def python_files(folder: Path) -> list[Path]:
    """Return the Python files below a folder, in order."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def code_lines(path: Path) -> list[str]:
    """Return a file's lines that count: no blanks, comments, imports or lone punctuation."""
    text = path.read_text(encoding="utf-8")
    imports = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    stripped = (line.strip() for n, line in enumerate(text.splitlines(), 1) if n not in imports)
    return [line for line in stripped if any(c.isalnum() for c in line) and line[0] != "#"]


def copied_share(folder: Path) -> tuple[float, list[str]]:
    """Return the share of lines in 8-line windows that stand in two files, and those files."""
    places: dict[str, set[tuple[Path, int]]] = defaultdict(set)
    total = 0
    for path in python_files(folder):
        lines = code_lines(path)
        total += len(lines)
        for start in range(len(lines) - WINDOW + 1):
            block = "\n".join(lines[start : start + WINDOW]).encode()
            places[hashlib.sha256(block).hexdigest()].add((path, start))
    copied: set[tuple[Path, int]] = set()
    for spots in places.values():
        if len({path for path, _ in spots}) > 1:
            copied |= {(path, start + k) for path, start in spots for k in range(WINDOW)}
    names = sorted({str(path.relative_to(folder)) for path, _ in copied})
    return len(copied) / max(1, total), names


def import_cycles(package: str = "equipoise") -> list[tuple[str, ...]]:
    """Return the import cycles of the package's module graph (strongly connected modules)."""
    import grimp
    import networkx

    graph = grimp.build_graph(package, exclude_type_checking_imports=True)
    edges = networkx.DiGraph()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            edges.add_edge(module, imported)
    components = networkx.strongly_connected_components(edges)
    return sorted(tuple(sorted(c)) for c in components if len(c) > 1)


def measure() -> dict[str, float | int]:
    """Return the figures of this tree."""
    source, tests = python_files(ROOT / "src"), python_files(ROOT / "tests")
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in source]
    test_lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in tests)
    return {
        "copied_share": round(copied_share(ROOT / "src")[0], 4),
        "import_cycles": len(import_cycles()),
        "source_files": len(source),
        "source_lines": sum(sizes),
        "largest_file_lines": max(sizes),
        "median_file_lines": sorted(sizes)[len(sizes) // 2],
        "test_lines": test_lines,
        "test_to_source": round(test_lines / sum(sizes), 3),
    }
