"""A log as bytes: files that are kept, damaged and opened in memory, thousands of them a second."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path
from typing import Any

from chanlog.host import Host, MemoryFolder
from chanlog.host.memory import MemoryFile

from ...storage.worlds import fixed_host, open_log

__all__ = ["Files", "Image"]

Files = dict[str, bytes]


class ExactFile(MemoryFile):
    """A file whose map ends where the file ends, as that of a disk does."""

    __slots__ = ()

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._size = len(content)
        self._map = mmap(-1, max(1, len(content)))
        self._map[: len(content)] = content

    def change(self, position: int, content: bytes) -> None:
        """Change bytes behind the back of whoever has mapped them."""
        self._map[position : position + len(content)] = content


class Image(MemoryFolder):
    """A folder in memory that holds these files, and counts as a disk."""

    def __init__(self, files: Files | None = None) -> None:
        super().__init__()
        self.path = Path("image")
        self.durable = True
        for name, content in (files or {}).items():
            self._files[name] = ExactFile(name, content)

    def exact(self, name: str) -> ExactFile:
        """The file as it was given."""
        file = self._files[name]
        assert isinstance(file, ExactFile)
        return file

    def files(self) -> Files:
        """What is in it now."""
        return {name: file.read(0, file.size()) for name, file in self._files.items()}

    def host(self) -> Host:
        """A host whose only disk is this one."""
        return fixed_host(disk=lambda path: self)

    def log(self, **options: Any) -> Any:
        """The log in it."""
        return open_log(Path("image"), host=self.host(), **options)
