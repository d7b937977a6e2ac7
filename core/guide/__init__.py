"""The guide: chapters in Markdown beside this file, with tables made from the code when they are read.

A line ``{{ settings }}`` in a chapter stands for a block of ``core.guide.blocks``, so what the guide lists is
what there is. Chapters are cut at their ``##`` headings; every section has an anchor by which pages and
tooltips link to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.guide.blocks import BLOCKS

HERE = Path(__file__).parent
BLOCK = re.compile(r"^\{\{ *(\w+) *\}\}$", re.MULTILINE)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
AROUND = 90  # characters shown on both sides of a hit


@dataclass(frozen=True)
class Section:
    """``text`` is Markdown without the heading."""

    title: str
    text: str
    chapter: str

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Chapter:
    """``name`` is its file and its address; ``intro`` stands before the first section."""

    name: str
    title: str
    icon: str

    @property
    def intro(self) -> str:
        return _cut(self.name)[0]

    @property
    def sections(self) -> list[Section]:
        return [Section(title, text, self.name) for title, text in _cut(self.name)[1]]


@dataclass(frozen=True)
class Hit:
    """A section that has all the words, and the text around the first of them."""

    chapter: Chapter
    section: Section
    excerpt: str


CHAPTERS = (
    Chapter("fine-tuning", "Fine-tuning", "model_training"),
    Chapter("files", "Files and types", "table_chart"),
    Chapter("devices", "Several devices, Ray", "hub"),
    Chapter("command-line", "Command line", "terminal"),
    Chapter("exports", "Exports", "ios_share"),
    Chapter("keys", "API keys", "key"),
    Chapter("alerts", "Alerts", "notifications"),
)


def find(name: str | None) -> Chapter:
    """The chapter of this name, the first one for an unknown name."""
    return next((chapter for chapter in CHAPTERS if chapter.name == name), CHAPTERS[0])


def search(text: str) -> list[Hit]:
    """Sections with all words of ``text``, whatever their case; those with a word in the title first."""
    words = text.lower().split()
    if not words:
        return []
    matches = [
        (chapter, section) for chapter in CHAPTERS for section in chapter.sections if _has(section, words)
    ]
    matches.sort(key=lambda pair: not any(word in pair[1].title.lower() for word in words))
    return [Hit(chapter, section, _excerpt(section.text, words)) for chapter, section in matches]


def whole_text() -> str:
    """Everything the guide says, blocks included."""
    return "\n".join(part for chapter in CHAPTERS for part in _parts(chapter))


def _parts(chapter: Chapter) -> Iterator[str]:
    yield chapter.intro
    for section in chapter.sections:
        yield from (section.title, section.text)


@lru_cache
def _cut(name: str) -> tuple[str, list[tuple[str, str]]]:
    """(introduction, [(heading, text)])"""
    text = BLOCK.sub(lambda found: BLOCKS[found[1]](), (HERE / f"{name}.md").read_text(encoding="utf-8"))
    intro, *rest = HEADING.split(text)
    return intro.strip(), [
        (title.strip(), body.strip()) for title, body in zip(rest[::2], rest[1::2], strict=True)
    ]


def _has(section: Section, words: list[str]) -> bool:
    text = f"{section.title}\n{section.text}".lower()
    return all(word in text for word in words)


def _excerpt(text: str, words: list[str]) -> str:
    flat = re.sub(r"[|`*#\s]+", " ", text)
    at = min((place for word in words if (place := flat.lower().find(word)) >= 0), default=0)
    start, end = max(0, at - AROUND), at + AROUND
    return f"{'…' if start else ''}{flat[start:end].strip()}{'…' if end < len(flat) else ''}"
