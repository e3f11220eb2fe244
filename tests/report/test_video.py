"""Videos: what goes in comes out, in both formats; what cannot stand in one is refused whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from equipoise.core.errors import InvalidInput, MissingExtra
from equipoise.report import write_video


def frames(count=6, height=20, width=31):
    clip = np.full((count, height, width, 3), 30, np.uint8)
    for index in range(count):
        clip[index, 4:10, index : index + 5] = (250, 120, 10)
    return clip


def read_gif(path):
    with Image.open(path) as image:
        shown, times = [], []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            times.append(image.info["duration"])
            shown.append(np.asarray(image.convert("RGB")))
        return np.stack(shown), times, image.info.get("loop")


def read_mp4(path):
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    shown = [np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader]
    return meta, np.stack(shown)


def test_a_gif_shows_every_frame_exactly_and_loops(tmp_path):
    clip = frames()
    shown, _, loop = read_gif(write_video(tmp_path / "clip.gif", clip, fps=10))
    assert np.array_equal(shown, clip)
    assert loop == 0


def test_equal_frames_of_a_gif_are_kept(tmp_path):
    shown, times, _ = read_gif(
        write_video(tmp_path / "still.gif", frames()[:1].repeat(9, 0), fps=10)
    )
    assert shown.shape[0] == 9
    assert times == [100] * 9


def test_gif_times_add_up_to_the_rate(tmp_path):
    _, times, _ = read_gif(write_video(tmp_path / "clip.gif", frames(30), fps=30))
    assert sum(times) == 1000
    _, fast, _ = read_gif(write_video(tmp_path / "fast.gif", frames(4), fps=500))
    assert fast == [20] * 4


@settings(max_examples=15)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.just(3)))
)
def test_any_small_clip_survives_a_gif(tmp_path_factory, clip):
    path = tmp_path_factory.mktemp("gif") / "clip.gif"
    assert np.array_equal(read_gif(write_video(path, clip, fps=20))[0], clip)


@pytest.mark.parametrize("size", [(20, 31), (21, 30), (21, 31), (20, 30)])
def test_an_mp4_is_h264_yuv420p_and_odd_sizes_are_padded(tmp_path, size):
    clip = frames(8, *size)
    meta, shown = read_mp4(write_video(tmp_path / "clip.mp4", clip, fps=12.5))
    assert meta["codec"] == "h264"
    assert meta["pix_fmt"].startswith("yuv420p")
    assert meta["fps"] == pytest.approx(12.5)
    assert shown.shape == (8, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    inner = shown[:, : size[0], : size[1]].astype(float)
    assert np.abs(inner - clip).mean() < 12


def test_frames_may_come_one_by_one_and_the_suffix_in_capitals(tmp_path):
    path = write_video(str(tmp_path / "deep" / "clip.GIF"), (frame for frame in frames()))
    assert path == tmp_path / "deep" / "clip.GIF"
    assert np.array_equal(read_gif(path)[0], frames())


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((2, 4, 4, 3)), "frame 0 holds float64 values; frames are uint8"),
        (np.zeros((2, 4, 4), np.uint8), r"frame 0 has shape \(4, 4\); frames are \(H, W, 3\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), r"frame 0 has shape \(4, 4, 4\)"),
        (np.zeros((2, 0, 4, 3), np.uint8), r"frame 0 has shape \(0, 4, 3\)"),
        ([], "at least one frame, got none"),
        (
            [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)],
            r"frame 1 has shape \(4, 5, 3\), the first has \(4, 4, 3\)",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_wrong_frames_are_refused_and_nothing_is_left(tmp_path, clip, message, suffix):
    with pytest.raises(InvalidInput, match=message):
        write_video(tmp_path / f"clip{suffix}", clip)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_clip_that_fails_half_way_leaves_the_old_file(tmp_path, suffix):
    path = write_video(tmp_path / f"clip{suffix}", frames())
    before = path.read_bytes()

    def broken():
        yield from frames()
        raise RuntimeError("the renderer died")

    with pytest.raises(RuntimeError, match="the renderer died"):
        write_video(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip.mp5", "unknown video suffix '.mp5': did you mean '.mp4'"),
        ("clip.giff", "unknown video suffix '.giff': did you mean '.gif'"),
        ("clip", "unknown video suffix ''. Valid: .mp4, .gif"),
    ],
)
def test_another_suffix_names_the_nearest(tmp_path, name, message):
    with pytest.raises(InvalidInput, match=message.replace("'.", "'\\.")):
        write_video(tmp_path / name, frames())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_positive(tmp_path, fps):
    with pytest.raises(InvalidInput, match="must be a positive number of frames a second"):
        write_video(tmp_path / "clip.gif", frames(), fps=fps)


def test_without_ffmpeg_an_mp4_says_what_to_do_and_a_gif_still_works(tmp_path, monkeypatch):
    import imageio_ffmpeg

    def absent():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", absent)
    with pytest.raises(MissingExtra, match="needs ffmpeg") as caught:
        write_video(tmp_path / "clip.mp4", frames())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert write_video(tmp_path / "clip.gif", frames()).exists()
