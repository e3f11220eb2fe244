"""Writing comparison files: all or nothing, fixed key order, media beside the file or inline."""

import base64
import gzip
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import write_atomic
from equipoise.preference.comparisons import media as media_files
from equipoise.preference.comparisons.annotations import Feedback
from equipoise.preference.comparisons.fields import FieldProblem
from equipoise.preference.comparisons.reading import SeenIds
from equipoise.preference.comparisons.records import Comparison, Rating
from equipoise.preference.comparisons.segments import Segment

MEDIA = ("path", "inline")
Rewrite = Callable[[Segment], Segment]


def write_comparisons(
    path: str | Path,
    records: Iterable[Comparison | Rating],
    *,
    media: str = "path",
    root: str | Path | None = None,
) -> int:
    """Write records to a `.jsonl` or `.jsonl.gz` file and return how many there were.

    The file appears whole or not at all, and equal records give equal bytes. With `media="path"`
    inline bytes go to `media/<sha256[:16]>.<ext>` beside the file, and media files under another
    `root` are copied there; with `media="inline"` files are embedded.

    Args:
        path: The file to write; its folder is made.
        records: Any iterable; one record is held at a time.
        media: `path` or `inline`.
        root: Folder that the records' media paths start from; None is the file's own folder.

    Raises:
        InvalidInput: an unknown `media`, an id given twice, something that is no record.
        MissingData: a media file that must be embedded or copied does not exist.
    """
    if media not in MEDIA:
        raise unknown_name("media", media, MEDIA)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.parent if root is None else Path(root)
    made: list[Path] = []
    if media == "inline":
        rewrite = _embedder(source)
    else:
        rewrite = _extractor(path.parent, source, made)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with open(temporary, "xb") as raw:
            count = _write_lines(raw, records, rewrite, compress=path.suffix == ".gz")
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except BaseException:
        for leftover in (temporary, *made):
            leftover.unlink(missing_ok=True)
        raise
    return count


def _write_lines(
    raw: BinaryIO, records: Iterable[Comparison | Rating], rewrite: Rewrite, *, compress: bool
) -> int:
    # No name and no time in the gzip header: equal records give equal bytes.
    file = cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if compress else raw
    count = 0
    with SeenIds() as seen:
        for record in records:
            if not isinstance(record, (Comparison, Rating)):
                raise InvalidInput(
                    f"record {count} is a {type(record).__name__}; give Comparison or Rating"
                )
            if not seen.add(record.id):
                raise InvalidInput(f"id {record.id!r} occurs twice; ids are unique in a file")
            file.write(encode_line(_rewritten(record, rewrite)))
            count += 1
    if compress:
        file.close()
    return count


def encode_line(record: Comparison | Rating) -> bytes:
    """Return the line of a record: compact JSON, UTF-8, with its newline."""
    try:
        text = json.dumps(
            record.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        raise InvalidInput(
            f"record {record.id!r} holds text that is not Unicode (an unpaired surrogate)"
        ) from None


def _rewritten(record: Comparison | Rating, rewrite: Rewrite) -> Comparison | Rating:
    """Return `record` with `rewrite` applied to every media segment, or itself if it has none."""

    def each(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(s if s.text is not None else rewrite(s) for s in segments)

    def refined(said: Feedback) -> Feedback:
        return said if said.refinement is None else replace(said, refinement=each(said.refinement))

    if isinstance(record, Rating):
        parts = {"prompt": each(record.prompt), "response": each(record.response)}
        said = None if record.feedback is None else refined(record.feedback)
    else:
        parts = {
            "prompt": each(record.prompt),
            "response_a": each(record.response_a),
            "response_b": each(record.response_b),
        }
        said = {side: refined(one) for side, one in record.feedback.items()}
    if said == record.feedback and all(getattr(record, key) == parts[key] for key in parts):
        return record
    return replace(record, **parts, feedback=said)


def _embedder(source: Path) -> Rewrite:
    def embed(segment: Segment) -> Segment:
        if segment.path is None:
            return segment
        kind = segment.media_type or media_files.media_type_of(segment.path)
        data = base64.b64encode(segment.read(source)).decode("ascii")
        try:
            return replace(segment, path=None, data=data, media_type=kind)
        except FieldProblem as problem:
            raise InvalidInput(f"media {segment.path!r}: {problem.problem}") from None

    return embed


def _extractor(folder: Path, source: Path, made: list[Path]) -> Rewrite:
    """Return the rewrite that stores bytes under `folder/media`; new files are noted in `made`."""
    same_place = source.resolve() == folder.resolve()

    def extract(segment: Segment) -> Segment:
        if segment.path is not None and same_place:
            return segment
        payload = segment.read(source)
        digest = hashlib.sha256(payload).hexdigest()
        suffix = media_files.extension(segment.modality, segment.path, segment.media_type)
        name = f"media/{digest[:16]}.{suffix}"
        if not (folder / name).exists():
            write_atomic(folder / name, payload)
            made.append(folder / name)
        return replace(segment, path=name, data=None, sha256=digest)

    return extract
