"""What a machine can see of style: width, the length of functions, a reason on each broad except."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from core.config import ROOT

WIDEST, LONGEST = 110, 60
BROAD = {"Exception", "BaseException"}
PRAGMAS = ("noqa", "type:", "fmt:", "pragma")


def _files(*patterns: str) -> list[Path]:
    """Migrations apart: a released one is never edited."""
    found = (path for pattern in patterns for path in ROOT.glob(pattern))
    return sorted(path for path in found if "versions" not in path.parts)


OURS = _files("core/**/*.py", "pages/*.py", "app.py")


def _place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def _reasons(text: str) -> set[int]:
    """Lines with a comment that says something to people."""
    comments = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT)
    said = ((t.start[0], t.string.lstrip("# ")) for t in comments)
    return {line for line, words in said if len(words) > 5 and not words.startswith(PRAGMAS)}


def _broad_handlers(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD) for kind in kinds):
                yield node.lineno


def test_no_line_is_wider_than_a_page() -> None:
    """Ruff lets lines pass that end in a comment for a tool; these count here, too."""
    wide = [
        _place(path, number)
        for path in [*OURS, *_files("tests/**/*.py")]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > WIDEST
    ]
    assert wide == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{_place(path, node.lineno)} {node.name}"
        for path in OURS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST
    ]
    assert long == []


def test_a_broad_except_says_why_on_its_line() -> None:
    """What it guards, and why it may take everything."""
    silent = []
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        broad = list(_broad_handlers(ast.parse(text))) if "xcept" in text else []
        if broad:
            reasons = _reasons(text)
            silent += [_place(path, line) for line in broad if line not in reasons]
    assert silent == []


def test_a_class_has_its_name_alone() -> None:
    """Whoever reads ``Progress`` knows whose: a name of a public class stands once in the whole core."""
    places: dict[str, list[str]] = {}
    for path in OURS:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(_place(path, node.lineno))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
