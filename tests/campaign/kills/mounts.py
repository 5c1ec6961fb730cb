"""Disks of our own: a file system in a file or in memory, mounted, cut off and mounted again."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

__all__ = ["Disk", "why_not"]

_SHUTDOWN = 0x8004587D
_IMAGE_BYTES = 512 << 20


def why_not(kind: str) -> str:
    """Why this machine cannot mount a disk of that kind; nothing if it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    tools = ["mount", "umount"] + ([] if kind == "tmpfs" else [f"mkfs.{kind}"])
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return f"there is no {missing[0]}"
    try:
        Disk(kind).close()
    except subprocess.CalledProcessError as error:
        return f"{kind} cannot be mounted here: {error.stderr.strip()}"
    return ""


class Disk:
    """A mounted file system: ``ext4`` or ``xfs`` on a loop device, or ``tmpfs``.

    ``close`` unmounts it and leaves nothing; so does the end of the interpreter.
    """

    def __init__(self, kind: str, options: str = "", *, image_bytes: int = _IMAGE_BYTES) -> None:
        self.kind = kind
        self._home = Path(tempfile.mkdtemp(prefix=f"chanlog-{kind}-"))
        self._image = self._home / "image"
        self._options = options
        self.path = self._home / "disk"
        self.path.mkdir()
        self._mounted = False
        atexit.register(self.close)
        try:
            if kind != "tmpfs":
                with self._image.open("wb") as file:
                    file.truncate(image_bytes)
                _run(f"mkfs.{kind}", "-q", str(self._image))
            self.mount()
        except BaseException:
            self.close()
            raise

    def mount(self) -> None:
        """Mount it; what a cut has left is put right by the file system."""
        if self.kind == "tmpfs":
            how = ["-t", "tmpfs", *self._having(self._options), "tmpfs"]
        else:
            loop = "loop," + self._options if self._options else "loop"
            how = ["-t", self.kind, *self._having(loop), str(self._image)]
        _run("mount", *how, str(self.path))
        self._mounted = True

    @staticmethod
    def _having(options: str) -> list[str]:
        return ["-o", options] if options else []

    @property
    def device(self) -> str:
        """The name of its loop device."""
        for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
            device, path, *_ = line.split()
            if path == str(self.path):
                return Path(device).name
        raise LookupError(f"{self.path} is not mounted")

    def remount(self, options: str) -> None:
        """Change how it is mounted."""
        _run("mount", "-o", f"remount,{options}", str(self.path))

    def cut(self, how: int) -> None:
        """Cut it off from its disk as it is. ``how`` is 2 for what is in memory to be lost, 1 for
        the journal to be written first, 0 for everything."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount it. Nobody may have anything open there."""
        _run("umount", str(self.path))
        self._mounted = False

    def close(self) -> None:
        """Unmount it whatever happens, and remove it."""
        atexit.unregister(self.close)
        if self._mounted:
            try:
                self.unmount()
            except subprocess.CalledProcessError:
                with suppress(subprocess.CalledProcessError):
                    _run("umount", "-l", str(self.path))
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
