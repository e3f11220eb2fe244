"""What the experiments with trained correctors show, drawn; and what reviewing costs in tokens."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.report.figures import INK, QUIET, SERIES

if TYPE_CHECKING:
    from equipoise.report import Report

_COLOURS = {"aligner": SERIES[1], "stream": SERIES[3]}
_MARKS = ("o", "s", "^")
_TOLD = ("induction", "latency")
_ENDS = ("", "_low", "_high")


def plot_identity(found: Mapping[str, Any]) -> Any:
    """Draw copy rate on clean and edit recall on bad sentences by identity share, with intervals.

    Args:
        found: what `run_identity` returned, as in the other plots here.
    """
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3.6)
    shares = sorted({row["share"] for row in found["rows"]})
    for name, label, colour in (
        ("copy_rate", "clean sentences copied", SERIES[0]),
        ("edit_recall", "bad sentences repaired", SERIES[1]),
    ):
        for schedule, form, shift in (("warmup", "o-", -0.04), ("mixed", "s", 0.08)):
            rows = [row for row in found["rows"] if row["schedule"] == schedule]
            if not rows:
                continue
            places = [shares.index(row["share"]) + shift for row in rows]
            values = [row[name] for row in rows]
            said = label if schedule == "warmup" else f"{label}, shares mixed"
            axes.errorbar(
                places,
                values,
                yerr=_reach(rows, name),
                fmt=form,
                color=colour,
                capsize=3,
                label=said,
            )
    axes.axvline(shares.index(found["best_share"]), color=QUIET, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    axes.set_xlabel("part of the training that copies (dotted: largest sum of both)")
    axes.set_ylabel("share of sentences, 95 % interval")
    axes.set_ylim(0, 1.03)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def plot_trained_sums(found: Mapping[str, Any]) -> Any:
    """Draw the final accuracy of every method, a trained corrector's, with its closed form."""
    from equipoise.report import new_figure

    rows = found["trained"]["rows"]
    figure, axes = new_figure(7, 1.2 + 0.4 * len(rows))
    places = np.arange(len(rows))
    axes.errorbar(
        [row["accuracy"] for row in rows],
        places,
        xerr=_reach(rows, "accuracy"),
        fmt="o",
        color=SERIES[0],
        capsize=3,
        label="measured, 95 % interval",
    )
    known = [(row["closed_form"], place) for row, place in zip(rows, places) if _known(row)]
    axes.plot(
        [value for value, _ in known],
        [place for _, place in known],
        "|",
        color=SERIES[1],
        markersize=20,
        markeredgewidth=2,
        label="closed form at the measured rates",
    )
    axes.set_yticks(places, [row["method"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("answers whose last sum is right")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def plot_sizes(found: Mapping[str, Any]) -> Any:
    """Draw accuracy by parameters, on a logarithmic axis, with the fitted line of each method."""
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3.6)
    for shift, (method, colour) in zip((0.985, 1.015), _COLOURS.items()):
        rows = [row for row in found["rows"] if row["method"] == method]
        sizes = np.array([row["parameters"] for row in rows], dtype=np.float64)
        values = np.array([row["accuracy"] for row in rows])
        slope = found["slopes"][method]
        axes.errorbar(
            sizes * shift, values, yerr=_reach(rows, "accuracy"), fmt="o", color=colour, capsize=3
        )
        logs = np.log10(sizes)
        ends = np.array([logs.min(), logs.max()])
        axes.plot(
            10**ends,
            values.mean() + slope["estimate"] * (ends - logs.mean()),
            "--",
            color=colour,
            label=f"{method}: slope {slope['estimate']:+.2f} [{slope['low']:+.2f}, "
            f"{slope['high']:+.2f}]",
        )
    axes.set_xscale("log")
    counts = sorted({row["parameters"] for row in found["rows"]})
    axes.set_xticks(counts, [_millions(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("parameters of the corrector")
    axes.set_ylabel("answers right, 95 % interval")
    axes.set_ylim(0, 1.03)
    axes.legend(loc="best", fontsize=9)
    return figure


def plot_interpreting(found: Mapping[str, Any]) -> Any:
    """Draw the probes' AUC by layer, and the edit ratio by the steering coefficient."""
    from equipoise.report import new_figure

    figure, (probes, line) = new_figure(7.8, 3.8, ncols=2)
    teachers = list(dict.fromkeys(row["teacher"] for row in found["rows"]))
    colours = dict(zip(teachers, (SERIES[3], SERIES[0], QUIET)))
    for place, teacher in enumerate(teachers):
        rows = [row for row in found["rows"] if row["teacher"] == teacher]
        probes.errorbar(
            [row["layer"] + 0.06 * place for row in rows],
            [row["auc"] for row in rows],
            yerr=_reach(rows, "auc"),
            marker=_MARKS[place % len(_MARKS)],
            color=colours[teacher],
            capsize=3,
            label=teacher,
        )
    layers = sorted({row["layer"] for row in found["rows"]})
    probes.set_xticks(layers, ["input", *[str(layer) for layer in layers[1:]]])
    probes.set_xlabel("layer")
    probes.set_ylabel("AUC of copy or edit, fresh rows")
    probes.set_ylim(0.4, 1.03)
    for teacher, fit in found["lines"].items():
        _draw_line(line, [p for p in found["steering"] if p["teacher"] == teacher], fit, colours)
    line.set_xlabel("coefficient of edit minus copy")
    line.set_ylabel("edit ratio, 95 % interval")
    line.set_ylim(0, None)
    line.legend(loc="best", fontsize=8)
    figure.legend(*probes.get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return figure


def _draw_line(
    axes: Any,
    points: Sequence[Mapping[str, Any]],
    fit: Mapping[str, Any],
    colours: Mapping[str, str],
) -> None:
    places = np.array([point["coefficient"] for point in points])
    values = [point["edit_ratio"] for point in points]
    colour = colours[points[0]["teacher"]]
    axes.errorbar(
        places, values, yerr=_reach(points, "edit_ratio"), fmt="o", color=colour, capsize=3
    )
    told = "no change" if fit["r_squared"] is None else f"R² = {fit['r_squared']:.2f}"
    axes.plot(places, fit["intercept"] + fit["slope"] * places, "--", color=colour, label=told)


def plot_cost(found: Mapping[str, Any]) -> Any:
    """Draw the upstream's tokens by copy rate, and the corrector's prompt tokens by rounds."""
    from equipoise.report import new_figure

    figure, (upstream, corrector) = new_figure(7.8, 3.6, ncols=2)
    curve = found["curve"]
    rates = [row["copy_rate"] for row in curve]
    for name, label, form, colour in (
        ("speculating", "running ahead, a fifth of a sentence", "o-", SERIES[3]),
        ("whole_sentence_ahead", "running ahead, a whole sentence", "s-", SERIES[1]),
        ("sequential", "one after the other", "^-", SERIES[0]),
    ):
        upstream.plot(rates, [row[name] for row in curve], form, color=colour, label=label)
    upstream.axhline(found["published_loop"], color=INK, linestyle="--", label="published loop")
    upstream.set_yscale("log")
    ticks = [1, 1.5, 2, 4, found["published_loop"]]
    upstream.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    upstream.minorticks_off()
    upstream.set_xlabel("copy rate")
    upstream.set_ylabel("upstream tokens over the answer's")
    rounds = [row["rounds"] for row in found["prompt_curve"]]
    for name, colour in (("read anew", SERIES[1]), ("kept", SERIES[3])):
        tokens = [row[name.replace(" ", "_")] for row in found["prompt_curve"]]
        corrector.plot(rounds, tokens, color=colour, label=f"{name}: {tokens[-1]:,}")
    corrector.set_xticks([1, 4, 8, 12, 16])
    corrector.set_xlabel("sentences reviewed")
    corrector.set_ylabel("corrector's prompt tokens in all")
    corrector.set_ylim(0, None)
    corrector.legend(loc="upper left", fontsize=9)
    figure.legend(
        *upstream.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9
    )
    return figure


_DRAWN = {
    "identity": (
        plot_identity,
        "A share of the training copies its sentence first. Copying is learned sooner, repairing "
        "has fewer steps left.",
    ),
    "arithmetic": (
        plot_trained_sums,
        "Running sums with trained correctors. The closed form takes the corrector's own fix and "
        "break rates, so the two differ only where its sentences are not independent.",
    ),
    "size": (
        plot_sizes,
        "Correctors from scratch, each trained on the same questions and as many tokens; one "
        "decimal power of parameters changes the accuracy by the slope.",
    ),
    "interpret": (
        plot_interpreting,
        "Left: whether a sentence will be edited, read linearly at the end of the prompt; bars are "
        "95 % intervals. Right: edit ratio under steering along edit minus copy at the layer that "
        "the training rows' folds chose. Aligner published R² of about 0.93.",
    ),
    "cost": (
        plot_cost,
        "Left: what the upstream writes for an answer of sixteen sentences. Running ahead wastes "
        "what was begun before an edit. Right: question 50, tags 20, sentence 25 tokens.",
    ),
}


def add_training_plot(report: "Report", name: str, found: Mapping[str, Any]) -> None:
    """Add the plot of an experiment with trained correctors, or of `cost`, to a report.

    Args:
        report: to draw in.
        name: of the experiment; of `induction` and `latency` only the verdict is told, another one
            adds nothing.
        found: its result.
    """
    if name not in _DRAWN and name not in _TOLD:
        return
    verdicts = {True: "reached", False: "not reached", None: "not judged"}
    told = f"Target: {found['target']}; {verdicts[found['reached']]}."
    if name in _TOLD:
        report.section("", told)
        return
    draw, caption = _DRAWN[name]
    report.figure(draw(found), name, caption=f"{caption} {told}")


def _reach(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """How far intervals reach below and above, (2, N); rounding never turns one negative."""
    middle, low, high = (np.array([row[name + end] for row in rows]) for end in _ENDS)
    return np.maximum(0.0, [middle - low, high - middle])


def _known(row: Mapping[str, Any]) -> bool:
    return row.get("closed_form") is not None


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count / 1e3:.0f} k"
