"""Optional dependencies: what is there, and the line that installs what is not."""

import sys

import pytest

from equipoise.core.errors import MissingExtra
from equipoise.core.extras import EXTRAS, is_present, require


def test_require_returns_the_module():
    assert require("json", "text") is sys.modules["json"]
    assert require("importlib.metadata", "text").__name__ == "importlib.metadata"


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.inside"])
def test_an_absent_module_names_the_install_line(module):
    with pytest.raises(MissingExtra) as caught:
        require(module, "web")
    assert str(caught.value) == (
        "this needs no_such_module, which is not installed; run: pip install 'equipoise[web]'"
    )
    assert caught.value.name == module
    assert isinstance(caught.value, ImportError)


def test_a_fault_inside_an_installed_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "faulty_extra.py").write_text("import no_such_part\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_part") as caught:
        require("faulty_extra", "web")
    assert not isinstance(caught.value, MissingExtra)


def test_is_present():
    assert is_present("json")
    assert not is_present("no_such_module")
    assert not is_present("no_such_module.inside")
    assert not is_present("json.inside.deeper")


def test_extras_say_what_they_are_for():
    assert all(extra.modules and extra.enables for extra in EXTRAS.values())
