"""Lossless cutting of a stream of text into sentences and code blocks.

The rules S1-S7 are this project's own (the paper does not say how a sentence ends); the rule of the
released code is kept as `first_sentence`, for the baseline "as published" alone.

A segment is a maximal run of whitespace (`leading`) and a text that neither starts nor ends with
whitespace. Only the last segment of a stream may have an empty text.
"""

import codecs
import re
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput

CODE_LIMIT = 20_000
"""Characters after which a code block is cut (S5)."""

_MARKS = frozenset(".?!…")
_CLOSERS = frozenset("\"')]}”’»*_`")
_WIDE_MARKS = frozenset("。！？｡")
_WIDE_CLOSERS = frozenset("」』”’）》】")
_OPENERS = "([\"'“‘"
_BREAKS = "\n\r"
_FENCES = ("```", "~~~")
_TITLES = frozenset(
    "Mr Mrs Ms Dr Prof St Jr Sr vs cf Fig Eq Sec Ch pp approx".split()  # noqa: SIM905
)
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_LIST_NUMBER = re.compile(r"\d{1,3}")
_PROTECTED = re.compile(r"\b(?:i\.e\.|e\.g\.|\d\.)")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a stream that is reviewed as a whole.

    Attributes:
        leading: the whitespace before the text.
        text: the sentence or code block, without whitespace at either end.
        kind: `"text"` or `"code"`.
        forced: True where the length limit cut it, not its own end.
    """

    leading: str
    text: str
    kind: str = "text"
    forced: bool = False

    @property
    def raw(self) -> str:
        """The characters of the stream that this segment stands for."""
        return self.leading + self.text


class Segmenter:
    """Cuts a stream into segments while it arrives; the cuts do not depend on the chunks.

    A segment is returned by the `feed` that delivers the character deciding its end. The cost is
    linear in the length of the stream, however small the pieces are.

    Args:
        max_chars: longest text of a segment of kind `"text"`, at least 20.

    >>> cutter = Segmenter()
    >>> cutter.feed("Hello."), [s.text for s in cutter.feed(" You")], cutter.close()[0].raw
    ([], ['Hello.'], ' You')
    """

    def __init__(self, *, max_chars: int = 400) -> None:
        if isinstance(max_chars, bool) or not isinstance(max_chars, int) or max_chars < 20:
            raise InvalidInput(f"max_chars is {max_chars!r}; it must be an integer >= 20")
        self._max_chars = max_chars
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._found: list[Segment] = []
        self._closed = False
        self._line_start = True  # nothing but whitespace since the last line break
        self._fence: _Fence | None = None
        self._begin([])

    def feed(self, piece: str | bytes) -> list[Segment]:
        """Take the next piece, `str` or UTF-8 `bytes` cut anywhere; return what it completed.

        Raises:
            InvalidInput: after `close`, or for another type.
        """
        if self._closed:
            raise InvalidInput("feed after close: a Segmenter cuts one stream; make a new one")
        if isinstance(piece, str):
            text = self._decoder.decode(b"", final=True) + piece
        elif isinstance(piece, (bytes, bytearray, memoryview)):
            text = self._decoder.decode(bytes(piece))
        else:
            raise InvalidInput(f"a piece is {type(piece).__name__}; it must be str or bytes")
        for char in text:
            self._take(char)
        return self._harvest()

    def close(self) -> list[Segment]:
        """End the stream and return the segments that were still open (a second call: none)."""
        if self._closed:
            return []
        for char in self._decoder.decode(b"", final=True):
            self._take(char)
        self._closed = True
        if self._text:
            self._cut(self._text_end(), forced=False)
        if self._leading:
            self._found.append(Segment("".join(self._leading), ""))
        return self._harvest()

    def _harvest(self) -> list[Segment]:
        found, self._found = self._found, []
        return found

    def _begin(self, leading: list[str]) -> None:
        """Start a segment; what has been seen of the previous one no longer matters."""
        self._leading = leading
        self._text: list[str] = []
        self._gap = -1  # where the last whitespace run in the text starts
        self._token = 0  # where the last non-whitespace run in the text starts
        self._run = -1  # where the run of marks and closers that ends the text starts
        self._run_is_wide = False

    def _take(self, char: str) -> None:
        if self._fence is not None:
            self._take_code(char, self._fence)
        elif char.isspace():
            self._take_space(char)
        else:
            self._take_visible(char)

    def _take_space(self, char: str) -> None:
        is_break = char in _BREAKS
        if not self._text:
            self._leading.append(char)
            self._line_start = self._line_start or is_break
        elif is_break or (self._run >= 0 and self._run_ends()):  # S4, S1, S2
            self._cut(self._text_end(), forced=False)
            self._leading.append(char)
            self._line_start = is_break
        else:
            self._run = -1
            self._append_space(char)
            self._check_length(self._max_chars)

    def _take_visible(self, char: str) -> None:
        text = self._text
        if self._run >= 0:
            if self._run_is_wide:
                if char not in _WIDE_MARKS and char not in _WIDE_CLOSERS:  # S2
                    self._cut(len(text), forced=False)
                    text = self._text
            elif char not in _MARKS and char not in _CLOSERS:
                self._run = -1
        self._append_visible(char)
        if self._run < 0 and (char in _MARKS or char in _WIDE_MARKS):
            self._run = len(text) - 1
            self._run_is_wide = char in _WIDE_MARKS
        if self._line_start and len(text) == 3 and "".join(text) in _FENCES:  # S5
            self._fence = _Fence(char)
        else:
            self._check_length(self._max_chars)

    def _take_code(self, char: str, fence: "_Fence") -> None:
        if char in _BREAKS and fence.closes_here():
            self._fence = None
            leading = [char]
            if self._text:
                end = self._text_end()
                leading = [*self._text[end:], char]
                self._keep(end, kind="code", forced=False)
            else:
                leading = [*self._leading, char]
            self._begin(leading)
            self._line_start = True
            return
        fence.see(char)
        if not char.isspace():
            self._append_visible(char)
        elif self._text:
            self._append_space(char)
        else:
            self._leading.append(char)
        self._check_length(CODE_LIMIT)

    def _append_space(self, char: str) -> None:
        text = self._text
        if not text[-1].isspace():
            self._gap = len(text)
        text.append(char)

    def _append_visible(self, char: str) -> None:
        text = self._text
        if text and text[-1].isspace():
            self._token = len(text)
        text.append(char)

    def _run_ends(self) -> bool:
        """Whether the run of marks before the whitespace just seen ends the segment (S1-S3)."""
        text = self._text
        if self._run_is_wide or len(text) - self._run > 1 or text[-1] != ".":
            return True
        token = "".join(text[self._token : self._run]).lstrip(_OPENERS)
        return not (
            token in _TITLES
            or _DOTTED.fullmatch(token)
            or (self._token == 0 and _LIST_NUMBER.fullmatch(token))
        )

    def _text_end(self) -> int:
        """Length of the text without the whitespace at its end."""
        return self._gap if self._text[-1].isspace() else len(self._text)

    def _check_length(self, limit: int) -> None:
        """Cut a text that has grown beyond its limit (S6)."""
        if len(self._text) <= limit:
            return
        end = limit
        if 2 * self._gap >= limit or self._text[limit - 1].isspace():
            end = self._gap
        self._cut(end, forced=True)

    def _cut(self, end: int, *, forced: bool) -> None:
        """Complete the segment whose text has `end` characters and go on with the rest.

        The rest of a forced cut is read again, as the start of a segment: it holds at most half of
        the limit, or whitespace alone, so the total cost stays linear.
        """
        rest = self._text[end:]
        kind = "text" if self._fence is None else "code"
        self._keep(end, kind=kind, forced=forced)
        self._begin([])
        self._line_start = False
        if self._fence is None:
            for char in rest:
                self._take(char)
        else:  # the lines of the block have been followed already
            blanks = next((i for i, char in enumerate(rest) if not char.isspace()), len(rest))
            self._leading, self._text = rest[:blanks], rest[blanks:]

    def _keep(self, end: int, *, kind: str, forced: bool) -> None:
        text = "".join(self._text[:end])
        self._found.append(Segment("".join(self._leading), text, kind, forced))


class _Fence:
    """Follows the lines of an open code block and knows whether the current one closes it."""

    __slots__ = ("_blank_after", "_count", "_mark", "_needed", "_opening")

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._needed = 3
        self._opening = True  # the fence that opens the block is still growing
        self._count = -1  # fence marks on this line; -1 where it cannot close the block
        self._blank_after = False

    def see(self, char: str) -> None:
        if self._opening and char == self._mark:
            self._needed += 1
            return
        self._opening = False
        if char in _BREAKS:
            self._count, self._blank_after = 0, False
        elif char.isspace():
            self._blank_after = self._count > 0
        elif char == self._mark and self._count >= 0 and not self._blank_after:
            self._count += 1
        else:
            self._count = -1

    def closes_here(self) -> bool:
        return self._count >= self._needed


def segment(text: str, *, max_chars: int = 400) -> tuple[Segment, ...]:
    """Cut a whole text; the `raw` parts of the segments join to `text`.

    >>> [s.text for s in segment("Dr. Smith left. Bye.")]
    ['Dr. Smith left.', 'Bye.']
    """
    cutter = Segmenter(max_chars=max_chars)
    return (*cutter.feed(text), *cutter.close())


def first_sentence(text: str) -> str:
    """Return the first sentence as the paper's released code finds it (baseline only).

    It loses text on purpose: what follows the mark, and everything where there is no mark.

    >>> first_sentence("It is 12.5 kg. Next.")
    'It is 12.'
    """
    protected = {
        place
        for match in _PROTECTED.finditer(text)
        for place in range(match.start(), match.end())
        if text[place] == "."
    }
    for place, char in enumerate(text):
        if char in ".?!" and place not in protected and place - 1 not in protected:
            return text[:place].strip() + char
    return ""
