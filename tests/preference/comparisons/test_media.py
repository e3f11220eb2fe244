"""Decoding of media: pictures, sound, clips, trajectories, and what damaged ones get."""

# Constructors also take strings, lists and bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import hashlib
import io
import subprocess
import wave

import imageio.v3 as iio
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image
from scipy.io import wavfile

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.preference.comparisons import Segment, Sound, Video


def _png(array, mode=None):
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_come_back_exactly(channels):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    data = _png(picture[..., 0] if channels == 1 else picture)
    decoded = Segment("image", data=data, media_type="image/png").array()
    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, picture)


def test_sixteen_bit_pictures_are_brought_to_eight():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 65535], [256, 32768]], dtype=np.uint16)).save(buffer, "PNG")
    decoded = Segment("image", data=buffer.getvalue()).array()
    assert np.array_equal(np.asarray(decoded)[..., 0], [[0, 255], [1, 128]])


def test_a_picture_is_read_from_its_path(tmp_path):
    picture = np.full((4, 4, 3), 9, dtype=np.uint8)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "x.png").write_bytes(_png(picture))
    segment = Segment("image", path="media/x.png")
    assert np.array_equal(np.asarray(segment.array(tmp_path)), picture)
    assert segment.read(str(tmp_path)) == _png(picture)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_pcm_sound_is_mono_float(tmp_path, width):
    rate, ramp = 8000, np.array([0.0, 0.5, -0.5, -1.0])
    values = (ramp * 2.0 ** (8 * width - 1)).astype(np.int64)
    stored = (values + 128).astype(np.uint8) if width == 1 else values.astype(f"<i{width}")
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(stored.tobytes())
    sound = Segment("audio", path="tone.wav").array(tmp_path)
    assert isinstance(sound, Sound)
    assert sound.rate == rate
    assert sound.samples.dtype == np.float32
    np.testing.assert_allclose(sound.samples, ramp, atol=1e-6)


def test_stereo_and_float_sound():
    buffer = io.BytesIO()
    wavfile.write(buffer, 16000, np.array([[1.0, 0.0], [0.5, -0.5]], dtype=np.float32))
    sound = Segment("audio", data=buffer.getvalue()).array()
    assert isinstance(sound, Sound)
    np.testing.assert_allclose(sound.samples, [0.5, 0.0])


def test_clips_keep_frames_and_rate(tmp_path):
    frames = np.zeros((6, 16, 16, 3), dtype=np.uint8)
    frames[..., 0] = 50 * np.arange(6)[:, None, None]
    iio.imwrite(tmp_path / "x.gif", frames, plugin="pillow", duration=250, loop=0)
    video = Segment("video", path="x.gif").array(tmp_path)
    assert isinstance(video, Video)
    assert video.fps == pytest.approx(4.0)
    assert np.array_equal(video.frames, frames)


def test_frames_that_stand_longer_are_repeated(tmp_path):
    pictures = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pictures[0].save(
        tmp_path / "x.gif", save_all=True, append_images=pictures[1:], duration=[100, 300]
    )
    video = Segment("video", path="x.gif").array(tmp_path)
    assert isinstance(video, Video)
    assert video.fps == pytest.approx(10.0)
    assert (video.frames[:, 0, 0, 0] > 0).tolist() == [True, False, False, False]


def test_mp4_clips(tmp_path):
    frames = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    frames[2:] = 200
    iio.imwrite(tmp_path / "x.mp4", frames, plugin="FFMPEG", fps=10)
    data = (tmp_path / "x.mp4").read_bytes()
    video = Segment("video", data=data, media_type="video/mp4").array()
    assert isinstance(video, Video)
    assert video.fps == pytest.approx(10.0)
    assert video.frames.shape == frames.shape
    assert abs(int(video.frames[0].mean()) - 0) < 5
    assert abs(int(video.frames[-1].mean()) - 200) < 5


def test_compressed_sound_is_decoded(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32) / 2
    wavfile.write(tmp_path / "t.wav", 8000, tone)
    command = [
        get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(tmp_path / "t.wav"),
        str(tmp_path / "t.flac"),
    ]
    subprocess.run(command, check=True)
    sound = Segment("audio", path="t.flac").array(tmp_path)
    assert isinstance(sound, Sound)
    assert sound.rate == 8000
    np.testing.assert_allclose(sound.samples[:8000], tone, atol=1e-3)


def test_trajectories_are_structured_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", observations=np.ones((4, 2)), episode=np.int64(7))
    decoded = Segment("behaviour", path="x.npz").array(tmp_path)
    assert isinstance(decoded, np.ndarray)
    assert decoded["observations"].shape == (4, 2)
    assert decoded["episode"] == 7


def test_text_and_actions_are_their_words():
    assert Segment(text="hé").array() == "hé"
    assert Segment(text="hé").read() == "hé".encode()
    assert Segment("action", text="left").array() == "left"


def test_missing_files_name_their_path(tmp_path):
    with pytest.raises(MissingData, match=r"media/none\.png"):
        Segment("image", path="media/none.png").array(tmp_path)


def test_a_changed_checksum_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"abc")
    right = hashlib.sha256(b"abc").hexdigest()
    assert Segment("image", path="x.bin", sha256=right.upper()).read(tmp_path) == b"abc"
    with pytest.raises(InvalidInput, match=r"x\.bin.*SHA-256"):
        Segment("image", path="x.bin", sha256="00" + right[2:]).array(tmp_path)


@pytest.mark.parametrize("modality", ["image", "audio", "video", "behaviour"])
def test_unreadable_media_are_refused(tmp_path, modality):
    (tmp_path / "x.bin").write_bytes(b"RIFF nonsense that is no media" * 3)
    with pytest.raises(InvalidInput, match=rf"{modality} 'x\.bin' cannot be decoded"):
        Segment(modality, path="x.bin").array(tmp_path)


def test_objects_in_a_trajectory_are_not_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        Segment("behaviour", path="x.npz").array(tmp_path)
