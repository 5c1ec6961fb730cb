"""Which errors a call can return, and so which are tried.

Of EIO, ENOSPC, EDQUOT, EINTR, EMFILE, EFBIG, EACCES and ENOMEM, what Linux and its local file
systems can answer. Left out: EACCES of what works on a descriptor (access is decided by ``open``);
EMFILE of what makes none (``mmap`` does, for Python keeps a duplicate); EFBIG and the two of a
full disk of what neither lengthens a file nor makes a name, but for ``fsync``, which tells of
writes whose room was only promised; EINTR of the calls on names, which no signal interrupts.
Python itself repeats what EINTR has interrupted. It is tried all the same: it must be harmless
even if it came through.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from .shim import Call, Fault

__all__ = ["PLAUSIBLE", "faults_of"]

_EIO, _ENOMEM, _EINTR, _EACCES = errno.EIO, errno.ENOMEM, errno.EINTR, errno.EACCES
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

PLAUSIBLE: dict[str, tuple[int, ...]] = {
    "open": (_EIO, _EINTR, errno.EMFILE, _EACCES, _ENOMEM),
    "create": (_EIO, *_NO_ROOM, _EINTR, errno.EMFILE, _EACCES, _ENOMEM),
    "fstat": (_EIO, _ENOMEM),
    # The last two are how a file system says that it cannot reserve room.
    "posix_fallocate": (
        _EIO, *_NO_ROOM, _EINTR, errno.EFBIG, _ENOMEM, errno.EOPNOTSUPP, errno.EINVAL,
    ),
    "pwrite": (_EIO, *_NO_ROOM, _EINTR, errno.EFBIG, _ENOMEM),
    "pread": (_EIO, _EINTR, _ENOMEM),
    "fdatasync": (_EIO, *_NO_ROOM, _EINTR, _ENOMEM),
    "fsync": (_EIO, *_NO_ROOM, _EINTR, _ENOMEM),
    "ftruncate": (_EIO, *_NO_ROOM, _EINTR, errno.EFBIG, _ENOMEM),
    "close": (_EIO, *_NO_ROOM, _EINTR),
    "mkdir": (_EIO, *_NO_ROOM, _EACCES, _ENOMEM),
    "listdir": (_EIO, errno.EMFILE, _EACCES, _ENOMEM),
    "stat": (_EIO, _EACCES, _ENOMEM),
    "rename": (_EIO, *_NO_ROOM, _EACCES, _ENOMEM),
    "unlink": (_EIO, *_NO_ROOM, _EACCES, _ENOMEM),
    "flock": (_EIO, _EINTR, _ENOMEM),
    "mmap": (errno.EMFILE, _EACCES, _ENOMEM),
}  # fmt: skip

# Done and reported as failed, as a network or a controller that resets may do it.
_AFTER = ("posix_fallocate", "pwrite", "fdatasync", "fsync", "ftruncate", "mkdir", "rename",
          "unlink")  # fmt: skip


def faults_of(call: Call) -> Iterator[Fault]:
    """All that can go wrong with a call."""
    for number in PLAUSIBLE[call.name]:
        listed = frozenset(name for name, numbers in PLAUSIBLE.items() if number in numbers)
        for reach in ("once", "call", "all"):
            yield Fault("before", number, reach, listed)
    if call.name in _AFTER:
        yield Fault("after", errno.EIO)
        yield Fault("after", errno.EINTR)
    if call.name == "pwrite":
        yield Fault("half", errno.ENOSPC)
        yield Fault("half", errno.EIO)
        yield Fault("nothing", 0, "once")
        yield Fault("nothing", 0, "call")
    if call.name in ("pwrite", "pread"):
        yield Fault("short", 0, "once")
        yield Fault("short", 0, "call")
