"""Every page runs, every link of it leads somewhere, and the runner can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pages import ROOT, anchors, blocks, links, page_id, pages
from .running import WrongOutput, run_page

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    found = blocks(page)
    runnable = [block for block in found if block.language == "python"]
    ran = run_page(found, tmp_path)
    assert ran >= len(runnable)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page: Path) -> None:
    broken = []
    for target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        missing = not goal.exists()
        if missing or (fragment and goal.suffix == ".md" and fragment not in anchors(goal)):
            broken.append(target)
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        for target in links(page):
            if "://" not in target:
                waiting.append((page.parent / target.partition("#")[0]).resolve())
    assert [page_id(page) for page in PAGES if page not in reached] == []


def _page(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```\n```output\n2\n```\n",
        "```python\nprint('not shown')\n```\n",
        "```python\n1 + 1  # -> 3; as everybody knows\n```\n",
        "```python\nif True:\n    range(2)  # -> [0, 2]\n```\n",
        "```python\nassert False\n```\n",
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nassert False\n```\n",
    ],
    ids=["output", "unshown", "value", "list", "exception", "coroutine"],
)
def test_a_wrong_page_is_found(tmp_path: Path, text: str) -> None:
    with pytest.raises((WrongOutput, AssertionError)):
        run_page(blocks(_page(tmp_path, text)), tmp_path)


def test_blocks_share_a_namespace_and_a_loop(tmp_path: Path) -> None:
    page = _page(
        tmp_path,
        "```python\nimport asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 7))\n"
        "await asyncio.sleep(0)\n```\n"
        "```python\nprint(await task)\n```\n```output\n7\n```\n",
    )
    assert run_page(blocks(page), tmp_path) == 2


def test_a_right_value_passes(tmp_path: Path) -> None:
    page = _page(tmp_path, "```python\n1 + 1  # -> 2; and so on\nrange(2)  # -> [0, 1]\n```\n")
    assert run_page(blocks(page), tmp_path) == 1


@pytest.mark.parametrize(
    "text", ["```\nx\n```\n", "```python\nx\n", "  ```python\n  x\n  ```\n", "```py\nx\n```\n"]
)
def test_a_fence_that_would_not_run_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="fence"):
        blocks(_page(tmp_path, text))
