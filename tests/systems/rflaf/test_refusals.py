"""What is refused says so in one line and changes nothing: models, statistics, command lines."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from equipoise.cli import main
from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf import (
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
    load_model,
)
from equipoise.systems.rflaf.accumulating import Sums

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 3))
Y = np.sin(2 * X[:, 0]) + 0.1 * RNG.standard_normal(80)
LABELS = np.where(Y > 0, "yes", "no")
SMALL = {"n_components": 10, "n_basis": 7, "n_starts": 1, "max_iter": 20, "random_state": 0}


def spoilt(array, value=np.nan):
    """Return a copy whose second row, or number, is not finite."""
    copy = array.copy()
    copy[1] = value
    return copy


def held(model) -> dict:
    """Return all that a model holds, by name, down to the sums of its statistics."""
    found = {}
    for name, value in vars(model).items():
        inner = vars(value) if hasattr(value, "__dict__") else {"": value}
        found |= {f"{name}.{key}": np.copy(part) for key, part in inner.items()}
    if hasattr(model, "statistics_"):
        # the mirrored half of the Gram matrix is made when it is read
        found["statistics_._triangle"] = model.statistics_.gram.copy()
        found.pop("statistics_._whole")
    return found


def refused(model, call, words, kind=ValueError):
    """Check that a call is refused with these words and leaves the model as it was."""
    before = held(model)
    with pytest.raises(kind, match=words) as caught:
        call(model)
    if isinstance(caught.value, InvalidInput):
        assert "\n" not in str(caught.value)
    after = held(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


def classifier(**changes):
    return RFLAFClassifier(**(SMALL | changes))


MAKE = {
    "regressor": lambda: regressor(engine="lifted").fit(X, Y).conformalize(X, Y),
    "log": lambda: classifier().fit(X, LABELS).conformalize(X, LABELS),
    "squared": lambda: classifier(loss="squared").partial_fit(X, LABELS),
    "transformer": lambda: RFLAFTransformer(**SMALL).fit(X, Y),
}
BAD_ROWS = [
    (lambda m, y: m.fit(spoilt(X), y), "X contains NaN"),
    (lambda m, y: m.fit(X, y, spoilt(np.ones(80), np.inf)), "sample_weight contains infinity"),
    (lambda m, y: m.fit(X, y, -np.ones(80)), "sample_weight"),
    (lambda m, y: m.fit(X, y, np.zeros(80)), "at least one non-zero|zero for every row"),
    (lambda m, y: m.fit(X, y[:-1]), "inconsistent numbers of samples"),
    (lambda m, y: m.fit(X[:, 0], y), "Expected 2D array"),
    (lambda m, y: m.fit(np.full((80, 3), "a", dtype=object), y), "could not convert string"),
    (lambda m, y: m.calibrate(spoilt(X, np.inf)), "X contains infinity"),
    (lambda m, y: m.compress(3, spoilt(X), y), "X contains NaN"),
]


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(("call", "words"), BAD_ROWS)
def test_bad_rows(kind, call, words):
    y = Y if kind in ("regressor", "transformer") else LABELS
    refused(MAKE[kind](), lambda m: call(m, y), words)


@pytest.mark.parametrize(
    ("kind", "call", "words"),
    [
        ("regressor", lambda m: m.fit(X, spoilt(Y)), "y contains NaN"),
        ("regressor", lambda m: m.fit(X, np.full(80, "a", dtype=object)), "could not convert"),
        ("regressor", lambda m: m.partial_fit(X, spoilt(Y, -np.inf)), "y contains infinity"),
        ("regressor", lambda m: m.forget(X[:9], spoilt(Y[:9])), "y contains NaN"),
        ("regressor", lambda m: m.forget(spoilt(X[:9], np.inf), Y[:9]), "X contains infinity"),
        ("regressor", lambda m: m.forget(X[:9], Y[:9], spoilt(np.ones(9))), "sample_weight"),
        ("regressor", lambda m: m.conformalize(X, spoilt(Y)), "y contains NaN"),
        ("regressor", lambda m: m.conformalize(spoilt(X), Y), "X contains NaN"),
        ("regressor", lambda m: m.predict(spoilt(X)), "X contains NaN"),
        ("regressor", lambda m: m.predict(X[:, :2]), "has 2 features"),
        ("regressor", lambda m: m.predict_interval(spoilt(X, np.inf)), "X contains infinity"),
        ("log", lambda m: m.predict_proba(X[:, :2]), "has 2 features"),
        ("log", lambda m: m.conformalize(spoilt(X), LABELS), "X contains NaN"),
        ("log", lambda m: m.conformalize(X, np.full(80, "yess")), "did you mean 'yes'"),
        ("squared", lambda m: m.partial_fit(spoilt(X), LABELS), "X contains NaN"),
        ("squared", lambda m: m.forget(X[:9], np.full(9, "yess")), "did you mean 'yes'"),
        ("transformer", lambda m: m.transform(spoilt(X)), "X contains NaN"),
        ("transformer", lambda m: m.transform(X[:, :2]), "has 2 features"),
    ],
)
def test_bad_rows_of_one_method(kind, call, words):
    refused(MAKE[kind](), call, words)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, np.nan, "0.9", True, None])
def test_levels(level):
    refused(MAKE["regressor"](), lambda m: m.predict_interval(X, level), "confidence_level is")
    refused(MAKE["log"](), lambda m: m.predict_set(X, level), "confidence_level is")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("solver", "varpo", "unknown solver 'varpo': did you mean 'varpro'"),
        ("basis", "rfb", "unknown basis 'rfb': did you mean 'rbf'"),
        ("engine", "liftet", "unknown engine 'liftet': did you mean 'lifted'"),
        ("projection", "orthognal", "did you mean 'orthogonal'"),
        ("loss", "sqared", "did you mean 'squared'"),
        ("alpha", "gvc", "unknown alpha 'gvc': did you mean 'gcv'"),
        ("rank", "aut", "unknown rank 'aut': did you mean 'auto'"),
        ("rank", 8, "rank is 8 and n_basis 7"),
        ("rank", 0, "rank is 0; it must be an integer >= 1"),
        ("n_basis", 0, "n_basis is 0; it must be an integer >= 1"),
        ("n_components", 2.0, "n_components is 2.0; it must be an integer"),
        ("width", -1, "width is -1; it must be a number > 0"),
        ("width", np.nan, "width is nan"),
        ("span", (1, 1), r"span is \(1, 1\); it must increase"),
        ("span", (-np.inf, 1), "must increase"),
        ("span", "ab", "must be a pair"),
        ("alpha", -1e-9, "alpha is -1e-09; it must be a number >= 0 or 'gcv' or 'loo'"),
        ("smooth", np.inf, "smooth is inf"),
        ("scale", "atuo", "scale is 'atuo'; it must be 'auto' or a finite number > 0"),
        ("solver_options", {"chunk_byte": 1}, "did you mean 'chunk_bytes'"),
        ("solver_options", ["epochs"], "must be a mapping"),
    ],
)
def test_parameters_of_a_fitted_model(name, value, words):
    for kind in ("regressor", "squared", "transformer"):
        model = MAKE[kind]()
        if name in model.get_params():
            model.set_params(**{name: value})
            y = LABELS if kind == "squared" else Y
            refused(model, lambda m, y=y: m.fit(X, y), words, InvalidInput)
            if hasattr(model, "partial_fit"):
                refused(model, lambda m, y=y: m.partial_fit(X, y), words, InvalidInput)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("epoch", 3, "did you mean 'epochs'"),
        ("epochs", 2.5, "epochs is 2.5; it must be a whole number"),
        ("epochs", 0, "epochs 0 .* must be >= 1"),
        ("learning_rate", "fast", "learning_rate is 'fast'; it must be a number"),
        ("learning_rate", np.inf, "learning_rate is inf; it must be finite"),
        ("beta1", True, "beta1 is True; it must be a number"),
    ],
)
def test_options_of_adam(option, value, words):
    model = MAKE["regressor"]().set_params(
        solver="adam", engine="data", solver_options={option: value}
    )
    refused(model, lambda m: m.fit(X, Y), words, InvalidInput)


def test_too_many_lifted_features_are_refused_before_anything_is_kept():
    model = regressor(n_components=900)
    words = r"6300 is above the limit 6000 .* 317,520,000 bytes; take a smaller n_components.*data"
    refused(model, lambda m: m.partial_fit(X, Y), words, InvalidInput)
    refused(model.calibrate(X), lambda m: m.partial_fit(X, Y), words, InvalidInput)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (regressor(random_state=1).partial_fit(X, Y), "in their weights"),
        (regressor(width=2.0).partial_fit(X, Y), "in their basis"),
        (regressor().calibrate(X + 1).partial_fit(X, Y), "in their offset"),
        (regressor(scale=1.0).partial_fit(X, Y), "in their scale"),
        (regressor().partial_fit(X, np.c_[Y, Y]), "in their outputs: 1 and 2"),
        (regressor(engine="data").fit(X, Y), "merge needs lifted statistics"),
        (classifier(loss="squared").partial_fit(X, LABELS), "merge got RFLAFClassifier"),
        (None, "merge got NoneType; to RFLAFRegressor only another RFLAFRegressor"),
    ],
)
def test_merges(other, words):
    refused(MAKE["regressor"](), lambda m: m.merge(other), words, InvalidInput)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.forget(X, Y),
        lambda m: m.forget(np.r_[X, X], np.r_[Y, Y]),
        lambda m: m.forget(X[:1], Y[:1], [80.0]),
        lambda m: m.forget(X[:5] + 9, Y[:5]),
        lambda m: m.forget(X[:5], Y[:5] + 1e6),
    ],
)
def test_rows_that_were_not_seen_cannot_be_forgotten(call):
    refused(MAKE["regressor"](), call, "only what was added|cannot have been among", InvalidInput)


@pytest.mark.parametrize(
    ("changes", "y", "words"),
    [
        ({}, Y * 1e200, "starts gave a finite objective at alpha = "),
        ({}, Y * 1e308, r"cannot be solved at alpha = .*condition number"),
        (
            {"solver": "adam", "solver_options": {"learning_rate": 1e300}},
            Y,
            r"Adam diverged in epoch 10 at learning_rate 1e\+300; lower it",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fits_that_diverge(changes, y, words):
    model = regressor().fit(X, Y).set_params(**changes)
    refused(model, lambda m: m.fit(X, y), words, RunFailed)


@pytest.mark.parametrize("engine", ["data", "lifted"])
def test_a_singular_gram_matrix_is_fitted_by_its_eigenvectors(engine):
    twice = np.c_[X, X]  # and more units than rows
    model = regressor(n_components=200, alpha=0.0, smooth=0.0, engine=engine).fit(twice, Y)
    assert np.sqrt(np.mean((model.predict(twice) - Y) ** 2)) < 1e-3 * Y.std()


# -- through the command line -------------------------------------------------------------------

UNITS = ["--n-components", "10", "--n-basis", "7"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, and sums of them that do and do not belong together."""
    made = tmp_path_factory.mktemp("refusals")
    table = pd.DataFrame(X, columns=list("abc"))
    table["kind"] = np.where(RNG.random(80) < 0.5, "x", "y")
    table["price"] = Y
    table.to_csv(made / "jan.csv", index=False)
    for name in ("a", "price"):  # text, but not from the beginning
        late = table.astype({name: object})
        late.loc[70, name] = "n/k"
        late.to_csv(made / f"late_{name}.csv", index=False)
    (made / "twice.csv").write_text("a,b,a\n1,2,3\n")
    (made / "wide.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    sums = ["--target", "price", "--rows", "40"]
    for name, more in (("jan", []), ("seed", ["--seed", "1"]), ("basis", ["--n-basis", "9"])):
        options = UNITS[:2] if name == "basis" else UNITS
        line = ["rflaf", "accumulate", str(made / "jan.csv"), *sums, *options, *more]
        assert run([*line, "--out", str(made / name)]) == 0
    assert run(["rflaf", "solve", str(made / "jan"), "--out", str(made / "run")]) == 0
    for name in ("cut", "changed", "headless", "newer"):
        shutil.copytree(made / "jan", made / name)
    arrays = (made / "jan" / "arrays.safetensors").read_bytes()
    (made / "cut" / "arrays.safetensors").write_bytes(arrays[: len(arrays) // 2])
    (made / "changed" / "arrays.safetensors").write_bytes(arrays[:-1] + b"\x07")
    (made / "headless" / "meta.json").unlink()
    meta = made / "newer" / "meta.json"
    meta.write_text(meta.read_text().replace("rflaf.model/1", "rflaf.model/9"))
    (made / "other").mkdir()
    (made / "other" / "meta.json").write_text(json.dumps({"format": "other/1"}))
    return made


def run(line) -> int:
    with pytest.raises(SystemExit) as caught:
        main(line)
    return int(str(caught.value.code))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train jan.csv --solver varpo --out new", "did you mean 'varpro'"),
        ("train jan.csv --rank 99 --out new", "rank is 99 and n_basis 17"),
        ("train jan.csv --target prise --out new", "'prise': did you mean 'price'? Valid: a, b"),
        ("train jan.csv --stream 40 --target prise --out new", "did you mean 'price'?"),
        ("train jan.csv --basis rfb --out new", "'basis': did you mean 'n_basis'?"),
        ("train diabetis --out new", "unknown data set 'diabetis': did you mean 'diabetes'?"),
        ("train twice.csv --out new", "two columns named 'a'; rename one"),
        ("train wide.csv --out new", "Expected 2 fields in line 2, saw 3"),
        ("train absent.csv --out new", "there is no file absent.csv"),
        ("evaluate --data digit --out new", "unknown data set 'digit': did you mean 'digits'?"),
        ("evaluate --models tres --out new", "unknown model 'tres': did you mean 'trees'?"),
        ("accumulate jan.csv --target price --solver adam --out new", "solver='adam' need"),
        ("accumulate jan.csv --target price --n-components 900 --out new", "limit 6000"),
        ("accumulate jan.csv --like jan --n-basis 5 --out new", "leave out n-basis"),
        ("accumulate jan.csv --like cut --out new", "cut holds no whole model"),
        ("merge jan seed --out new", "differ in their weights"),
        ("merge jan basis --out new", "differ in their basis"),
        ("merge jan cut --out new", "do not match their checksum"),
        ("merge jan changed --out new", "do not match their checksum"),
        ("solve headless --out new", "equipoise.rflaf.model/1 expected"),
        ("solve newer --out new", "'equipoise.rflaf.model/9'; needed is 'equipoise.rflaf.model/1'"),
        ("solve other --out new", "has format 'other/1'"),
        ("solve jan.csv --out new", "equipoise.rflaf.model/1 expected"),
        ("predict run late_a.csv --out new", "the column 'a' holds text"),
        ("predict run jan.csv --interval 1.5 --out new", "confidence_level is 1.5"),
        ("activation run --points 1 --out new", "a curve needs at least 2"),
        ("reproduce --table mian --out new", "unknown table 'mian': did you mean 'main'?"),
    ],
)
def test_wrong_lines_end_in_one_line_and_write_nothing(folder, monkeypatch, capsys, line, words):
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    capsys.readouterr()
    assert run(["rflaf", *line.split()]) == 2
    said = capsys.readouterr()
    *progress, last = said.err.splitlines()
    assert last.startswith("equipoise: ")
    assert words in last
    assert not any("Traceback" in text or "equipoise: " in text for text in progress)
    assert said.out == ""
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_text_columns_are_coded_and_remembered_by_the_run(folder, tmp_path):
    line = ["rflaf", "train", str(folder / "jan.csv"), *UNITS, "--n-starts", "1"]
    assert run([*line, "--target", "price", "--out", str(tmp_path / "run")]) == 0
    table = pd.read_csv(folder / "jan.csv")
    columns = json.loads((tmp_path / "run" / "columns.json").read_text())
    assert (columns["target"], columns["numeric"]) == ("price", ["a", "b", "c"])
    assert columns["coded"] == {"kind": list(table.kind.value_counts().index)}
    later = table[["kind", "c", "b", "a"]].head(3).assign(kind=["y", "x", "unseen"])
    later.to_csv(tmp_path / "later.csv", index=False)
    assert run(["rflaf", "predict", str(tmp_path / "run"), str(tmp_path / "later.csv")]) == 0
    model = load_model(tmp_path / "run" / "checkpoints" / "model")
    coded = [[kind == level for level in columns["coded"]["kind"]] for kind in later.kind]
    X = np.c_[later[["a", "b", "c"]].to_numpy(), np.array(coded, float)]
    found = pd.read_csv(tmp_path / "run" / "predictions.csv").prediction
    np.testing.assert_allclose(found, model.predict(X))


@pytest.mark.parametrize("name", ["a", "price"])
def test_a_table_that_goes_wrong_later_leaves_its_whole_chunks(folder, tmp_path, capsys, name):
    line = ["rflaf", "accumulate", str(folder / f"late_{name}.csv"), "--like", str(folder / "jan")]
    assert run([*line, "--rows", "20", "--out", str(tmp_path / "part")]) == 2
    assert f"the column '{name}' holds text" in capsys.readouterr().err.splitlines()[-1]
    assert Sums.load(tmp_path / "part").chunks == 3
