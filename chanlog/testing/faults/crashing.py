"""The death of a log in the middle of its life, and the log that opens after it.

What is on the disk, or in memory, at one moment is all that is left. Of what nobody had asked to
be durable the last appends may be lost, and the last of them may be torn.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from ...format.batch import HEADER_BYTES, read_header
from ...format.segment import SEGMENT_HEADER_BYTES
from ...host import Folder, MemoryFolder
from ...log import EmbeddedLog
from ...log import open as open_log
from ...storage.segment import RawSegment, log_position
from ...storage.store import Store

__all__ = ["crash"]


def crash(log: EmbeddedLog, *, lose: int, torn: bool) -> EmbeddedLog:
    """Let the log die and open what is left of it: without its last ``lose`` appends, except for
    what is durable; ``torn`` leaves the beginning of another one behind it.

    Whoever waits on the old log gets ``LogClosed``. Blocks for the disk.
    """
    store = log._store
    with store.maintaining, store.leading, store.lock:
        files = _image(store, lose, torn)
        # As in a close, and in the same moment: nothing is acknowledged or read that is not there.
        store.closed = store.halted = True
        store.active.limit = -1
    log.close()
    path = log.path
    host = store.host
    if path is None:
        memory = _folder(files)
        host = replace(host, memory=lambda: memory)
    else:
        _restore(store.folder, path, files)
    options = {field.name: getattr(store.options, field.name) for field in fields(store.options)}
    return open_log(path, host=host, **options)


def _image(store: Store, lose: int, torn: bool) -> dict[str, bytes]:
    files = {}
    keep = store.durable if store.folder.durable else 0
    for name in store.folder.names():
        file = store.folder.open(name, writable=False)
        try:
            files[name] = file.read(0, file.size())
        finally:
            file.close()
    active = store.active
    if active.name in files:
        starts = _batches(active)
        lost = [p for p in starts[len(starts) - lose :] if log_position(active.first, p) >= keep]
        cut = lost[0] if lose and lost else active.tail
        content = files[active.name]
        whole = content[:cut]
        tail = b""
        if torn and starts:
            # As it is when the pages of a batch get to the disk one by one.
            tail = content[starts[-1] : active.tail][: HEADER_BYTES // 2]
        files[active.name] = (whole + tail).ljust(len(content), b"\0")[: len(content)]
    return files


def _batches(active: RawSegment) -> list[int]:
    """Where each batch of the active segment begins."""
    starts = []
    position = SEGMENT_HEADER_BYTES
    while position < active.tail:
        header = read_header(active.map, position, active.tail, active.salt)
        if header is None:
            break
        starts.append(position)
        position += header.length
    return starts


def _folder(files: dict[str, bytes]) -> MemoryFolder:
    folder = MemoryFolder()
    for name, content in files.items():
        folder.create(name).write(0, content)
    return folder


def _restore(folder: Folder, path: Path, files: dict[str, bytes]) -> None:
    for name in folder.names():
        if name not in files:
            folder.remove(name)
    for name, content in files.items():
        (path / name).write_bytes(content)
