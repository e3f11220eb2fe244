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
from equipoise.cli.summaries import summary
from equipoise.core.console import note, output
from equipoise.core.devices import check_device
from equipoise.core.errors import EquipoiseError, InvalidInput, UnknownField, nearest, unknown_name
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


def build_app(arguments: Sequence[str] = ()) -> App:
    """Return the command tree; the verbs in it are dotted strings, imported when called.

    Args:
        arguments: the command line. Where it names a room or group alone, what is shown is the
            list of its verbs, and each gets the first line of its description.
    """
    app = App(
        name="equipoise",
        help="Models, agents, teams and hands in balance with human intent.",
        version=__version__,
        default_parameter=Parameter(negative=(), consume_multiple=True),
        suppress_keyboard_interrupt=False,  # `main` says it on one line
    )
    app.meta.suppress_keyboard_interrupt = False
    for name, (target, text) in _TOP.items():
        app.command(target, name=name, help=text)
    groups = {
        name: (App(name=name, help=text), {verb: f"{module}:{verb}_" for verb in verbs})
        for name, (text, module, verbs) in _GROUPS.items()
    }
    for room in rooms().values():
        groups[room.slug] = (App(name=room.slug, help=room.title, group="Rooms"), dict(room.verbs))
    words = _words(arguments)
    for name, (group, verbs) in groups.items():
        for verb, target in verbs.items():
            text = {"help": summary(target)} if words == [name] else {}
            group.command(target, name=verb, **text)
        app.command(group)

    @app.meta.default
    def launch(  # pyright: ignore[reportUnusedFunction]
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: bool = False,
        debug: bool = False,
    ) -> None:
        """Run one verb.

        Args:
            tokens: the verb and its options.
            json: print one JSON object with the results as the last line of standard output.
            debug: show the traceback of an error.
        """
        output.as_json = json
        _finish(_call(app, _line(app, tokens)), json)

    return app


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_run(arguments))


def dispatch(tokens: Sequence[str]) -> Any:
    """Run one verb in this process and return its result; errors propagate."""
    app = build_app()
    return _call(app, _line(app, tokens))


def _call(app: App, tokens: Sequence[str]) -> Any:
    return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")


def _line(app: App, tokens: Sequence[str]) -> list[str]:
    """Return the tokens as a verb takes them; one that runs no model on a device has no --device.

    Raises:
        InvalidInput: no such device, or an accelerator for a verb that computes on the CPU.
    """
    line = [nested(token) for token in tokens]
    place = next((i for i, t in enumerate(line) if t.partition("=")[0] == "--device"), None)
    if place is None:
        return line
    _, sign, value = line[place].partition("=")
    device = check_device(value if sign else "".join(line[place + 1 : place + 2]))
    rest = line[:place] + line[place + (1 if sign else 2) :]
    _, bound, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
    if "device" in bound.signature.parameters:
        return line
    if device in ("auto", "cpu"):
        return rest
    raise InvalidInput(
        f"{' '.join(_words(rest)[:2])} computes on the CPU; it has no use for {device}"
    )


def nested(token: str) -> str:
    """Spell `--field.sub` as `--field__sub`, which a verb takes as the keyword `field__sub`."""
    name, sign, value = token.partition("=")
    return name.replace(".", "__") + sign + value if name.startswith("--") else token


def _run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; an error becomes one line."""
    try:
        _call(build_app(arguments).meta, arguments)
        if {"--help", "-h"} & set(arguments):
            _show_fields(_words(arguments))
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        note("interrupted; the same line goes on in its --out, `equipoise runs resume` with a run")
        return 130
    except BrokenPipeError:  # the reader of standard output went away, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  a traceback never reaches a user without --debug
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(arguments, error)


def _explain(arguments: Sequence[str], error: Exception) -> int:
    """Print what went wrong on one line and return the exit code."""
    text = " ".join(str(error).split()) or type(error).__name__
    code = 1
    if isinstance(error, CycloptsError):
        text, code = _unknown_command(_words(arguments)) or text, InvalidInput.exit_code
    elif isinstance(error, UnknownField):
        text, code = _unknown_option(arguments, error) or text, error.exit_code
    elif isinstance(error, EquipoiseError):
        code = error.exit_code
    else:
        text = f"{type(error).__name__}: {text} (--debug shows where)"
    note(f"equipoise: {text}")
    return code


def _words(arguments: Sequence[str]) -> list[str]:
    return [token for token in arguments if not token.startswith("-")]


def _unknown_option(arguments: Sequence[str], error: UnknownField) -> str | None:
    """Return what to say of an option that is neither the verb's own nor a field, or None.

    A verb takes the fields of its configuration as further options, so a slip in one of its own
    (`--sed` for `--seed`) is only found when the configuration is read.
    """
    given = {token.partition("=")[0].replace("-", "_") for token in arguments}
    if f"__{error.name}" not in given:
        return None
    tokens = [nested(token) for token in arguments if token not in ("--json", "--debug")]
    _, bound, _ = build_app().parse_args(tokens, exit_on_error=False, print_error=False)
    own = [p.name for p in bound.signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    if nearest(error.name, [*own, *error.valid]) not in own:
        return None
    options = ["--" + name.replace("_", "-") for name in (*own, *error.valid)]
    return str(unknown_name("option", "--" + error.name.replace("_", "-"), options))


def _show_fields(words: Sequence[str]) -> None:
    """Print, below the help of a room's verb, the configuration fields that it takes."""
    room = rooms().get(words[0].replace("-", "_")) if words else None
    if room is not None and words[1:2] and words[1] in room.verbs:
        from equipoise.cli.fields import option_rows
        from equipoise.cli.show import show

        if rows := option_rows(room, words[1]):
            show({"Configuration fields, by preset": rows}, whole=True)


def _finish(result: Any, as_json: bool) -> None:
    """Print a verb's result, and complete the report of its run."""
    from equipoise.core.files import to_json

    if isinstance(result, Mapping):
        run = result.get("run")
        if isinstance(run, (str, Path)) and (Path(run) / "run.json").exists():
            from equipoise.report import complete_report

            complete_report(run)
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


def _unknown_command(words: Sequence[str]) -> str | None:
    """Return what to say of a command that does not exist, or None when it does."""
    first, second, *_ = [*words, "", ""]
    verbs = {name: tuple(group[2]) for name, group in _GROUPS.items()}
    verbs |= {room.slug: tuple(room.verbs) for room in rooms().values()}
    if first in verbs:
        known = not second or second in verbs[first]
        return None if known else str(unknown_name(f"verb of {first}", second, verbs[first]))
    if not first or first in _TOP:
        return None
    later = {room.slug: room for room in planned().values()}
    close = nearest(first, [*_TOP, *verbs, *later])
    if close in later:
        typo = "" if close == first.replace("_", "-") else f"unknown room {first!r}; the nearest, "
        return f"{typo}room {close!r} ({later[close].paper}) is planned and not in this version"
    return str(unknown_name("command or room", first, [*_TOP, *verbs]))
