"""An absent optional dependency names the line that installs it."""

import sys
import tomllib

import pytest

from equipoise.core.errors import MissingExtra
from equipoise.core.extras import EXTRAS, require

CASES = [(name, module) for name, extra in EXTRAS.items() for module in extra.modules]


def test_extras_are_those_of_the_project_file(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all"}
    everything = project["optional-dependencies"]["all"]
    assert everything == [f"equipoise[{','.join(EXTRAS)}]"]


@pytest.mark.parametrize(("extra", "module"), CASES)
def test_missing_module_names_the_install_line(extra, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'equipoise\[{extra}\]'") as caught:
        require(module, extra)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("module", "spec"),
    [
        ("xllamacpp", "llamacpp:smollm2-135m"),
        ("transformers", "transformers:smollm2-135m"),
        ("httpx2", "openai:http://127.0.0.1:9/v1#m"),
    ],
)
def test_back_ends_name_their_extra(module, spec, monkeypatch, smollm2):
    from equipoise.text import load_backend

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"equipoise\[text\]"):
        load_backend(spec)


def test_the_studio_names_its_extra(monkeypatch):
    from equipoise.web import create_app

    for module in ("fastapi", "starlette", "uvicorn", "jinja2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"equipoise\[web\]"):
        create_app("runs")
