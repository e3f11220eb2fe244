"""The command `equipoise`: one line in, one result out, errors of one line and an exit code."""

import json as jsonlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from equipoise import __version__
from equipoise.core.console import note
from equipoise.core.errors import EquipoiseError, InvalidInput, unknown_name
from equipoise.core.planned import planned
from equipoise.core.rooms import rooms

_TOP = {
    "tour": (
        "equipoise.cli.tour:tour",
        "The main job: a real model answers, is judged and ranked.",
    ),
    "studio": ("equipoise.cli.studio:studio", "The web app: rooms, runs, reports."),
    "doctor": ("equipoise.cli.doctor:doctor", "What is installed, and what each extra would add."),
    "cite": ("equipoise.cli.cite:cite", "The BibTeX of a room's paper, or of a run's."),
    "completion": ("equipoise.cli.completion:completion", "A completion script for your shell."),
}
_GROUPS = {
    "runs": (
        "Run folders: list, show, compare, resume.",
        "equipoise.cli.runs",
        ("list", "show", "compare", "resume"),
    ),
    "models": (
        "Models of the local cache.",
        "equipoise.cli.models",
        ("list", "pull", "verify", "remove"),
    ),
    "data": (
        "Data of the local cache.",
        "equipoise.cli.data",
        ("list", "pull", "verify", "remove"),
    ),
}


def build_app() -> App:
    """Return the command tree; the verbs in it are dotted strings, imported when called."""
    app = App(
        name="equipoise",
        help="Models, agents, teams and hands in balance with human intent.",
        version=__version__,
        default_parameter=Parameter(negative=(), consume_multiple=True),
    )
    for name, (target, text) in _TOP.items():
        app.command(target, name=name, help=text)
    for name, (text, module, verbs) in _GROUPS.items():
        group = App(name=name, help=text)
        for verb in verbs:
            group.command(f"{module}:{verb}_", name=verb)
        app.command(group)
    for room in rooms().values():
        sub = App(name=room.slug, help=room.title, group="Rooms")
        for verb, target in room.verbs.items():
            sub.command(target, name=verb)
        app.command(sub)

    @app.meta.default
    def launch(  # pyright: ignore[reportUnusedFunction]
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: bool = False,
        debug: bool = False,
    ) -> Any:
        """Run one verb.

        Args:
            tokens: the verb and its options.
            json: print one JSON object with the results as the last line of standard output.
            debug: show the traceback of an error.
        """
        return _run(app, tokens, as_json=json, debug=debug)

    return app


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    app = build_app()
    try:
        code = app.meta(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        code = _usage_error(arguments, error)
    sys.exit(code if isinstance(code, int) else 0)


def dispatch(tokens: Sequence[str]) -> Any:
    """Run one verb in this process and return its result; errors propagate."""
    app = build_app()
    return app(
        [nested(token) for token in tokens],
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )


def nested(token: str) -> str:
    """Spell `--field.sub` as `--field__sub`, which a verb takes as the keyword `field__sub`."""
    name, sign, value = token.partition("=")
    return name.replace(".", "__") + sign + value if name.startswith("--") else token


def _run(app: App, tokens: Sequence[str], *, as_json: bool, debug: bool) -> int:
    try:
        result = app(
            [nested(token) for token in tokens],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        _finish(result, as_json)
    except CycloptsError as error:
        if debug:
            traceback.print_exc()
        return _usage_error(list(tokens), error)
    except KeyboardInterrupt:
        note("interrupted; `equipoise runs list` shows the run, `equipoise runs resume` goes on")
        return 130
    except BrokenPipeError:  # the reader of standard output went away, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EquipoiseError as error:
        if debug:
            traceback.print_exc()
        note(f"equipoise: {_one_line(error)}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001  a traceback never reaches a user without --debug
        if debug:
            traceback.print_exc()
        note(f"equipoise: {type(error).__name__}: {_one_line(error)} (--debug shows where)")
        return 1
    return 0


def _finish(result: Any, as_json: bool) -> None:
    """Print a verb's result, and render the report of its run where the verb made none."""
    from equipoise.core.files import to_json

    if isinstance(result, Mapping):
        run = result.get("run")
        if isinstance(run, (str, Path)) and (Path(run) / "run.json").exists():
            if not (Path(run) / "report.html").exists():
                from equipoise.report import render_run

                render_run(run)
            if not as_json:
                note(f"run: {run}")
    if result is None:
        return
    if as_json:
        print(jsonlib.dumps(to_json(result), ensure_ascii=False, allow_nan=False))  # noqa: T201
        sys.stdout.flush()
    else:
        from equipoise.cli.show import show

        show(result)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _usage_error(tokens: list[str], error: CycloptsError) -> int:
    """Print what was wrong with the line, on one line, with the nearest name; return the code."""
    note(f"equipoise: {_unknown_command(tokens) or _one_line(error)}")
    return InvalidInput.exit_code


def _unknown_command(tokens: Sequence[str]) -> str | None:
    """Return what to say of a command that does not exist, or None when it does."""
    first, second, *_ = [*(token for token in tokens if not token.startswith("-")), "", ""]
    verbs = {name: tuple(group[2]) for name, group in _GROUPS.items()}
    verbs |= {room.slug: tuple(room.verbs) for room in rooms().values()}
    if first in verbs:
        known = not second or second in verbs[first]
        return None if known else str(unknown_name(f"verb of {first}", second, verbs[first]))
    room = planned().get(first.replace("-", "_"))
    if room is not None:
        return f"room {first!r} ({room.paper}) is planned and not in this version"
    if not first or first in _TOP:
        return None
    return str(unknown_name("command or room", first, [*_TOP, *verbs]))
