"""Pictures, sounds and clips inside a page: their kind, their bytes as data addresses."""

import base64
from html import escape
from pathlib import Path

from equipoise.core.errors import InvalidInput, unknown_name

KINDS = ("image", "video", "audio")
TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
}
"""File suffix -> media type, for everything that a report shows."""

# Larger files stay beside the report and are named by a relative address.
INLINE_LIMIT = {"image": 24 * 2**20, "video": 16 * 2**20, "audio": 16 * 2**20}

_MAGIC = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"\xff\xfb", ".mp3"),
    (b"\x1a\x45\xdf\xa3", ".webm"),
)


def suffix_of(data: bytes) -> str:
    """Return the file suffix that the first bytes of a picture, sound or clip call for.

    Raises:
        InvalidInput: none of the known formats.
    """
    for magic, suffix in _MAGIC:
        if data.startswith(magic):
            return suffix
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE"):
        return ".webp" if data[8:12] == b"WEBP" else ".wav"
    if data[4:8] == b"ftyp":
        return ".mp4"
    if b"<svg" in data[:512]:
        return ".svg"
    raise InvalidInput(
        f"bytes that begin with {data[:8]!r} are no known media; "
        f"allowed: {', '.join(sorted(TYPES))} (or give a path)"
    )


def kind_of(path: str | Path) -> str:
    """Return `image`, `video` or `audio` by a file's suffix.

    Raises:
        InvalidInput: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TYPES:
        raise unknown_name("media suffix", suffix, sorted(TYPES))
    return TYPES[suffix].partition("/")[0]


def data_address(data: bytes, suffix: str) -> str:
    """Return bytes as a `data:` address."""
    return f"data:{TYPES[suffix.lower()]};base64,{base64.b64encode(data).decode('ascii')}"


def media_html(path: Path, relative: str, kind: str, caption: str) -> str:
    """Return a figure element for the file; one that is missing says so in its place."""
    try:
        size = path.stat().st_size
        inline = size <= INLINE_LIMIT[kind] and path.suffix.lower() in TYPES
        source = data_address(path.read_bytes(), path.suffix) if inline else relative
    except OSError:
        return f'<p class="problem">The file {escape(relative)} is missing.</p>'
    source, label = escape(source), escape(caption)
    if kind == "image":
        element = f'<img src="{source}" alt="{label}">'
    elif kind == "video":
        settings = 'controls loop muted playsinline preload="metadata"'
        element = f'<video src="{source}" aria-label="{label}" {settings}></video>'
    else:
        element = f'<audio src="{source}" aria-label="{label}" controls></audio>'
    text = f"<figcaption>{label}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{element}{text}</figure>'
