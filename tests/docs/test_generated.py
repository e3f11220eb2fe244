"""What documents take from the code and from committed results is up to date; their code runs."""

import re
from pathlib import Path

import pytest

from docs.generate import fill, pages, table

ROOT = Path(__file__).resolve().parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


def test_generated_pages_are_up_to_date():
    stale = [
        str(path.relative_to(ROOT))
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {stale}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_documents_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in PYTHON.findall(path.read_text(encoding="utf-8")):
        space: dict[str, object] = {"__name__": "document"}
        exec(compile(code, str(path), "exec"), space)
        assert space


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"


def test_fill_replaces_only_what_stands_between_its_markers():
    text = "a <!-- begin x -->old<!-- end x --> b"
    assert fill(text, "x", "new") == "a <!-- begin x -->\nnew\n<!-- end x --> b"
    with pytest.raises(SystemExit):
        fill(text, "y", "new")


def test_table_has_a_line_for_each_row():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
