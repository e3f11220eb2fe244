"""The command line as a whole: exit codes, one-line errors, --json, --debug, pipes, Ctrl-C."""

import json
import subprocess
import sys

import pytest

import equipoise
from equipoise.cli import dispatch, nested
from equipoise.core.errors import InvalidInput


def last_json(text: str):
    return json.loads(text.rstrip("\n").splitlines()[-1])


def test_version_and_help(call):
    assert call("--version").out.strip() == equipoise.__version__
    shown = call("--help")
    assert (shown.code, shown.err) == (0, "")
    for word in ("tour", "studio", "doctor", "cite", "runs", "models", "data", "toy-room", "A toy"):
        assert word in shown.out
    assert call().out == shown.out


def test_help_of_rooms_groups_and_verbs_imports_no_verb(call):
    room = call("toy-room", "--help")
    assert "Train a toy." in room.out
    assert "Fail in one of several ways." in room.out
    assert "equipoise.systems.toy_room.commands" not in sys.modules
    assert call("toy-room").out == room.out
    assert "List the runs, newest first." in call("runs").out
    verb = call("toy-room", "train", "--help")
    assert "of nothing." in verb.out
    assert "--seed" in verb.out
    assert verb.code == 0


def test_help_of_a_verb_lists_the_configuration_fields_it_takes(call):
    lines = [line.split() for line in call("toy-room", "train", "--help").out.splitlines()]
    assert ["option", "type", "tiny", "small"] in lines
    assert ["--steps", "int", "3", "5"] in lines
    assert ["--inner.rate", "float", "0.5", "0.5"] in lines
    assert ["--inner.more-rate", "float", "0", "0"] in lines
    assert "Configuration fields" not in call("toy-room", "say", "--help").out
    assert "Configuration fields" not in call("toy-room", "--help").out
    assert "Configuration fields" not in call("--help").out


def test_a_verb_for_people(call):
    done = call("toy-room", "say", "a", "b", "--loud")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["words  a, b", "loud   yes", "nan    nan", "where  x"]


@pytest.mark.parametrize(
    "line",
    [
        ["--json", "toy-room", "say", "a"],
        ["toy-room", "--json", "say", "a"],
        ["toy-room", "say", "a", "--json"],
    ],
)
def test_json_is_one_strict_object_wherever_it_stands(line, call):
    done = call(*line)
    assert done.out.count("\n") == 1
    data = json.loads(done.out, parse_constant=lambda text: pytest.fail(text))
    assert data == {"words": ["a"], "loud": False, "nan": "NaN", "where": "x"}


def test_options_become_configuration_fields(call):
    done = call("toy-room", "train", "--steps", "4", "--inner.rate", "2", "--json")
    data = last_json(done.out)
    assert (done.code, data["steps"], data["loss"]) == (0, 4, 0.5)
    assert last_json(call("toy-room", "train", "--preset=small", "--json").out)["steps"] == 5
    for option in ("--inner.more-rate", "--inner.more_rate"):
        assert last_json(call("toy-room", "train", option, "1", "--json").out)["loss"] == 0.5
    assert nested("--inner.rate=0.5") == "--inner__rate=0.5"
    assert nested("0.5") == "0.5"


def test_a_run_gets_its_report(call, toy_room):
    done = call("toy-room", "train", "--out", "here")
    assert done.code == 0
    assert "run: here" in done.err.splitlines()
    assert (toy_room / "here" / "report.html").stat().st_size > 1000
    assert done.out.splitlines()[-1].split() == ["steps", "3"]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("toy-rom train", 2, "unknown command or room 'toy-rom': did you mean 'toy-room'? Valid"),
        ("dcotor", 2, "unknown command or room 'dcotor': did you mean 'doctor'? Valid: tour, stu"),
        ("qqqqq", 2, "unknown command or room 'qqqqq'. Valid: tour, "),
        ("toy-room tran", 2, "unknown verb of toy-room 'tran': did you mean 'train'? Valid: train"),
        ("runs lst --json", 2, "unknown verb of runs 'lst': did you mean 'list'? Valid: list, sh"),
        ("models pul", 2, "unknown verb of models 'pul': did you mean 'pull'?"),
        ("mpo solve", 2, "room 'mpo' (Magnetic Preference"),
        ("mpo", 2, "room 'mpo' (Magnetic Preference"),
        ("h_psro solve", 2, "room 'h-psro' (Computing Ex Ante Equilibrium"),
        ("h-psr", 2, "unknown room 'h-psr'; the nearest, room 'h-psro' (Computing Ex Ante"),
        ("toy-room train --steps x", 2, "field 'steps' got 'x'; it must be a whole number"),
        ("toy-room train --stepps 3", 2, "unknown field 'stepps': did you mean 'steps'? Valid:"),
        ("toy-room train --sed 3", 2, "unknown option '--sed': did you mean '--seed'? Valid: --"),
        ("toy-room train --rate 3", 2, "unknown field 'rate': did you mean 'inner.rate'?"),
        ("toy-room train --preset tinny", 2, "unknown preset 'tinny': did you mean 'tiny'?"),
        ("toy-room train --seed x", 2, 'Invalid value for --seed: unable to convert "x" into int.'),
        ("toy-room say --lod", 2, "Unknown option: --lod. Did you mean --loud?"),
        ("toy-room fail", 2, 'Command "toy-room fail" parameter --kind requires an argument.'),
        ("toy-room fail InvalidInput", 2, "what was given, what to do"),
        ("toy-room fail MissingData", 1, "what was given, what to do"),
        ("toy-room fail MissingExtra", 1, "what was given, what to do"),
        ("toy-room fail RunFailed", 1, "what was given, what to do"),
        ("toy-room fail bug", 1, "KeyError: 'two\\nlines' (--debug shows where)"),
        ("toy-room fail silent", 1, "RuntimeError: RuntimeError (--debug shows where)"),
        ("models pull smol", 2, "unknown model 'smol': did you mean 'smollm2-135m'? Valid: all-mi"),
        ("models pull flights", 2, "unknown model 'flights'"),
        ("data pull flihgts", 2, "unknown data set 'flihgts': did you mean 'flights'?"),
        ("models pull", 2, "name at least one to pull: all-minilm-l6-v2, "),
        ("models verify smollm2-135m", 1, "smollm2-135m is not on this machine; run: equipoise mo"),
        ("models pull smollm2-135m", 1, "cannot fetch smollm2-135m: the package index was not re"),
        ("runs show absent", 1, "no run 'absent' here; `equipoise runs list` shows all"),
        ("runs list --status dne", 2, "unknown status 'dne': did you mean 'done'? Valid: running"),
        ("runs list --room toyroom", 2, "unknown room 'toyroom': did you mean 'toy-room'? Valid:"),
        ("cite toyroom", 2, "unknown room 'toyroom': did you mean 'toy-room'? Valid: "),
        ("cite", 2, "name a room or a run folder to cite, e.g. equipoise cite libra"),
        ("toy-room train --device cpuu", 2, "unknown device 'cpuu': did you mean 'cpu'? Valid: au"),
        ("toy-room train --device=cuda", 2, "toy-room train computes on the CPU; it has no use fo"),
        ("toy-room train --device", 2, "unknown device ''. Valid: auto, cpu, cuda, mps"),
        ("completion bsh", 2, 'Invalid value "bsh" for SHELL.'),
        ("doctor extra", 2, "Unused Tokens: ['extra']"),
    ],
)
def test_wrong_lines_get_one_line_and_a_code(line, code, message, call):
    done = call(*line.split())
    assert done.code == code
    assert done.out == ""
    lines = [text for text in done.err.splitlines() if not text.startswith("fetching ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"equipoise: {message}")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("device", ["--device cpu", "--device=auto"])
def test_a_verb_that_runs_no_model_takes_the_devices_it_computes_on(device, call):
    done = call(*f"toy-room train {device} --steps 2 --json".split())
    assert (done.code, json.loads(done.out)["steps"]) == (0, 2)


def test_debug_shows_the_traceback(call):
    for line in ("toy-room fail bug --debug", "--debug toy-room fail RunFailed", "qqq --debug"):
        done = call(*line.split())
        assert "Traceback (most recent call last)" in done.err
        assert done.err.splitlines()[-1].startswith("equipoise: ")
        assert done.code == (2 if "qqq" in line else 1)


def test_ctrl_c_is_130_and_says_how_to_go_on(call):
    done = call("toy-room", "fail", "interrupt")
    assert (done.code, done.out) == (130, "")
    assert done.err == (
        "interrupted; the same line goes on in its --out, `equipoise runs resume` with a run\n"
    )


def test_a_broken_room_gets_one_line_too(call, toy_room):
    (toy_room.parent / "systems" / "toy_room" / "commands.py").write_text("import no_such_part\n")
    done = call("toy-room", "train")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "(--debug shows where)" in done.err


def test_dispatch_returns_the_result_and_lets_errors_through(toy_room):
    assert dispatch(["toy-room", "say", "a"])["words"] == ["a"]
    with pytest.raises(InvalidInput, match="what was given"):
        dispatch(["toy-room", "fail", "InvalidInput"])


def test_python_dash_m(toy_room):
    command = [sys.executable, "-m", "equipoise", "cite", "mpo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "@inproceedings{wang2025mpo" in json.loads(done.stdout)["bibtex"]
    wrong = subprocess.run([*command[:3], "citt"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("equipoise: unknown command or room 'citt': did you mean 'cite'")


@pytest.mark.parametrize("line", [["models", "list", "--json"], ["models", "list"], ["--help"]])
def test_a_reader_that_goes_away_is_no_traceback(line, spawn):
    process = spawn(*line)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
