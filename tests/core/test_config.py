"""Configurations: round trips, sources and their order, one-line errors with the nearest field."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.config import (
    Config,
    config_fields,
    diff_configs,
    dump_config,
    load_config,
    to_plain,
)
from equipoise.core.errors import InvalidInput, MissingData


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass(frozen=True)
class Optimiser:
    rate: float = 0.1
    name: Literal["sgd", "adam"] = "adam"
    clip: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Stage:
    label: str = "a"
    limit: int | None = None


@dataclass(frozen=True)
class Whole(Config):
    steps: int = 10
    scale: float = 1.0
    loud: bool = False
    title: str = "plain"
    limit: int | None = 5
    hidden: tuple[int, ...] = (64, 64)
    folder: Path = Path("here")
    mode: Mode = Mode.FAST
    either: int | float | str = 1
    weights: dict[str, float] = field(default_factory=lambda: {"a": 1.0, "b": 2.0})
    by_step: dict[int, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    stages: tuple[Stage, ...] = ()
    optimiser: Optimiser = Optimiser(clip=1.0)
    spare: Optimiser | None = None

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"steps": 2, "optimiser.rate": 0.5},
        "small": {"steps": 20, "optimiser": {"name": "sgd"}, "limit": 7},
    }


@dataclass(frozen=True)
class Required:
    path: str
    steps: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be at least 1")


numbers = st.floats(allow_nan=False)
names = st.text(max_size=8)
optimisers = st.builds(
    Optimiser,
    rate=numbers,
    name=st.sampled_from(["sgd", "adam"]),
    clip=st.none() | numbers,
    betas=st.tuples(numbers, numbers),
)
configs = st.builds(
    Whole,
    steps=st.integers(),
    scale=numbers,
    loud=st.booleans(),
    title=names,
    limit=st.none() | st.integers(),
    hidden=st.lists(st.integers(), max_size=3).map(tuple),
    folder=st.sampled_from([Path("a/b"), Path("/"), Path("with blank"), Path()]),
    mode=st.sampled_from(Mode),
    either=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just("text"),
    weights=st.dictionaries(names, numbers, max_size=3),
    by_step=st.dictionaries(st.integers(), names, max_size=3),
    tags=st.frozensets(names, max_size=3),
    stages=st.lists(st.builds(Stage, label=names, limit=st.none() | st.integers()), max_size=2).map(
        tuple
    ),
    optimiser=optimisers,
    spare=st.none() | optimisers,
)


@given(config=configs, suffix=st.sampled_from([".toml", ".json"]))
def test_round_trip_of_any_configuration(config, suffix, tmp_path_factory):
    path = dump_config(config, tmp_path_factory.mktemp("config") / f"c{suffix}")
    again = load_config(Whole, path)
    assert again == config
    assert type(again.scale) is float
    assert type(again.either) is type(config.either)
    assert diff_configs(config, again) == {}


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_round_trip_of_nan_and_over_a_preset(suffix, tmp_path):
    path = dump_config(Whole(scale=math.nan, limit=None), tmp_path / f"c{suffix}")
    again = load_config(Whole, path, preset="small")
    assert math.isnan(again.scale)
    assert again.limit is None, "None in the file wins over the preset's 7"
    assert again.steps == 10
    assert again.optimiser == Optimiser(clip=1.0)


def test_json_file_is_strict(tmp_path):
    path = dump_config(Whole(scale=math.inf), tmp_path / "c.json")
    data = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(text))
    assert data["scale"] == "inf"
    assert data["optimiser"]["rate"] == 0.1
    assert data["limit"] == 5


def test_numpy_scalars_are_written_plainly(tmp_path):
    config = Whole(steps=np.int64(3), scale=np.float32(0.5), loud=np.bool_(True))  # type: ignore
    assert to_plain(config)["loud"] is True
    assert load_config(Whole, dump_config(config, tmp_path / "c.toml")).steps == 3


def test_toml_refuses_none_where_it_cannot_be_said(tmp_path):
    @dataclass(frozen=True)
    class Gaps:
        table: dict[str, int | None] = field(default_factory=dict)

    path = tmp_path / "c.toml"
    with pytest.raises(InvalidInput, match=r"TOML has no null, which 'table.a' needs; write a"):
        dump_config(Gaps({"a": None}), path)
    assert not path.exists()
    dump_config(Gaps({"a": None}), tmp_path / "c.json")
    assert load_config(Gaps, tmp_path / "c.json").table == {"a": None}


def test_sources_win_in_order(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("steps = 3\n[optimiser]\nrate = 0.25\n")
    config = load_config(Whole, path, ["optimiser.rate=0.125"], preset="small")
    assert (config.steps, config.limit) == (3, 7)
    assert (config.optimiser.rate, config.optimiser.name) == (0.125, "sgd")
    assert config.optimiser.clip == 1.0
    assert load_config(Whole) == Whole()


@pytest.mark.parametrize(
    ("line", "dotted", "value"),
    [
        ("steps=7", "steps", 7),
        ("steps = 7", "steps", 7),
        ("scale=1", "scale", 1.0),
        ("scale=1e-3", "scale", 1e-3),
        ("scale=-inf", "scale", -math.inf),
        ("loud=yes", "loud", True),
        ("loud=0", "loud", False),
        ("title=a=b", "title", "a=b"),
        ("title=", "title", ""),
        ("title=7", "title", "7"),
        ("limit=none", "limit", None),
        ("limit=3", "limit", 3),
        ("hidden=3,4,5", "hidden", (3, 4, 5)),
        ("hidden=[3, 4]", "hidden", (3, 4)),
        ("hidden=", "hidden", ()),
        ("tags=[x, y]", "tags", frozenset({"x", "y"})),
        ("folder=/a b", "folder", Path("/a b")),
        ("mode=exact", "mode", Mode.EXACT),
        ("either=2.5", "either", 2.5),
        ("either=2", "either", 2),
        ("either=word", "either", "word"),
        ("weights={c = 3}", "weights", {"c": 3.0}),
        ("weights.a=3", "weights", {"a": 3.0, "b": 2.0}),
        ("weights.with-dash=3", "weights", {"a": 1.0, "b": 2.0, "with-dash": 3.0}),
        ("by_step.3=x", "by_step", {3: "x"}),
        ("by-step.3=x", "by_step", {3: "x"}),
        ("optimiser.rate=2", "optimiser.rate", 2.0),
        ("optimiser__rate=2", "optimiser.rate", 2.0),
        ("optimiser.betas=0.5,0.75", "optimiser.betas", (0.5, 0.75)),
        ("optimiser={name = 'sgd'}", "optimiser.name", "sgd"),
        ("spare.rate=2", "spare.rate", 2.0),
        ("spare=none", "spare", None),
    ],
)
def test_overrides(line, dotted, value):
    reached: Any = load_config(Whole, overrides=[line])
    for part in dotted.split("."):
        reached = getattr(reached, part)
    assert reached == value
    assert type(reached) is type(value)


def test_overrides_as_a_mapping_and_as_one_line():
    config = load_config(Whole, overrides={"steps": "4", "hidden": (1, 2), "optimiser.rate": 3})
    assert (config.steps, config.hidden, config.optimiser.rate) == (4, (1, 2), 3.0)
    assert load_config(Whole, overrides="steps=9").steps == 9
    assert load_config(Whole, overrides=["steps=1", "steps=2"]).steps == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stpes=3", "unknown field 'stpes': did you mean 'steps'? Valid: steps, scale"),
        ("optimiser.rat=3", "unknown field 'optimiser.rat': did you mean 'optimiser.rate'? Valid:"),
        ("optimizer.rate=3", "unknown field 'optimizer': did you mean 'optimiser'?"),
        ("rate=3", "unknown field 'rate': did you mean 'optimiser.rate'?"),
        ("betass=3", "unknown field 'betass': did you mean 'optimiser.betas'?"),
        ("qqqq=3", "unknown field 'qqqq'. Valid: steps,"),
        ("steps.x=3", "field 'steps' got"),
        ("steps=1.5", "field 'steps' got '1.5'; it must be a whole number"),
        ("steps=none", "field 'steps' got 'none'; it must be a whole number"),
        ("scale=big", "field 'scale' got 'big'; it must be a number"),
        ("loud=maybe", "field 'loud' got 'maybe'; it must be true or false"),
        ("limit=x", "field 'limit' got 'x'; it must be a whole number"),
        ("hidden=3,x", "field 'hidden[1]' got 'x'; it must be a whole number"),
        ("mode=fst", "field 'mode' got 'fst' (did you mean 'fast'?); valid: fast, exact"),
        ("optimiser.name=adm", "field 'optimiser.name' got 'adm' (did you mean 'adam'?)"),
        ("optimiser.betas=1", "field 'optimiser.betas' got '1'; it must be 2 values"),
        ("optimiser=3", "field 'optimiser' got '3'; it must be a table of the fields of Optimiser"),
        ("weights=3", "field 'weights' got '3'; it must be a table of names and values"),
        ("weights.a=x", "field 'weights.a' got 'x'; it must be a number"),
        ("by_step.x=y", "field 'by_step.x' got 'x'; it must be a whole number"),
        ("spare=3", "field 'spare' got '3'; it must be a table of the fields of Optimiser"),
        ("steps", "override 'steps' is not of the form field=value or field.sub=value"),
        ("=3", "override '=3' is not of the form field=value or field.sub=value"),
    ],
)
def test_wrong_overrides_get_one_line(line, message):
    with pytest.raises(InvalidInput) as caught:
        load_config(Whole, overrides=[line])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('steps = "3"', "field 'steps' got '3'; it must be a whole number"),
        ("steps = 3.0", "field 'steps' got '3.0'; it must be a whole number"),
        ("steps = true", "field 'steps' got 'True'; it must be a whole number"),
        ("title = 3", "field 'title' got '3'; it must be text"),
        ("folder = 3", "field 'folder' got '3'; it must be a path"),
        ("loud = 1", "field 'loud' got '1'; it must be true or false"),
        ('hidden = "3"', "field 'hidden' got '3'; it must be a list of values"),
        ("either = [1]", "field 'either' got '[1]'; it must be a whole number or a number or text"),
        ("[optimiser]\nrrate = 1", "unknown field 'optimiser.rrate': did you mean 'optimiser.rate"),
        ("[[stages]]\nlable = 'x'", "unknown field 'stages[0].lable': did you mean 'stages[0]."),
        ("steps = ", "FILE cannot be read: "),
    ],
)
def test_wrong_files_get_one_line(text, message, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_config(Whole, path)
    assert str(caught.value).startswith(message.replace("FILE", str(path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", b'{"steps": 3', "cannot be read"),
        ("c.json", b"[1]", "must hold one object of fields, got list"),
        ("c.json", b'{"no-value": "steps"}', "no-value is 'steps'; it must be a list of fields"),
        ("c.toml", b"no-value = [3]", r"no-value is \[3\]; it must be a list of fields"),
        ("c.json", b'{"steps": null}', "field 'steps' got 'None'"),
        ("c.json", b"\xff\xfe", "cannot be read"),
        ("c.json", b"[" * 100_000, "cannot be read"),
        ("c.yaml", b"steps: 3", "ends in .toml or .json, got 'c.yaml'"),
    ],
)
def test_broken_files(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(")):
        load_config(Whole, tmp_path / name)


def test_absent_file_folder_and_suffix(tmp_path):
    with pytest.raises(MissingData, match="no configuration file at"):
        load_config(Whole, tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_config(Whole, tmp_path / "folder.toml")
    with pytest.raises(InvalidInput, match=r"ends in \.toml or \.json, got 'c.txt'"):
        dump_config(Whole(), tmp_path / "c.txt")
    assert not (tmp_path / "c.txt").exists()


def test_presets():
    assert Whole.preset("tiny") == Whole(steps=2, optimiser=Optimiser(rate=0.5, clip=1.0))
    changed = Whole.preset("small", steps=3, mode=Mode.EXACT, **{"optimiser.rate": 2})
    assert (changed.steps, changed.mode, changed.limit) == (3, Mode.EXACT, 7)
    assert changed.optimiser == Optimiser(rate=2.0, name="sgd", clip=1.0)
    assert Whole.preset("tiny", optimiser=Optimiser()).optimiser == Optimiser()
    message = "unknown preset 'tinny': did you mean 'tiny'? Valid: tiny, small"
    for call in (lambda: Whole.preset("tinny"), lambda: load_config(Whole, preset="tinny")):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert str(caught.value) == message
    with pytest.raises(InvalidInput, match="unknown field 'stps': did you mean 'steps'"):
        Whole.preset("tiny", stps=3)
    with pytest.raises(InvalidInput, match="must be a whole number"):
        Whole.preset("tiny", steps="3")


def test_plain_dataclass_with_required_fields(tmp_path):
    config = load_config(Required, overrides=["path=x", "steps=2"])
    assert config == Required("x", 2)
    path = dump_config(config, tmp_path / "c.toml")
    assert load_config(Required, path) == config
    assert load_config(Required, path, ["steps=4"]).steps == 4
    with pytest.raises(InvalidInput, match="Required needs a value for path, steps"):
        load_config(Required)
    with pytest.raises(InvalidInput, match="Required needs a value for steps"):
        load_config(Required, overrides=["path=x"])
    with pytest.raises(InvalidInput, match="Required: steps is 0; it must be at least 1"):
        load_config(Required, overrides=["path=x", "steps=0"])
    with pytest.raises(InvalidInput, match="unknown field 'pth': did you mean 'path'"):
        load_config(Required, overrides=["pth=x"])
    with pytest.raises(InvalidInput, match="Required has no presets, got preset 'tiny'"):
        load_config(Required, preset="tiny")


def test_nested_dataclass_with_required_fields():
    @dataclass(frozen=True)
    class Outer:
        inner: Required | None = None

    assert load_config(Outer, overrides=["inner.path=x", "inner.steps=3"]).inner == Required("x", 3)
    with pytest.raises(InvalidInput, match=r"Required needs a value for inner\.steps"):
        load_config(Outer, overrides=["inner.path=x"])


def test_derived_fields_are_neither_written_nor_set(tmp_path):
    @dataclass(frozen=True)
    class Derived:
        steps: int = 3
        double: int = field(init=False, default=0)

        def __post_init__(self) -> None:
            object.__setattr__(self, "double", 2 * self.steps)

    path = dump_config(Derived(4), tmp_path / "c.json")
    assert load_config(Derived, path).double == 8
    with pytest.raises(InvalidInput, match="unknown field 'double'"):
        load_config(Derived, overrides=["double=3"])


def test_other_hints():
    @dataclass(frozen=True)
    class Odd:
        anything: Any = None
        noted: Annotated[int, "kelvin"] = 1
        pair: tuple[int, str] = (1, "a")
        run: Sequence[int] = ()
        table: Mapping[str, int] = field(default_factory=dict)
        nothing: tuple[()] = ()

    lines = ["anything=[1, 2]", "noted=3", "pair=4,b", "run=1,2", "table.x=3"]
    config = load_config(Odd, overrides=lines)
    assert config == Odd([1, 2], 3, (4, "b"), (1, 2), {"x": 3})
    assert load_config(Odd, overrides={"noted": np.int64(3)}).noted == 3
    with pytest.raises(InvalidInput, match="field 'nothing' got '1'; it must be 0 values"):
        load_config(Odd, overrides=["nothing=1"])


def test_diff_configs():
    first = Whole()
    second = Whole(steps=11, scale=math.nan, optimiser=Optimiser(rate=0.5, clip=1.0))
    assert diff_configs(first, second) == {
        "steps": (10, 11),
        "scale": (1.0, "nan"),
        "optimiser.rate": (0.1, 0.5),
    }
    assert diff_configs(second, second) == {}
    assert diff_configs({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == {
        "a": (1, None),
        "b.c": (2, 3),
        "d": (None, 4),
    }
    assert diff_configs({"a": True}, {"a": 1}) == {"a": (True, 1)}
    assert diff_configs({"a": math.nan}, {"a": math.nan}) == {}
    assert diff_configs(first, to_plain(second)) == diff_configs(first, second)


def test_config_fields_are_dotted():
    fields = config_fields(Whole)
    assert fields["steps"] is int
    assert fields["optimiser.rate"] is float
    assert "optimiser" not in fields
    assert "spare" in fields
