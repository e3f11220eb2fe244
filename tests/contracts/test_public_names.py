"""Public names are sorted, documented, and their examples run."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import equipoise

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(equipoise.__path__, "equipoise.")
    if not info.name.endswith("__main__")
)
PACKAGES = sorted(
    name
    for name in ["equipoise", *MODULES]
    if hasattr(importlib.import_module(name), "__path__")
    and getattr(importlib.import_module(name), "__all__", None)
)


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_sorted_and_there(name):
    package = importlib.import_module(name)
    names = list(package.__all__)
    assert names == sorted(set(names)), f"{name}.__all__ is not sorted"
    for public in names:
        assert hasattr(package, public), f"{name} lists {public} and has none"


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_documented(name):
    package = importlib.import_module(name)
    bare = [
        public
        for public in package.__all__
        if (inspect.isclass(thing := getattr(package, public)) or inspect.isfunction(thing))
        and not _documented(thing)
    ]
    assert not bare, f"{name}: no docstring on {bare}"


def _documented(thing: object) -> bool:
    text = inspect.getdoc(thing) or ""
    # dataclasses without a docstring get their signature as one
    return bool(text.strip()) and not text.startswith(f"{getattr(thing, '__name__', '')}(")


@pytest.mark.parametrize("name", MODULES)
def test_module_has_a_docstring_and_its_examples_pass(name):
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0
