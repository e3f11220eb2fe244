import subprocess
import sys

import equipoise.systems.stream_aligner as room
from equipoise.core.config import load_config
from equipoise.core.rooms import Room, load

BINDING = [
    "ROOM",
    "StreamAlignerConfig",
    "Segment",
    "Segmenter",
    "segment",
    "first_sentence",
    "Correction",
    "make_corrector",
    "align",
    "align_stream",
    "diff_ops",
    "corrector_prompt",
    "build_example",
    "correction_loss",
    "copy_decode",
    "induced_kernel",
    "induction",
    "arithmetic_accuracy",
    "pipeline_period",
    "simulate_pipeline",
    "improvement_rate",
    "compare_in_both_orders",
    "parse_verdict",
]

PUBLIC: list[str] = getattr(room, "__all__")  # noqa: B009 - built while importing


def test_the_binding_names_are_public_and_few() -> None:
    assert set(BINDING) <= set(PUBLIC)
    assert len(PUBLIC) <= 30
    assert PUBLIC == sorted(PUBLIC) == dir(room)
    for name in PUBLIC:
        assert getattr(room, name) is not None


def test_importing_every_name_loads_nothing_heavy() -> None:
    line = (
        "import sys, equipoise.systems.stream_aligner as room; "
        "[getattr(room, name) for name in room.__all__]; "
        "import equipoise.systems.stream_aligner.commands; "
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_record_names_what_exists() -> None:
    assert isinstance(room.ROOM, Room)
    for verb in room.ROOM.verbs:
        assert callable(room.ROOM.verb(verb))
    config = load(room.ROOM.config)
    assert set(room.ROOM.presets) == set(config.PRESETS)
    for preset in room.ROOM.presets:
        assert load_config(config, preset=preset).steps >= 1
    assert "2501.05336" in room.ROOM.bibtex
