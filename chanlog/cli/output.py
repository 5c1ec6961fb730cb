"""Where results go: plain lines, JSON, or colour and tables where rich and a terminal are there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chanlog import Gap, Message

from .parser import usage_error
from .render import line, message_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["Output", "wants_color"]

Progress = Callable[[int, int], None]


def wants_color(arguments: argparse.Namespace) -> bool:
    """``--color`` decides; on ``auto`` a capable terminal does, and NO_COLOR says no."""
    choice = getattr(arguments, "color", "auto")
    if choice != "auto":
        return bool(choice == "always")
    return (
        not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in ("dumb", "")
        and sys.stdout.isatty()
    )


class Output:
    """Prints what a command has found. ``arguments`` are the parsed ones, with ``json``."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.json: bool = arguments.json
        encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
        self._ascii_only = encoding != "utf8"
        self._rich: Console | None = None
        if wants_color(arguments) and not self.json:
            self._rich = _console(required=getattr(arguments, "color", "auto") == "always")

    def object(self, value: dict[str, Any]) -> None:
        """One line of JSON."""
        print(to_json(value, ascii_only=self._ascii_only))

    def text(self, text: str, style: str | None = None) -> None:
        """One line for people."""
        if self._rich is None:
            print(text)
        else:
            self._rich.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def message(self, message: Message) -> None:
        """One message: a line of JSON, or a line for people."""
        if self.json:
            self.object(message_json(message))
            return
        offset, time, who, rest = line(message)
        if self._rich is None:
            print(f"{offset}  {time}  {who}  {rest}")
            return
        from rich.text import Text

        shown = Text.assemble(
            (offset, "cyan"),
            (f"  {time}  ", "dim"),
            (who, "bold red" if isinstance(message, Gap) else "green"),
            f"  {rest}",
        )
        self._rich.print(shown, soft_wrap=True)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair a line."""
        for name, value in facts:
            if self._rich is None:
                print(f"{name:<14} {value}")
                continue
            from rich.text import Text

            self._rich.print(Text.assemble((f"{name:<14} ", "cyan"), value), soft_wrap=True)

    def table(self, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str]]) -> None:
        """Rows under (title, width) columns; a negative width aligns to the right.

        Plain rows are printed as they come, however many there are, so the widths are given and
        the widest column belongs at the end.
        """
        if self._rich is not None:
            self._rich_table(columns, rows)
            return
        print(_padded([title for title, _ in columns], columns))
        for row in rows:
            print(_padded(row, columns))

    def _rich_table(
        self, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str]]
    ) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        assert self._rich is not None
        table = Table(box=box.SIMPLE_HEAD, header_style="bold cyan", pad_edge=False)
        for title, width in columns:
            table.add_column(title, justify="right" if width < 0 else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._rich.print(table)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress | None]:
        """A callback (done, total) that moves a bar, where a bar can be shown; else ``None``."""
        if self._rich is None or not self._rich.is_terminal:
            yield None
            return
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn(title), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Bar(*columns, console=self._rich, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _padded(row: Sequence[str], columns: Sequence[tuple[str, int]]) -> str:
    cells = [
        cell.rjust(-width) if width < 0 else cell.ljust(width)
        for cell, (_, width) in zip(row, columns, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _console(*, required: bool) -> Console | None:
    try:
        from rich.console import Console
    except ImportError:
        if required:
            raise usage_error(
                "--color always needs the extra: pip install 'chanlog[color]'"
            ) from None
        return None
    return Console(force_terminal=True if required else None, no_color=False)
