"""First lines of verbs' docstrings, read from their source: help that imports nothing."""

import ast
import importlib.util
from pathlib import Path


def summary(target: str) -> str:
    """Return the first paragraph of the docstring of `"module:function"`, or nothing.

    >>> summary("equipoise.cli.doctor:doctor")
    'Look at this machine and this installation.'
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return ""
