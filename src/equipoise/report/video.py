"""Frames to a video file: MP4 where ffmpeg is at hand, GIF everywhere."""

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, MissingExtra, RunFailed, unknown_name

_SUFFIXES = (".mp4", ".gif")
Frame = NDArray[np.uint8]
_H264: dict[str, Any] = {
    "codec": "libx264",
    "pix_fmt_out": "yuv420p",
    "macro_block_size": 1,
    "quality": None,
    "output_params": ["-crf", "20", "-movflags", "+faststart", "-threads", "2"],
}


def write_video(path: str | Path, frames: Iterable[NDArray[Any]], fps: float = 30) -> Path:
    """Write frames as a video; the file appears whole or not at all.

    Args:
        path: ends in `.mp4` (H.264, yuv420p, plays everywhere; an odd height or width is padded by
            repeating the last row or column) or `.gif` (256 colours, loops).
        frames: `(T, H, W, 3)` array, or any iterable of `(H, W, 3)` uint8 arrays of one size; it is
            read one frame at a time.
        fps: frames a second. GIF counts in hundredths of a second, so its rate is rounded to
            those and at most 50.

    Returns:
        The path.

    Raises:
        InvalidInput: another suffix, no frame, a frame of another shape or type, or fps <= 0.
        MissingExtra: `.mp4` without ffmpeg.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise unknown_name("video suffix", path.suffix, _SUFFIXES)
    if not 0 < fps < float("inf"):
        raise InvalidInput(f"fps is {fps!r}; it must be a positive number of frames a second")
    checked = _checked(frames)
    first = next(checked, None)
    if first is None:
        raise InvalidInput("a video needs at least one frame, got none")
    write = _write_mp4 if suffix == ".mp4" else _write_gif
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=suffix)
    os.close(handle)
    try:
        write(temporary, chain([first], checked), float(fps))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _checked(frames: Iterable[NDArray[Any]]) -> Iterator[Frame]:
    """Yield the frames, refusing the first that cannot stand in the video."""
    shape: tuple[int, ...] | None = None
    for index, item in enumerate(frames):
        frame = np.asarray(item)
        if frame.dtype != np.uint8:
            raise InvalidInput(
                f"frame {index} holds {frame.dtype} values; frames are uint8 from 0 to 255"
            )
        if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise InvalidInput(f"frame {index} has shape {frame.shape}; frames are (H, W, 3)")
        if shape is not None and frame.shape != shape:
            raise InvalidInput(
                f"frame {index} has shape {frame.shape}, the first has {shape}; all must be equal"
            )
        shape = frame.shape
        yield frame


def _write_mp4(path: str, frames: Iterable[Frame], fps: Any) -> None:
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise MissingExtra(
            "writing .mp4 needs ffmpeg, which was not found; run: pip install imageio-ffmpeg, "
            "or write a .gif instead"
        ) from None
    writer = None
    try:
        for frame in frames:
            height, width = frame.shape[:2]
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if writer is None:
                size = (even.shape[1], even.shape[0])
                writer = imageio_ffmpeg.write_frames(path, size, fps=fps, **_H264)
                writer.send(None)
            writer.send(np.ascontiguousarray(even))
    except OSError as error:
        raise RunFailed(f"ffmpeg could not write the video: {error}") from error
    finally:
        if writer is not None:
            writer.close()


def _write_gif(path: str, frames: Iterable[Frame], fps: float) -> None:
    """Write one image block a frame: the part that changed, with colours of its own.

    Pillow's own animation writer merges equal frames and holds all of them in memory.
    """
    from PIL import GifImagePlugin, Image

    clock = 0
    step = max(2.0, 100.0 / fps)  # browsers slow anything shorter down to 0.1 s
    before: Frame | None = None
    with open(path, "wb") as file:
        for index, frame in enumerate(frames):
            if before is None:
                height, width = frame.shape[:2]
                file.write(struct.pack("<6sHHBBB", b"GIF89a", width, height, 0x70, 0, 0))
                file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # loop for ever
            top, bottom, left, right = _changed(before, frame)
            part = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
            part = part.quantize(256, dither=Image.Dither.NONE)
            ends = round(step * (index + 1))
            settings = {"duration": 10 * (ends - clock), "include_color_table": True, "disposal": 1}
            for block in GifImagePlugin.getdata(part, (left, top), **settings):
                file.write(block)
            before, clock = frame.copy(), ends
        file.write(b";")


def _changed(before: Frame | None, frame: Frame) -> tuple[int, int, int, int]:
    """Return the rows and columns (from, up to) that differ; at least one pixel."""
    height, width = frame.shape[:2]
    if before is None:
        return 0, height, 0, width
    differs = np.any(frame != before, axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if rows.size == 0:
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
