"""Blocks: each kind of content, what may be inlined, what may be linked, what is broken."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.report import figure_svg, new_figure
from equipoise.report.blocks import (
    anchor,
    block_html,
    checked_href,
    inside,
    is_drawing,
    paragraphs,
    plot_html,
)
from equipoise.report.media import data_address, kind_of, media_html, suffix_of

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DRAWING = '<svg viewBox="0 0 9 9"><path d="M0 0L9 9" style="fill: none"/></svg>'


def test_paragraphs_part_at_empty_lines_and_escape():
    assert paragraphs("one\ntwo\n\n \nthree & <b>") == "<p>one\ntwo</p><p>three &amp; &lt;b&gt;</p>"
    assert paragraphs("  \n\n ") == ""


def test_a_section_can_be_linked_to(tmp_path):
    html = block_html({"type": "section", "title": "What we <saw>", "text": "It & that"}, tmp_path)
    assert html == '<h2 id="what-we-saw">What we &lt;saw&gt;</h2><p>It &amp; that</p>'
    assert anchor("…") == "section"
    assert block_html({"type": "section", "title": "", "text": "More"}, tmp_path) == "<p>More</p>"


@pytest.mark.parametrize(
    "svg",
    [
        DRAWING,
        '<?xml version="1.0"?>\n' + DRAWING,
        figure_svg(new_figure()[0]),
        '<svg><use xlink:href="#a"/><clipPath id="a"><rect width="1"/></clipPath></svg>',
        '<svg><image href="data:image/png;base64,AAAA" width="4"/></svg>',
        "<svg><!-- a note --><text>x &amp; y</text></svg>",
        '<svg><path clip-path="url(#a)"/></svg>',
    ],
)
def test_drawings_are_inlined(svg):
    assert is_drawing(svg)
    assert plot_html(svg).count("<svg") == 1
    assert "<img" not in plot_html(svg)


@pytest.mark.parametrize(
    "svg",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        '<svg/onload="alert(1)"></svg>',
        '<svg><path ONCLICK="alert(1)"/></svg>',
        "<svg><foreignObject><p>x</p></foreignObject></svg>",
        '<svg><a href="https://example.org">x</a></svg>',
        '<svg><use href="https://example.org/x.svg#a"/></svg>',
        '<svg><image href="https://example.org/x.png"/></svg>',
        '<svg><image href="data:image/svg+xml;base64,AAAA"/></svg>',
        '<svg><image src="https://example.org/x.png"/></svg>',
        '<svg><path style="fill: url(https://example.org/x)"/></svg>',
        '<svg><path style="fill: URL(https://example.org/x)"/></svg>',
        "<svg><style>@import 'https://example.org/x.css'</style></svg>",
        "<svg><style>a{fill:url(https://example.org)}</style></svg>",
        "<svg><style>a{}</style onload='x'></svg>",
        "<svg><animate onbegin='alert(1)'/></svg>",
        "<svg><set attributeName='href'/></svg>",
        '<!DOCTYPE svg [<!ENTITY x "y">]><svg>&x;</svg>',
        "<svg></svg><script>alert(1)</script>",
        "<svg><!-- --!><script>alert(1)</script> --></svg>",
        "<p>no picture</p>",
        "",
    ],
)
def test_what_could_act_or_fetch_is_shown_as_a_picture(svg):
    assert not is_drawing(svg)
    html = plot_html(svg, "A <plot>")
    assert "<script" not in html
    assert html.count("<svg") == 0
    assert '<img src="data:image/svg+xml;base64,' in html
    assert "<figcaption>A &lt;plot&gt;</figcaption>" in html


@pytest.mark.parametrize("end", ["<script>", "<", ">", "<!-- ", "<text"])
def test_long_words_before_something_forbidden_are_refused_at_once(end):
    for words in ("word " * 20_000, "<!-- x -->" * 5_000, '<g id="a"/> ' * 5_000, " " * 50_000):
        assert not is_drawing(f"<svg><text>{words}{end}</text></svg>")


@given(st.text(max_size=60))
def test_no_text_slips_a_tag_through_a_plot(text):
    html = plot_html(f"<svg><text>{text}</text></svg>", text)
    assert "<script" not in html.lower()


def test_a_figure_block_reads_its_file(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/a.svg").write_text(DRAWING)
    block = {"type": "figure", "file": "plots/a.svg", "caption": "c", "alt": "d"}
    assert DRAWING in block_html(block, tmp_path)
    gone = block_html({**block, "file": "plots/<b>.svg"}, tmp_path)
    assert gone == '<p class="problem">The plot plots/&lt;b&gt;.svg is missing.</p>'


@pytest.mark.parametrize("file", ["../secret.svg", "/etc/hostname", "plots/../../secret.svg"])
@pytest.mark.parametrize("kind", ["figure", "media"])
def test_a_block_cannot_name_a_file_outside(tmp_path, file, kind):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret.svg").write_text("<svg><text>secret words</text></svg>")
    html = block_html({"type": kind, "file": file, "kind": "image", "caption": ""}, folder)
    assert "secret words" not in html
    assert "outside the run folder" in html
    with pytest.raises(ValueError, match="outside the run folder"):
        inside(folder, file)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret.png").write_bytes(PIXEL)
    (tmp_path / "run/a.png").symlink_to(tmp_path / "secret.png")
    block = {"type": "media", "file": "a.png", "kind": "image"}
    assert "outside the run folder" in block_html(block, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "kind", "tag"),
    [("a.png", "image", "img"), ("a.mp4", "video", "video"), ("a.wav", "audio", "audio")],
)
def test_small_media_are_in_the_page_and_large_ones_beside_it(
    tmp_path, monkeypatch, name, kind, tag
):
    (tmp_path / name).write_bytes(PIXEL)
    block = {"type": "media", "file": name, "kind": kind, "caption": 'A "c" <d>'}
    html = block_html(block, tmp_path)
    assert f'<{tag} src="data:{kind}/' in html
    assert "A &quot;c&quot; &lt;d&gt;" in html
    monkeypatch.setattr("equipoise.report.media.INLINE_LIMIT", dict.fromkeys([kind], 3))
    assert f'<{tag} src="{name}"' in block_html(block, tmp_path)


def test_missing_media_and_unknown_kinds_are_said(tmp_path):
    assert "is missing" in media_html(tmp_path / "no.png", "no.png", "image", "")
    html = block_html({"type": "media", "file": "a", "kind": "smell"}, tmp_path)
    assert "kind &#x27;smell&#x27; is none of image, video, audio" in html


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (PIXEL, ".png"),
        (b"\xff\xd8\xff\xe0", ".jpg"),
        (b"GIF89a", ".gif"),
        (b"RIFF0000WEBPVP8 ", ".webp"),
        (b"RIFF0000WAVEfmt ", ".wav"),
        (b"\0\0\0 ftypisom", ".mp4"),
        (b"\x1a\x45\xdf\xa3", ".webm"),
        (b"OggS", ".ogg"),
        (b"fLaC", ".flac"),
        (b"ID3\x04", ".mp3"),
        (DRAWING.encode(), ".svg"),
    ],
)
def test_bytes_tell_their_format(head, suffix):
    assert suffix_of(head) == suffix
    assert data_address(head, suffix).startswith("data:")


def test_unknown_bytes_and_suffixes_are_refused():
    with pytest.raises(InvalidInput, match=r"no known media; allowed: \.flac, \.gif"):
        suffix_of(b"MZ executable")
    with pytest.raises(InvalidInput, match=r"suffix '\.mp44': did you mean '\.mp4'"):
        kind_of("a.mp44")
    assert kind_of("a.MP4") == "video"


def test_two_texts_stand_side_by_side_with_marks(tmp_path):
    ops = [
        {"kind": "equal", "original": "2 < 3 is ", "corrected": "2 < 3 is "},
        {"kind": "replace", "original": "wrong", "corrected": "right"},
        {"kind": "delete", "original": "!", "corrected": ""},
    ]
    html = block_html(
        {"type": "compare", "left": "", "right": "", "titles": ["<Before>", "After"], "ops": ops},
        tmp_path,
    )
    assert "<h3>&lt;Before&gt;</h3>" in html
    assert "2 &lt; 3 is <del>wrong</del><del>!</del>" in html
    assert "2 &lt; 3 is <ins>right</ins></div>" in html


@pytest.mark.parametrize(
    "href", ["https://example.org/a?b=1&c=2", "media/a.gif", "mailto:a@b.c", "#x"]
)
def test_links_that_may_stand(tmp_path, href):
    html = block_html({"type": "link", "title": "<t>", "href": href}, tmp_path)
    assert 'rel="noopener">&lt;t&gt;</a>' in html


@pytest.mark.parametrize(
    "href",
    ["javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "data:text/html,x"],
)
def test_links_that_could_act_are_not_shown(tmp_path, href):
    with pytest.raises(ValueError, match="are not shown"):
        checked_href(href)
    html = block_html({"type": "link", "title": "t", "href": href}, tmp_path)
    assert "<a" not in html
    assert 'class="problem"' in html


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"type": None},
        {"type": "<script>"},
        {"type": "section"},
        {"type": "table", "rows": 3},
        {"type": "table", "rows": ["text"]},
        {"type": "figure"},
        {"type": "compare", "titles": []},
        {"type": "compare", "titles": ["a", "b"], "ops": [{}]},
        {"type": "link", "title": "x"},
    ],
)
def test_a_broken_block_says_so_and_nothing_more(tmp_path, block):
    html = block_html(block, tmp_path)
    assert html.startswith('<p class="problem">')
    assert "<script" not in html
