"""Reads the Markdown pages of the project: their fenced blocks, headings and links.

Only the Markdown that the pages use is understood; anything else is an error rather than a block
that silently never runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What a fence may say. Only `python` and `console` are executed; `output` is what the block before
# it prints; the others are for reading.
LANGUAGES = frozenset({"python", "output", "console", "sh", "text", "toml"})

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>```+)(?P<info>.*)$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``line`` is the number of the line behind the opening fence."""

    page: Path
    line: int
    language: str
    text: str


def pages() -> list[Path]:
    """Every page whose blocks run and whose links must resolve."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.exists()]


def page_id(page: Path) -> str:
    """How a test names ``page``."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of ``page``, in order."""
    found: list[Block] = []
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence is None:
                continue
            if fence["indent"] or len(fence["ticks"]) != 3:
                raise ValueError(f"{page}:{number}: a fence is three backticks, not indented")
            language = fence["info"].strip()
            if language not in LANGUAGES:
                raise ValueError(f"{page}:{number}: a fence says one of {sorted(LANGUAGES)}")
            opened, lines = (number + 1, language), []
        elif fence is not None and not fence["info"].strip():
            found.append(Block(page, *opened, "".join(text + "\n" for text in lines)))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        raise ValueError(f"{page}:{opened[0]}: the fence is never closed")
    return found


def prose(page: Path) -> list[str]:
    """The lines of ``page`` outside its fenced blocks."""
    lines: list[str] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return lines


def links(page: Path) -> list[str]:
    """The targets of the inline links of ``page``.

    Code spans are emptied first: a link whose text is code keeps its target, and a link that is
    itself code is an example.
    """
    text = "\n".join(prose(page))
    return _LINK.findall(_CODE_SPAN.sub("", text))


def anchors(page: Path) -> set[str]:
    """The fragments that a link into ``page`` may name, as GitHub makes them from headings."""
    found: set[str] = set()
    for line in prose(page):
        heading = _HEADING.match(line)
        if heading is None:
            found.update(re.findall(r'<a (?:id|name)="([^"]+)">', line))
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found
