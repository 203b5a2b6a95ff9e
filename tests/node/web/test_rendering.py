"""Posts as HTML: what stays, and that nothing runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.web.client import Client, PageReader
from tests.node.web.fake import FakeNode
from tests.node.web.payloads import PAYLOADS

from unhush.node.web.rendering import EXCERPT_CHARS, LINK_REL, TAGS, excerpt, is_web_address, render

REL = f'rel="{LINK_REL}"'


def assert_tame(html: str) -> None:
    """Only our tags, only our attributes, only links to the web."""
    for tag, attributes in PageReader.of(html).tags:
        assert tag in TAGS
        assert set(attributes) <= {"href", "rel", "start", "tabindex"}
        if tag == "a":
            assert attributes["href"].startswith(("http://", "https://"))
            assert attributes["rel"] == LINK_REL


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_post_comes_out_tame(payload: str) -> None:
    assert_tame(render(payload))


def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) > 300


@given(st.text(alphabet="<>[]()!`*_#>\"'=/:\\&;\n\t abjsconerhtp1\u202e\x00", max_size=120))
def test_no_text_at_all_comes_out_wild(text: str) -> None:
    assert_tame(render(text))


def test_hostile_posts_and_names_do_not_change_the_page(client: Client, node: FakeNode) -> None:
    """The same tags and attributes stand on a page of payloads as on one of harmless posts, links apart."""
    pages = []
    for hostile in (False, True):
        node.shown.clear()
        for number, payload in enumerate(PAYLOADS[:20]):
            text = payload if hostile else "x"
            account = node.meet(f"person {number}", text)
            node.hears(account, text, lang=text, tags=(text,), warning=text, title=text)
        pages.append([tag for tag, _ in client.get("/").page.tags if tag not in TAGS - {"h2"}])
    assert pages[0] == pages[1]


def test_hostile_words_in_every_field_stay_words(client: Client, node: FakeNode) -> None:
    for payload in PAYLOADS:
        node.people.clear()
        node.shown.clear()
        node.__post_init__()
        account = node.meet("stranger", payload, petname=payload, bio=payload)
        shown = node.hears(account, payload, lang=payload, tags=(payload,), warning=payload, title=payload)
        for path in ("/", f"/post/{shown.id}", f"/person/{account}", "/people"):
            answer = client.get(path)
            assert answer.status == 200
            assert_page_is_ours(answer.page)


def assert_page_is_ours(page: PageReader) -> None:
    scripts = page.all("script")
    assert len(scripts) == 1
    assert scripts[0]["src"].startswith("/static/app.")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith(("on", "hx-", "data-hx-", "srcdoc", "style"))], tag
        assert tag not in ("style", "iframe", "object", "embed", "base", "math", "video", "audio", "foreignobject")
        for name in ("href", "src", "action", "formaction"):
            if name in attributes:
                assert attributes[name].startswith(("/", "#", "http://", "https://")), attributes
                assert not attributes[name].startswith("//"), attributes


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("*a* **b** `c`", "<p><em>a</em> <strong>b</strong> <code>c</code></p>\n"),
        (
            "see https://a.example/x_y.",
            f'<p>see <a href="https://a.example/x_y" {REL}>https://a.example/x_y</a>.</p>\n',
        ),
        (
            "(https://a.example/b_(c))",
            f'<p>(<a href="https://a.example/b_(c)" {REL}>https://a.example/b_(c)</a>)</p>\n',
        ),
        ("[a](https://b.example)", f'<p><a href="https://b.example" {REL}>a</a></p>\n'),
        ("[a](/leave)", "<p>a</p>\n"),
        ("![a hut](https://b.example/h.png)", f'<p><a href="https://b.example/h.png" {REL}>picture: a hut</a></p>\n'),
        ("![a hut](hut.png)", "<p>a hut</p>\n"),
        ("# A\n\n#### B", "<h3>A</h3>\n<h6>B</h6>\n"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>\n'),
        ("a\u202eb\x07c\u200fd", "<p>abc\u200fd</p>\n"),
    ],
)
def test_a_post_reads_as_written(text: str, html: str) -> None:
    assert str(render(text)) == html


def test_a_link_that_says_another_site_is_given_away() -> None:
    assert "(evil.example)" in render("[https://bank.example/in](https://evil.example/x)")
    assert "(evil.example)" in render("[www.bank.example](https://evil.example)")
    assert "(" not in render("[www.bank.example](https://bank.example/in)")


@pytest.mark.parametrize(
    "url", ["https://", "http://u@b.example", "https://[::1", "ftp://a.example", "https://a.example/" + "x" * 2048]
)
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    assert not is_web_address(url)


def test_a_long_post_is_cut_at_a_word_and_a_short_one_never() -> None:
    long, is_cut = excerpt("word " * 2_000)
    assert is_cut
    assert long.endswith("word …")
    assert len(long) <= EXCERPT_CHARS + 2
    assert excerpt("word " * 200) == ("word " * 200, False)


def test_the_longest_hostile_post_renders_within_its_time() -> None:
    """The test run's own timeout is the judge; each of these is what a body can hold at most."""
    for piece in ("[", "![](", "*_*_*_a", "a\n", "[[a](b)", "a\n>"):
        render((piece * 49_152)[:49_152])
