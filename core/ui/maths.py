"""Formulas in what a model wrote: ``$x$``, ``\\(x\\)``, and ``$$x$$``, ``\\[x\\]`` on lines of their own.

Prices are no formulas: a ``$`` opens one only where no space follows, closes one only where none precedes and
no letter or digit follows, and what begins with a digit must hold something that only formulas hold. Nor is
anything that could be read as more than a formula, or that would be drawn outside of its place.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

INLINE, BLOCK = "math_inline", "math_block"  # the names of the tokens
LONGEST = 2_000  # characters
CLOSING = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
DOLLARS = re.compile(r"\$(?![\s$])([^$\n]*?[^\s$\\])\$(?![\w$])")
ONLY_IN_FORMULAS = re.compile(r"[\\^_{}=]")
PROSE = re.compile(r"\s[^\W\d_]{2,}\s|^\d")  # a word between spaces, or a number: it must hold one of those
FORBIDDEN = re.compile(
    r"!\[|\]\(|`|~~~|\\(?:href|url|includegraphics|html\w*|class|cssId|def|gdef|xdef|edef|let|newcommand|"
    r"renewcommand|providecommand|rule|kern|mkern|hskip|mskip|hspace|vspace|raisebox|math[clr]lap|[clr]lap)"
    r"(?![a-zA-Z])"
)


def add_to(parser: MarkdownIt) -> MarkdownIt:
    parser.inline.ruler.before("escape", INLINE, _inline)
    parser.block.ruler.before(
        "fence", BLOCK, _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    return parser


def drawn(content: str, *, in_table: bool = False) -> str:
    """The formula as the page's parser takes it, without its dollars."""
    safe = content.replace("<", "\\lt ").replace(">", "\\gt ")
    return safe.replace("|", "\\vert ") if in_table else safe


def is_formula(content: str) -> bool:
    if not content.strip() or len(content) > LONGEST or FORBIDDEN.search(content):
        return False
    return bool(ONLY_IN_FORMULAS.search(content)) or not PROSE.search(content)


def _inline(state: StateInline, silent: bool) -> bool:
    text, at = state.src, state.pos
    opening = text[at : at + 2]
    if opening in ("\\(", "\\[", "$$"):
        end = text.find(CLOSING[opening], at + 2)
        content, after = text[at + 2 : end], end + 2
        found = end > 0 and is_formula(content) and "\n\n" not in content
        if found and opening == "\\[":  # else it is an escaped bracket
            found = content[0].isspace() and content[-1].isspace() and bool(ONLY_IN_FORMULAS.search(content))
    elif opening[:1] == "$" and (match := DOLLARS.match(text, at)):
        content, after = match[1], match.end()
        found = is_formula(content) and not (at and re.match(r"[\w$]", text[at - 1]))
    else:
        return False
    if found and not silent:
        token = state.push(INLINE, "math", 0)
        token.content = " ".join(content.split())
    if found:
        state.pos = after
    return found


def _block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """From a line that begins with the opening to the one that ends with the closing."""
    lines: list[str] = []
    closing = ""
    for number in range(first, end):
        if number > first and state.sCount[number] < state.blkIndent:
            return False
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()
        if number == first:
            if line[:2] not in ("$$", "\\["):
                return False
            closing, line = CLOSING[line[:2]], line[2:]
        is_last = line.endswith(closing)
        lines.append(line[: -len(closing)] if is_last else line)
        if is_last:
            content = "\n".join(lines).strip()
            if not is_formula(content):
                return False
            if not silent:
                token = state.push(BLOCK, "math", 0)
                token.content = "\n".join(filter(None, map(str.strip, content.split("\n"))))
                token.map = [first, number + 1]
                state.line = number + 1
            return True
        if closing in line:
            return False
    return False
