"""Fitted estimators as folders: `meta.json` and `arrays.safetensors`, never a pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.checkpoints import save_checkpoint
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.classifier import RFLAFClassifier
from equipoise.systems.rflaf.estimator import ActivationEstimator
from equipoise.systems.rflaf.fitted import Posterior, table_of
from equipoise.systems.rflaf.intervals import TrainingRows
from equipoise.systems.rflaf.objective import Basis
from equipoise.systems.rflaf.regressor import RFLAFRegressor
from equipoise.systems.rflaf.statistics import LiftedStatistics, read_checked
from equipoise.systems.rflaf.transformer import RFLAFTransformer

FORMAT = "equipoise.rflaf.model/1"
_CLASSES = {cls.__name__: cls for cls in (RFLAFRegressor, RFLAFClassifier, RFLAFTransformer)}
_STATISTICS = ("gram", "cross", "feature_sum", "target_sum", "target_square_sum")


def save_model(estimator: Any, path: str | Path, notes: Mapping[str, Any] | None = None) -> Path:
    """Write a fitted (or calibrated) estimator to a folder, whole or not at all.

    A `random_state` that is no number is not kept: the random numbers have been drawn.

    Args:
        estimator: one of this room's.
        path: the folder.
        notes: JSON-able data kept beside it, as `notes` of the checkpoint's meta.

    Raises:
        InvalidInput: not one of this room's estimators, not calibrated, or labels that are
            neither numbers, truth values nor text.
    """
    name = type(estimator).__name__
    if name not in _CLASSES or not hasattr(estimator, "random_weights_"):
        raise InvalidInput(
            f"save_model got {name}; it takes a fitted {', '.join(_CLASSES)}, made by fit"
        )
    arrays: dict[str, Any] = {}
    meta: dict[str, Any] = {"format": FORMAT, "class": name, "attributes": {}}
    if notes is not None:
        meta["notes"] = dict(notes)
    meta["parameters"] = _plain_parameters(estimator)
    if output := getattr(estimator, "_sklearn_output_config", {}).get("transform"):
        meta["output"] = output
    for key, value in vars(estimator).items():
        if key not in meta["parameters"]:
            _put(key, value, arrays, meta)
    return save_checkpoint(path, arrays, meta)


def _plain_parameters(estimator: Any) -> dict[str, Any]:
    parameters = estimator.get_params(deep=False)
    seed = parameters["random_state"]
    if not isinstance(seed, (int, np.integer)):
        parameters["random_state"] = None
    weights = parameters.get("class_weight")
    if isinstance(weights, dict):  # JSON's keys are text: pairs keep the labels' type
        parameters["class_weight"] = {"pairs": [[_scalar(k), v] for k, v in weights.items()]}
    return parameters


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _put(key: str, value: Any, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
    """Sort one attribute into arrays or meta."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[key] = value
    elif isinstance(value, np.ndarray):
        labels = [_scalar(v) for v in value.tolist()]
        if not all(isinstance(v, (str, bool, int, float)) for v in labels):
            raise InvalidInput(f"{key} holds labels that are no numbers and no text")
        meta["attributes"][key] = {"labels": labels, "object": value.dtype.kind == "O"}
    elif isinstance(value, Basis):
        arrays[f"{key}.centers"] = value.centers
        meta["basis"] = {"kind": value.kind, "bandwidth": value.bandwidth}
    elif isinstance(value, Posterior):
        for part in ("mean", "inverse", "noise"):
            arrays[f"{key}.{part}"] = getattr(value, part)
        meta["posterior"] = {"weight_sum": value.weight_sum, "intercept": value.intercept}
    elif isinstance(value, TrainingRows):
        for part in ("X", "y", "sample_weight"):
            arrays[f"{key}.{part}"] = getattr(value, part)
    elif isinstance(value, LiftedStatistics):
        for part in _STATISTICS:
            arrays[f"{key}.{part}"] = getattr(value, part)
        meta["statistics"] = {"weight_sum": value.weight_sum, "n_samples": value.n_samples}
    elif value is None or isinstance(value, (bool, int, float, str)):
        meta["attributes"][key] = value


def load_model(path: str | Path) -> Any:
    """Return the estimator that `save_model` wrote.

    Raises:
        MissingData: nothing there.
        InvalidInput: truncated, changed or foreign; the expected format is named.
    """
    arrays, meta = read_checked(path, FORMAT, "model")
    try:
        return _rebuilt(arrays, meta)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{path} holds no whole model ({FORMAT} expected): {error}") from None


def _rebuilt(arrays: dict[str, Any], meta: Mapping[str, Any]) -> Any:
    """Return the estimator that arrays and meta describe."""
    if meta["class"] not in _CLASSES:
        raise unknown_name("estimator", meta["class"], _CLASSES)
    parameters = dict(meta["parameters"])
    if isinstance(parameters.get("class_weight"), dict):
        parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]["pairs"]))
    parameters["span"] = tuple(parameters["span"])
    estimator: ActivationEstimator = _CLASSES[meta["class"]](**parameters)
    for key, value in meta["attributes"].items():
        if isinstance(value, dict):
            value = np.array(value["labels"], dtype=object if value["object"] else None)
        setattr(estimator, key, value)
    for key in [key for key in arrays if "." not in key]:
        setattr(estimator, key, arrays.pop(key))
    centers = arrays.pop("basis_.centers")
    estimator.basis_ = Basis(meta["basis"]["kind"], centers, meta["basis"]["bandwidth"])
    _restore_records(estimator, arrays, meta)
    if "output" in meta:
        estimator.set_output(transform=meta["output"])  # type: ignore[attr-defined]
    return estimator


def _restore_records(
    estimator: ActivationEstimator, arrays: dict[str, Any], meta: Mapping[str, Any]
) -> None:
    """Rebuild what was saved in parts."""

    def parts(key: str) -> dict[str, Any]:
        return {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"{key}.")}

    if "posterior" in meta:
        estimator._posterior = Posterior(**parts("_posterior"), **meta["posterior"])
    if rows := parts("_train"):
        estimator._train = TrainingRows(**rows)
    if "statistics" in meta:
        at = estimator.calibration_
        estimator.statistics_ = LiftedStatistics.of_sums(
            at, parts("statistics_"), meta["statistics"]
        )
    if hasattr(estimator, "readout_"):
        estimator._table = table_of(estimator.activation_coef_, estimator.calibration_)
