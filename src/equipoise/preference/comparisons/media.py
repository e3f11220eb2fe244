"""Bytes of media and what they decode to: pictures, sound, clips, trajectories."""

import base64
import hashlib
import io
import math
import mimetypes
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, MissingData

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "application/x-npz": "npz",
}
_USUAL = {"image": "png", "audio": "wav", "video": "mp4", "behaviour": "npz"}


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono sound: samples (N,) float32 in [-1, 1] and their rate in Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True, eq=False)
class Video:
    """A clip: frames (T, H, W, 3) uint8 and frames per second."""

    frames: NDArray[np.uint8]
    fps: float


Payload = str | NDArray | Sound | Video


def read_payload(path: str | None, data: str | None, root: str | Path | None) -> bytes:
    """Return the bytes of a media segment: of the file `root/path`, or of the base64 `data`."""
    if data is not None:
        return base64.b64decode(data)
    place = Path(root or ".") / str(path)
    try:
        return place.read_bytes()
    except FileNotFoundError:
        raise MissingData(
            f"no media file {path!r} under {str(root or '.')!r}; put it there, or give the folder "
            "of the comparison file as root"
        ) from None
    except OSError as error:
        raise InvalidInput(f"media file {path!r} cannot be read: {error.strerror}") from error


def check_digest(payload: bytes, sha256: str | None, name: str) -> None:
    """Raise `InvalidInput` if the SHA-256 of `payload` is not `sha256` (None: not checked)."""
    if sha256 is None:
        return
    found = hashlib.sha256(payload).hexdigest()
    if found != sha256.lower():
        raise InvalidInput(f"media {name!r} has SHA-256 {found}, its record says {sha256}")


def extension(modality: str, path: str | None, media_type: str | None) -> str:
    """Return the file name extension, without its dot, that fits a media segment."""
    suffix = Path(path).suffix[1:] if path else ""
    if suffix:
        return suffix.lower()
    known = media_type and (_EXTENSIONS.get(media_type) or mimetypes.guess_extension(media_type))
    return known.lstrip(".") if known else _USUAL.get(modality, "bin")


def media_type_of(path: str) -> str | None:
    """Return the MIME type that a file name promises, or None."""
    suffix = Path(path).suffix[1:].lower()
    for media_type, known in _EXTENSIONS.items():
        if known == suffix:
            return media_type
    return mimetypes.guess_type(path)[0]


def decode(
    modality: str, payload: bytes, path: str | None, media_type: str | None, name: str
) -> Payload:
    """Return the decoded media (see `Segment.array`); raises `InvalidInput` where that fails."""
    decoders: dict[str, Callable[[bytes, str], Payload]] = {
        "image": _decode_image,
        "audio": _decode_audio,
        "video": _decode_video,
        "behaviour": _decode_behaviour,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decoders[modality](payload, extension(modality, path, media_type))
    except Exception as error:  # decoders of damaged files raise anything
        raise InvalidInput(f"{modality} {name!r} cannot be decoded: {error}") from error


def _decode_image(payload: bytes, _: str) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(payload)) as picture:
        picture.load()
        mode = picture.mode
        if mode.startswith("I;16") or mode == "I":
            values = np.asarray(picture).astype(np.int64) >> 8
            return np.clip(values, 0, 255).astype(np.uint8)[..., None]
        if mode in ("1", "L"):
            return np.asarray(picture.convert("L"))[..., None]
        transparent = mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        return np.asarray(picture.convert("RGBA" if transparent else "RGB"))


def _decode_audio(payload: bytes, suffix: str) -> Sound:
    if payload[:4] not in (b"RIFF", b"RIFX", b"RF64"):
        payload = _as_wav(payload, suffix)
    from scipy.io import wavfile

    rate, samples = wavfile.read(io.BytesIO(payload))
    if samples.dtype == np.uint8:  # 8-bit WAV is unsigned
        values = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        values = samples / np.float64(np.iinfo(samples.dtype).max + 1)
    else:
        values = samples
    mono = values.mean(axis=1) if values.ndim == 2 else values
    return Sound(np.ascontiguousarray(mono, dtype=np.float32), int(rate))


def _as_wav(payload: bytes, suffix: str) -> bytes:
    """Return the WAV (float32) of any sound that ffmpeg reads."""
    from imageio_ffmpeg import get_ffmpeg_exe

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"sound.{suffix}", Path(folder) / "decoded.wav"
        source.write_bytes(payload)
        command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", source, "-vn"]
        done = subprocess.run(
            [*command, "-c:a", "pcm_f32le", target], capture_output=True, check=False
        )
        if done.returncode or not target.exists():
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ValueError(reason[-1] if reason else "ffmpeg does not read it")
        return target.read_bytes()


def _decode_video(payload: bytes, suffix: str) -> Video:
    import imageio.v3 as iio

    if suffix == "gif" or payload[:4] == b"GIF8":
        return _decode_gif(payload)
    with tempfile.TemporaryDirectory() as folder:  # ffmpeg must be able to seek in its input
        source = Path(folder) / f"clip.{suffix}"
        source.write_bytes(payload)
        frames = iio.imread(source, plugin="FFMPEG")
        meta = iio.immeta(source, plugin="FFMPEG")
    return Video(np.ascontiguousarray(frames, dtype=np.uint8), float(meta["fps"]))


def _decode_gif(payload: bytes) -> Video:
    """Return the clip of a GIF: frames that stand longer are repeated, so that one rate holds."""
    from PIL import Image, ImageSequence

    frames, durations = [], []
    with Image.open(io.BytesIO(payload)) as picture:
        for frame in ImageSequence.Iterator(picture):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(int(frame.info.get("duration") or 100))
    beat = math.gcd(*durations)
    if sum(durations) // beat > 20 * len(frames):  # no common beat worth the memory
        return Video(np.stack(frames), 1000.0 * len(frames) / sum(durations))
    return Video(np.repeat(frames, [d // beat for d in durations], axis=0), 1000.0 / beat)


def _decode_behaviour(payload: bytes, _: str) -> NDArray:
    with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if not arrays:
        raise ValueError("the archive holds no arrays")
    layout = [(name, values.dtype, values.shape) for name, values in arrays.items()]
    whole = np.empty((), dtype=layout)
    for name, values in arrays.items():
        whole[name] = values
    return whole
