"""`equipoise doctor`, `cite`, `completion`, `studio`, and how results are shown to people."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from equipoise.cli import doctor as doctor_module
from equipoise.cli.show import show
from equipoise.cli.summaries import summary
from equipoise.core.extras import EXTRAS
from equipoise.core.runs import Run


def data(done):
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def test_doctor_keys(call, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = data(call("doctor", "--json"))
    assert {"python", "platform", "extras", "threads", "memory_bytes", "renderers"} <= set(found)
    assert set(found["extras"]) == set(EXTRAS)
    for name, extra in found["extras"].items():
        assert {"present", "missing", "enables"} <= set(extra)
        assert set(extra["present"]) | set(extra["missing"]) == set(EXTRAS[name].modules)
        assert ("install" in extra) == bool(extra["missing"])
    assert found["threads"] == 3
    assert found["memory_bytes"] > 2**28
    assert {"egl", "osmesa", "ffmpeg", "chromium"} <= set(found["renderers"])
    assert found["models"] == []
    assert call("doctor").code == 0


def test_doctor_says_how_to_get_what_is_missing(call, monkeypatch):
    monkeypatch.setattr(doctor_module, "is_present", lambda name: name != "peft")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = data(call("doctor", "--json"))
    text = found["extras"]["text"]
    assert (text["missing"], text["install"]) == (["peft"], "pip install 'equipoise[text]'")
    assert "install" not in found["extras"]["web"]
    assert found["threads"] >= 1


@pytest.mark.parametrize("name", ["mpo", "h-psro", "h_psro", "toy-room", "toy_room"])
def test_cite_a_room_built_or_planned(name, call):
    entry = data(call("cite", name, "--json"))["bibtex"]
    assert entry.startswith("@")
    assert entry.endswith("}\n")
    assert call("cite", name).out == entry


def test_cite_a_run_and_several_rooms_once(call):
    run = Run.create("toy_room", "train", None, folder="here")
    run.finish({})
    done = call("cite", "here", "toy-room", "mpo", "--json")
    entries = data(done)["bibtex"]
    assert entries.count("@misc{toy") == 1
    assert entries.count("@") == 2
    assert "toy-room: a toy, reconstructed" in done.err


@pytest.mark.parametrize(("shell", "checker"), [("bash", "bash"), ("zsh", None), ("fish", None)])
def test_completion_scripts(shell, checker, call, tmp_path):
    done = call("completion", shell)
    assert done.code == 0
    assert "equipoise" in done.out
    assert "toy-room" in done.out
    assert "train" in done.out
    assert data(call("completion", shell, "--json"))["script"].strip() == done.out.strip()
    if checker:
        (tmp_path / "script").write_text(done.out)
        subprocess.run([checker, "-n", str(tmp_path / "script")], check=True)


def test_studio_hands_its_options_on(call, monkeypatch):
    asked = {}
    web = SimpleNamespace(serve_studio=lambda **options: asked.update(options))
    monkeypatch.setitem(sys.modules, "equipoise.web", web)
    assert call("studio", "--port", "0", "--runs", "elsewhere", "--open").code == 0
    assert (asked["port"], str(asked["runs_root"]), asked["open_browser"]) == (0, "elsewhere", True)
    assert (asked["host"], asked["token_env"]) == ("127.0.0.1", "EQUIPOISE_TOKEN")


def test_summary_reads_the_first_paragraph():
    assert summary("equipoise.cli.runs:list_") == "List the runs, newest first."
    assert summary("equipoise.cli.runs:absent") == ""
    assert summary("equipoise.cli.no_such_module:x") == ""


def test_show_of_text_values_tables_and_nesting(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show("plain [bold]text[/bold]")
    assert capsys.readouterr().out == "plain [bold]text[/bold]\n"
    show({"bibtex": "@misc{a,\n}\n\n"})
    assert capsys.readouterr().out == "@misc{a,\n}\n"
    show(
        {
            "score": 0.123456,
            "ok": True,
            "none": None,
            "empty": [],
            "many": [1, 2.5, "a"],
            "markup": "[red]x[/red]",
            "digest": "0123456789ab" + "c" * 52,
            "nested": {"a": 1, "longer": {"b": 2}},
            "nothing": {},
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "score    0.1235",
        "ok       yes",
        "none     -",
        "empty    -",
        "many     1, 2.5, a",
        "markup   [red]x[/red]",
        "digest   0123456789ab\u2026",
        "nested:",
        "  a       1",
        "  longer  b 2",
        "nothing  -",
    ]


def test_show_of_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show({"rows": [{"name": "a", "n": 1}, {"name": "b", "n": None, "more": "x"}], "total": 2})
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "rows"
    assert any(line.split() == ["name", "n", "more"] for line in lines)
    assert any(line.split() == ["b", "-", "x"] for line in lines)
    assert lines[-1] == "total  2"
    show({"rows": [{"n": n} for n in range(45)]})
    assert "... and 5 more (--json has all)" in capsys.readouterr().out


def test_cite_of_a_tour_names_every_room_that_took_part(tmp_path):
    from equipoise.cli.cite import cite
    from equipoise.core.rooms import rooms
    from equipoise.core.runs import Run

    run = Run.create("tour", "tour", {}, folder=tmp_path / "run")
    entries = cite(str(run.path))["bibtex"]
    assert all(room.bibtex.strip() in entries for room in rooms().values())
