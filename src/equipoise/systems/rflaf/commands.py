"""The room's verbs: plain functions whose parameters are options and whose result is the JSON."""

import time
from pathlib import Path
from typing import Any

from equipoise.core.config import load_config
from equipoise.core.console import note
from equipoise.systems.rflaf.config import RFLAFConfig


def demo(
    *, preset: str = "tiny", seed: int = 0, out: Path | None = None, **changes: str
) -> dict[str, Any]:
    """Learn an unknown activation from a teacher's answers and draw it over the true one.

    Args:
        preset: tiny (under a minute), small or paper.
        seed: of data, projection and starts.
        out: run folder; an interrupted run in it is begun again.
        **changes: fields of RFLAFConfig.
    """
    from equipoise.core.runs import Run

    begun = time.monotonic()
    config = load_config(RFLAFConfig, overrides=changes, preset=preset)
    with Run.create("rflaf", "demo", config, preset=preset, seed=seed, folder=out) as run:
        from equipoise.systems.rflaf.demonstration import demonstrate, save_report
        from equipoise.systems.rflaf.persistence import save_model

        run.rewind(-1)
        note(f"rflaf: {config.data}, {config.n_samples} rows, {config.n_components} units")
        done = demonstrate(config, seed, run)
        save_model(done.model, run.checkpoints / "model")
        save_report(done, run)
        measured = {
            "relative_mse": done.relative_mse,
            "baseline_relative_mse": done.baseline_relative_mse,
            "n_parameters": done.n_parameters,
        }
        run.finish({"measured": measured | {"fit_seconds": done.fit_seconds}})
    return measured | {"seconds": time.monotonic() - begun, "run": str(run.path.resolve())}
