"""Records through files: text of every script, every modality beside the file and inline."""

# Constructors also take strings, lists and bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import gzip
import hashlib
import io
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import wavfile

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import (
    Comparison,
    Feedback,
    Origin,
    Rating,
    Segment,
    Sound,
    Video,
    read_comparisons,
    write_comparisons,
)
from equipoise.preference.comparisons.media import extension, media_type_of

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = words.filter(bool)
sides = st.sampled_from(["a", "b", "tie", "both_bad", None])
segments = st.builds(
    Segment,
    st.sampled_from(["text", "action"]),
    text=words,
    role=st.sampled_from(["system", "user", "assistant", "tool", None]),
)
parts = st.lists(segments, min_size=1, max_size=2).map(tuple)
feedback = st.builds(Feedback, st.dictionaries(words, words, max_size=2), refinement=parts)
origins = st.builds(Origin, words, words, flags=st.lists(words, max_size=2).map(tuple))
records = st.one_of(
    st.builds(
        Comparison,
        *(names, parts, parts, parts),
        winner=sides,
        winners=st.dictionaries(words, sides, max_size=2),
        feedback=st.dictionaries(st.sampled_from("ab"), feedback, max_size=2),
        models=st.tuples(words, st.none()),
        origin=origins,
        extra=st.dictionaries(words, st.integers() | words, max_size=2),
    ),
    st.builds(Rating, names, parts, parts, st.booleans(), feedback=feedback, model=words),
)
DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "comparison.schema.json").read_text("utf-8"))


def _image():
    buffer = io.BytesIO()
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def _audio():
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, np.array([0, 16384, -32768, 8192], dtype=np.int16))
    return buffer.getvalue()


def _video():
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return buffer.getvalue()


def _behaviour():
    buffer = io.BytesIO()
    np.savez(buffer, actions=np.arange(6).reshape(3, 2), reward=np.float64(1.5))
    return buffer.getvalue()


MEDIA = {
    "image": ("deep/er/ü 1.png", _image),
    "audio": ("tone.wav", _audio),
    "video": ("clips/c.gif", _video),
    "behaviour": ("walk.npz", _behaviour),
}


def _assert_equal_media(one, two):
    if isinstance(one, Sound):
        assert one.rate == two.rate
        one, two = one.samples, two.samples
    elif isinstance(one, Video):
        assert one.fps == two.fps
        one, two = one.frames, two.frames
    assert isinstance(one, np.ndarray)
    assert one.size > 0
    assert np.array_equal(one, two)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, max_size=4, unique_by=lambda record: record.id), st.booleans())
def test_records_come_back_from_a_file_and_obey_the_schema(tmp_path, kept, packed):
    path = tmp_path / f"x.jsonl{'.gz' if packed else ''}"
    assert write_comparisons(path, kept) == len(kept)
    assert read_comparisons(path).records == tuple(kept)
    raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    for line in raw.decode().split("\n")[:-1]:
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(line))
    write_comparisons(tmp_path / f"again-{path.name}", read_comparisons(path).records)
    assert (tmp_path / f"again-{path.name}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("modality", MEDIA)
def test_media_go_inline_and_back_without_a_change(tmp_path, modality):
    name, make = MEDIA[modality]
    source = tmp_path / "source"
    (source / name).parent.mkdir(parents=True)
    (source / name).write_bytes(make())
    segment = Segment(modality, path=name, role="assistant")
    said = Feedback(refinement=(segment,))
    record = Comparison("1", ["look", segment], [segment], "no", feedback={"b": said})
    write_comparisons(source / "x.jsonl", [record])
    original = segment.array(source)
    write_comparisons(tmp_path / "inline" / "x.jsonl.gz", [record], media="inline", root=source)
    shutil.rmtree(source)
    inline = read_comparisons(tmp_path / "inline" / "x.jsonl.gz")
    write_comparisons(tmp_path / "back" / "x.jsonl", inline.records, root=inline.root)
    back = read_comparisons(tmp_path / "back" / "x.jsonl")
    digest = hashlib.sha256(make()).hexdigest()
    stored = list((tmp_path / "back" / "media").iterdir())
    assert [path.name for path in stored] == [f"{digest[:16]}{Path(name).suffix}"]
    for file in (inline, back):
        (found,) = file.records
        assert isinstance(found, Comparison)
        refinement = found.feedback["b"].refinement
        assert refinement is not None
        for one in (found.prompt[1], found.response_a[0], refinement[0]):
            assert (one.modality, one.role) == (modality, "assistant")
            assert one.read(file.root) == make()
            _assert_equal_media(one.array(file.root), original)
        assert found.prompt[0] == Segment(text="look")


def test_a_moved_folder_keeps_its_media_and_a_changed_file_is_noticed(tmp_path):
    record = Rating("1", [Segment("image", data=_image())], "fine")
    write_comparisons(tmp_path / "here" / "x.jsonl", [record])
    shutil.move(tmp_path / "here", tmp_path / "there")
    file = read_comparisons(tmp_path / "there" / "x.jsonl")
    picture = file.records[0].prompt[0]
    _assert_equal_media(picture.array(file.root), np.arange(60).reshape(4, 5, 3))
    assert picture.path is not None
    (file.root / picture.path).write_bytes(_audio())
    with pytest.raises(InvalidInput, match=r"^media 'media/.*\.png' has SHA-256 .* record says"):
        picture.array(file.root)


@pytest.mark.parametrize(
    ("modality", "path", "media_type", "suffix"),
    [
        ("image", "a/b.JPEG", None, "jpeg"),
        ("image", "a.b/c", None, "png"),
        ("image", None, "image/jpeg", "jpg"),
        ("image", None, "image/svg+xml", "svg"),
        ("audio", None, "audio/x-wav", "wav"),
        ("audio", None, None, "wav"),
        ("video", None, "nonsense", "mp4"),
        ("behaviour", None, "application/x-npz", "npz"),
        ("action", None, None, "bin"),
    ],
)
def test_extensions(modality, path, media_type, suffix):
    assert extension(modality, path, media_type) == suffix


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "gif", "webp", "wav", "mp3", "flac", "mp4", "npz"]
)
def test_a_name_promises_a_type_that_gives_the_name_back(suffix):
    kind = media_type_of(f"folder.x/File.{suffix.upper()}")
    assert kind is not None
    assert extension("video", None, kind) == suffix
    assert media_type_of("folder.x/File") is None


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK", "L", "RGBA"])
def test_pictures_of_every_mode_become_grey_colour_or_transparent(mode):
    grey = Image.fromarray((np.indices((6, 6)).sum(axis=0) % 2 * 255).astype(np.uint8))
    buffer = io.BytesIO()
    format_ = "TIFF" if mode == "CMYK" else "PNG"
    grey.convert(mode).save(buffer, format_)
    decoded = np.asarray(Segment("image", data=buffer.getvalue()).array())
    channels = {"1": 1, "L": 1, "LA": 4, "RGBA": 4}.get(mode, 3)
    assert decoded.shape == (6, 6, channels)
    assert np.array_equal(decoded[..., 0], np.asarray(grey))
    if channels == 4:
        assert (decoded[..., 3] == 255).all()


def test_sound_of_three_bytes_a_sample_keeps_its_scale():
    values = [0, 2**22, -(2**23), 2**21]
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    layout = (1, 1, 8000, 24_000, 3, 24)
    widths = (2, 2, 4, 4, 2, 2)
    head = b"".join(value.to_bytes(width, "little") for value, width in zip(layout, widths))
    data = b"WAVEfmt " + (16).to_bytes(4, "little") + head + b"data" + (12).to_bytes(4, "little")
    payload = b"RIFF" + (len(data) + 12).to_bytes(4, "little") + data + body
    sound = Segment("audio", data=payload).array()
    assert isinstance(sound, Sound)
    np.testing.assert_allclose(sound.samples, [0, 0.5, -1, 0.25], atol=1e-6)
