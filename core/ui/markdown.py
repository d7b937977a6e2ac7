"""Markdown that a model wrote, made safe to draw: nothing in it loads anything or draws a diagram.

Streamlit draws a ``mermaid`` fence as a diagram and ``![]()`` as a picture; both make the reader's browser
call any address, which can send the conversation there. So the text is parsed and written anew from what the
parser found: text with every special character escaped, code as code, a picture as a link to it. What is
written anew has one reading only, so that it does not matter where Streamlit's parser and ours differ. Raw
HTML, Streamlit's directives, ``:smile:`` and ``->`` are text. Formulas are drawn (``maths``); ``$5 and $10``
are prices.

The policy of ``core/server/page_policy.py`` forbids the same calls to the browser; each of the two is enough
alone.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from core.ui import maths, show

# levels of lists and quotes; the parser leaves out what lies deeper, so such a text is shown as it is
DEEPEST = 50
# the parser takes quadratic time over brackets that nothing closes: 20,000 take a second
MOST_BRACKETS = 2_000
PARSER = maths.add_to(
    MarkdownIt("commonmark", {"maxNesting": DEEPEST + 10})
    .enable(["table", "strikethrough"])
    .disable(["html_block", "html_inline"])
)
SPECIAL = re.compile(r"[\\`*_\[\]<>#|~:$&!{}]|^\s*[-+=]|^\s*\d{1,9}[.)]")
LANGUAGE = re.compile(r"[\w+#.-]{1,40}")
LINE_END = re.compile(r"(?<!\n)\n(?!\n)")
TASK = re.compile(r"^\\\[([ xX])\\\](?= )")
ALIGNED = {"text-align:left": ":---", "text-align:center": ":---:", "text-align:right": "---:"}


@lru_cache(maxsize=256)  # every click draws the chat again, and a kilobyte full of Markdown takes 5 ms
def as_written(text: str) -> str:
    """Markdown that shows ``text`` as it was meant: lines stay lines, code stays code, links stay links."""
    if text.count("[") > MOST_BRACKETS:
        return verbatim(text)
    tokens = PARSER.parse(text)
    if any(token.level > DEEPEST for token in tokens):
        return verbatim(text)
    return "\n\n".join(_blocks(iter(tokens), end=""))


def verbatim(text: str) -> str:
    """Markdown that shows every character of ``text``: for rows and for what people typed."""
    return LINE_END.sub("  \n", show.plain(text))


def _blocks(tokens: Iterator[Token], end: str) -> list[str]:
    """What comes before the token ``end``, block by block."""
    blocks = []
    for token in tokens:
        if token.type == end:
            break
        blocks.append(_block(token, tokens))
    return blocks


def _block(token: Token, tokens: Iterator[Token]) -> str:
    """The block that begins with ``token``; takes its other tokens from ``tokens``."""
    match token.type:
        case "paragraph_open":
            return _inline(next(tokens).children) + _skip(tokens)
        case "heading_open":
            title = _inline(next(tokens).children, line_end=" ")
            return f"{'#' * int(token.tag[1])} {title}" + _skip(tokens)
        case "fence" | "code_block":
            return _code_block(token)
        case "blockquote_open":
            lines = "\n\n".join(_blocks(tokens, "blockquote_close")).split("\n")
            return "\n".join(f"> {line}" if line else ">" for line in lines)
        case "bullet_list_open" | "ordered_list_open":
            return _list(token, tokens)
        case "table_open":
            return _table(tokens)
        case "hr":
            return "***"
        case maths.BLOCK:
            return f"$$\n{maths.drawn(token.content)}\n$$"
    return _escaped(token.content)


def _skip(tokens: Iterator[Token]) -> str:
    """Pass over a closing token."""
    next(tokens)
    return ""


def _code_block(token: Token) -> str:
    """A fence longer than any in it. Diagrams are shown as their source."""
    name = (unescapeAll(token.info).split() or [""])[0]
    is_shown = LANGUAGE.fullmatch(name) and "mermaid" not in name.lower()
    language = name if is_shown or not name else "text"
    fence = "`" * (1 + max((2, *(len(run) for run in re.findall("`+", token.content)))))
    content = token.content if token.content.endswith("\n") else token.content + "\n"
    return f"{fence}{language}\n{content}{fence}"


def _list(token: Token, tokens: Iterator[Token]) -> str:
    items, is_tight = [], True
    for item in tokens:
        if item.type == token.type.replace("_open", "_close"):
            break
        marker = f"{item.info}{item.markup} "
        parts = []
        for part in tokens:
            if part.type == "list_item_close":
                break
            is_tight &= part.type != "paragraph_open" or part.hidden
            parts.append((part.type.endswith("list_open"), _block(part, tokens)))
        body = "".join(
            ("\n" if n and is_tight and is_list else "\n\n" if n else "") + text
            for n, (is_list, text) in enumerate(parts)
        )
        indented = TASK.sub(r"[\1]", body).replace("\n", "\n" + " " * len(marker))
        items.append(marker + re.sub(r"\n +(?=\n)", "\n", indented))
    return ("\n" if is_tight else "\n\n").join(items)


def _table(tokens: Iterator[Token]) -> str:
    rows: list[list[str]] = []
    aligned: list[str] = []
    for token in tokens:
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "th_open":
            aligned.append(ALIGNED.get(str(token.attrs.get("style")), "---"))
        elif token.type == "inline":
            rows[-1].append(_inline(token.children, in_table=True))
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"| {' | '.join(aligned)} |", *body])


def _inline(tokens: Sequence[Token] | None, *, line_end: str = "  \n", in_table: bool = False) -> str:
    """The text within a block."""
    parts, address = [], ""  # of the link around, which may hold no other
    for token in tokens or ():
        match token.type:
            case "softbreak" | "hardbreak":
                parts.append(line_end)
            case "code_inline":
                code = show.code(token.content)
                parts.append(code.replace("|", "\\|") if in_table else code)
            case maths.INLINE:
                between = show.NOTHING if parts and parts[-1].endswith("$") else ""
                parts.append(f"{between}${maths.drawn(token.content, in_table=in_table)}$")
            case "em_open" | "em_close" | "strong_open" | "strong_close" | "s_open" | "s_close":
                parts.append(token.markup)
            case "link_open":
                address = str(token.attrs.get("href", ""))
                parts.append("[")
            case "link_close":
                parts.append(f"]({_destination(address)})")
                address = ""
            case "image":
                source = str(token.attrs.get("src", ""))
                title = _escaped(token.content or source)
                parts.append(title if address else f"[{title}]({_destination(source)})")
            case _:
                parts.append(_escaped(token.content))
    return "".join(parts)


def _destination(address: str) -> str:
    """The parser has percent-encoded what could end it;
    an ampersand would begin an entity, a pipe a table's cell."""
    return f"<{address.replace('&', '&amp;').replace('|', '%7C')}>"


def _escaped(text: str) -> str:
    return show.escaped(text, SPECIAL)
