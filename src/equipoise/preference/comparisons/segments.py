"""A segment: one piece of a prompt or an answer, in one modality."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.preference.comparisons import fields
from equipoise.preference.comparisons.fields import FieldProblem

if TYPE_CHECKING:
    from equipoise.preference.comparisons.media import Payload

MODALITIES = ("text", "image", "audio", "video", "action", "behaviour")
WRITTEN = ("text", "action")  # modalities whose payload is their text
ROLES = ("system", "user", "assistant", "tool")
MAX_INLINE_BYTES = 16 * 2**20

# A POSIX path relative to the file's folder: not absolute, no `..`, no backslash, no NUL, and no
# `letters:` in front, which would be a drive or a URL.
PATH_PATTERN = (
    r"^(?!/)(?![A-Za-z][A-Za-z0-9+.-]*:)(?!([^/]*/)*\.\.(/|(?![\s\S])))[^\\\u0000]+(?![\s\S])"
)
BASE64_PATTERN = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?(?![\s\S])"

_path = re.compile(PATH_PATTERN)
_base64 = re.compile(BASE64_PATTERN)


@dataclass(frozen=True)
class Segment:
    """One piece of a prompt or an answer.

    A `text` or `action` segment has `text`; every other modality has exactly one of `path` (POSIX,
    relative to the folder of the comparison file) and `data` (base64; bytes are encoded here).

    Attributes:
        modality: text, image, audio, video, action or behaviour.
        text: The words of a text, the name of an action.
        path: Where the media file lies, relative to the root.
        data: The media's bytes in base64, at most 16 MiB of them.
        media_type: MIME type, e.g. `image/png`.
        role: system, user, assistant or tool, where the segment is a turn of a conversation.
        sha256: SHA-256 of the media's bytes in hexadecimal; checked when they are read.

    Raises:
        InvalidInput: a field that the format refuses; the message names it.

    >>> Segment(text="hello").array()
    'hello'
    """

    modality: str = "text"
    text: str | None = None
    path: str | None = None
    data: str | None = None
    media_type: str | None = None
    role: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        fields.one_of(self.modality, MODALITIES, "modality")
        if self.modality in WRITTEN:
            if self.text is None:
                raise FieldProblem("text", f"is missing; a {self.modality} segment has text")
            fields.text(self.text, "text")
            if self.path is not None or self.data is not None:
                name = "data" if self.path is None else "path"
                raise FieldProblem(name, f"a {self.modality} segment has text and no {name}")
        else:
            self._check_media()
        if self.media_type is not None:
            fields.text(self.media_type, "media_type")
        if self.role is not None:
            fields.one_of(self.role, ROLES, "role")
        if self.sha256 is not None:
            fields.text(self.sha256, "sha256")

    def _check_media(self) -> None:
        if self.text is not None:
            raise FieldProblem("text", f"a {self.modality} segment has path or data, not text")
        if (self.path is None) == (self.data is None):
            got = "neither" if self.path is None else "both"
            raise FieldProblem(
                "path", f"a {self.modality} segment has exactly one of path and data, got {got}"
            )
        if self.path is not None:
            if not _path.match(fields.text(self.path, "path")):
                raise FieldProblem(
                    "path",
                    "must be a POSIX path relative to the file's folder, without '..', backslash, "
                    f"drive letter or URL; got {fields.shown(self.path)}",
                )
            return
        data: Any = self.data
        if isinstance(data, (bytes, bytearray)):
            data = base64.b64encode(data).decode("ascii")
            fields.assign(self, data=data)
        fields.text(data, "data")
        if len(data) * 3 // 4 - data[-2:].count("=") > MAX_INLINE_BYTES:
            raise FieldProblem("data", "inline media may hold at most 16 MiB; use path instead")
        if not _base64.match(data):
            raise FieldProblem("data", "is not base64")

    def read(self, root: str | Path | None = None) -> bytes:
        """Return the payload's bytes (of a text or an action: UTF-8).

        Args:
            root: Folder that `path` is relative to; None is the current folder.

        Raises:
            MissingData: the file does not exist.
            InvalidInput: it cannot be read, or its SHA-256 is not `sha256`.
        """
        if self.text is not None:
            return self.text.encode("utf-8")
        from equipoise.preference.comparisons import media

        payload = media.read_payload(self.path, self.data, root)
        media.check_digest(payload, self.sha256, self.path or "inline data")
        return payload

    def array(self, root: str | Path | None = None) -> "Payload":
        """Return the decoded payload; media are opened here and nowhere earlier.

        Text and action give their string; an image an array (H, W, C) uint8; audio a `Sound` (mono
        float32 samples and their rate in Hz); video a `Video` (frames (T, H, W, 3) uint8 and frames
        per second); behaviour the structured array of its `.npz`, one field per stored array.

        Raises:
            MissingData: the file does not exist.
            InvalidInput: checksum differs or the media cannot be decoded.
        """
        if self.text is not None:
            return self.text
        from equipoise.preference.comparisons import media

        name = self.path or "inline data"
        return media.decode(self.modality, self.read(root), self.path, self.media_type, name)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this segment: the keys that are set, in a fixed order."""
        return {key: value for key, value in self.__dict__.items() if value is not None}


def parse_segment(value: Any) -> Segment:
    """Return the segment that a JSON value spells: an object, or a string for a text segment."""
    if isinstance(value, str):
        return Segment(text=value)
    if isinstance(value, Segment):
        return value
    if not isinstance(value, dict):
        raise FieldProblem("", f"must be a string or an object, got {fields.kind_of(value)}")
    get = value.get
    return Segment(
        get("modality", "text"),
        get("text"),
        get("path"),
        get("data"),
        get("media_type"),
        get("role"),
        get("sha256"),
    )


def parse_segments(value: Any, field: str) -> tuple[Segment, ...]:
    """Return the non-empty tuple of segments that `value` spells; a string is one text segment."""
    if isinstance(value, str):
        return (Segment(text=value),)
    if isinstance(value, (dict, Segment)) or not isinstance(value, Iterable):
        raise FieldProblem(
            field, f"must be a list of segments or a string, got {fields.kind_of(value)}"
        )
    segments = []
    for position, entry in enumerate(value):
        try:
            segments.append(parse_segment(entry))
        except FieldProblem as problem:
            raise problem.within(f"{field}[{position}]") from None
    if not segments:
        raise FieldProblem(field, "must not be empty")
    return tuple(segments)


def spell(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return the JSON list of segments."""
    return [segment.to_json() for segment in segments]
