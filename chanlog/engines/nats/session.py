"""A connection to NATS, of one event loop: the requests of JetStream that the engine makes."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ...errors import DiskFull
from ..engine import Session
from ..running import heeding
from .deciding import Chain, Link

__all__ = ["LOST", "NatsSession", "Reading", "WrongSequence"]

_API = "$JS.API"
_WRONG_SEQUENCE = 10071
_NO_ROOM = {10023, 10047, 10077}
_NAME_IN_USE = 10058
_CALL_SECONDS = 2.0
_PULL_BYTES_MIN = 4 << 20
_THRESHOLD_NS = 60 * 10**9

# What happens to a request when the server, or the way to it, is gone.
LOST = (nats.errors.Error, OSError, asyncio.TimeoutError)


class Refused(nats.errors.Error):
    """JetStream does not do it, for now: it is not there yet, or not any more."""

    def __init__(self, text: str, code: int | None) -> None:
        super().__init__(text)
        self.code = code


class WrongSequence(Exception):
    """The last message of the subject is not the expected one."""


class NatsSession(Session):
    """For the tasks of one event loop. Every method raises one of ``LOST`` when nobody answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.closed = False
        # What was learnt of channels and cursors; it may be old, and then the server says so.
        self.chains: dict[str, Chain] = {}
        self.kept: dict[str, tuple[int, Any]] = {}
        self.locks: dict[str, asyncio.Lock] = {}
        self.readings: dict[tuple[str, int], Reading] = {}
        self.begun: WeakSet[Reading] = WeakSet()
        self._ending: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, url: str, seconds: float, options: dict[str, Any]) -> NatsSession:
        """Connect. Raises one of ``LOST`` after ``seconds``."""
        client = Client()
        session = cls(client)
        options = dict(options)
        reconnected = options.pop("reconnected_cb", None)

        # While it connects again the client may lose that it was told to stop. It asks here.
        async def hear(*_: Any) -> None:
            """Whoever has asked for something is told of errors, and nobody else need be."""
            if session.closed:
                raise asyncio.CancelledError

        async def lose() -> None:
            if session.closed:
                await client.close()
            for reading in list(session.begun):
                reading.lose()
            if reconnected is not None:
                await reconnected()

        connecting = client.connect(
            servers=[url],
            error_cb=hear,
            reconnected_cb=lose,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type]
            **options,
        )
        try:
            await asyncio.wait_for(connecting, seconds)
        except BaseException:
            with suppress(Exception):
                await client.close()
            raise
        return session

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def give_back(self, reading: Reading) -> None:
        """End a reading, without waiting for it."""
        task = asyncio.get_running_loop().create_task(reading.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        self.closed = True
        await asyncio.gather(*self._ending, return_exceptions=True)
        # A client whose network is cut meanwhile does not always come to an end.
        closing = asyncio.ensure_future(self.client.close())
        closing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([closing], timeout=_CALL_SECONDS)
        closing.cancel()

    async def _request(
        self, subject: str, payload: bytes, headers: dict[str, Any] | None = None
    ) -> Msg:
        return await heeding(
            self.client.request(subject, payload, timeout=_CALL_SECONDS, headers=headers)
        )

    async def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """One request to JetStream, and its answer. Raises ``Refused``."""
        return _accepted(await self._request(f"{_API}.{request}", json.dumps(arguments).encode()))

    async def make_stream(self, name: str, **config: Any) -> None:
        """Make the stream unless it is there, however it was made."""
        try:
            await self.ask(f"STREAM.CREATE.{name}", name=name, **config)
        except Refused as error:
            if error.code != _NAME_IN_USE:
                raise

    async def publish(
        self, subject: str, data: bytes, expected: int, unique: str = ""
    ) -> tuple[int, bool]:
        """Store a message if ``expected`` is the place of the last one of its subject. Returns its
        place, and whether it was there already under that ``unique``. Raises ``WrongSequence``."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        if unique:
            headers["Nats-Msg-Id"] = unique
        answer = _accepted(await self._request(subject, data, headers))
        return answer["seq"], answer.get("duplicate", False)

    async def last(self, stream: str, subject: str) -> tuple[int, bytes] | None:
        """The last message of a subject, and its place."""
        return _found(await self._request(f"{_API}.DIRECT.GET.{stream}.{subject}", b""))

    async def next(self, stream: str, subject: str, seq: int) -> tuple[int, bytes] | None:
        """The first message of a subject from ``seq`` on, and its place."""
        wanted = json.dumps({"seq": max(1, seq), "next_by_subj": subject}).encode()
        return _found(await self._request(f"{_API}.DIRECT.GET.{stream}", wanted))

    async def purge(self, stream: str, subject: str, before: int) -> None:
        """Forget the messages of a subject before a place."""
        await self.ask(f"STREAM.PURGE.{stream}", filter=subject, seq=before)

    async def end(self, stream: str) -> int:
        """The place that the next message of a stream will have, at least."""
        last: int = (await self.ask(f"STREAM.INFO.{stream}"))["state"]["last_seq"]
        return last + 1

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects that have messages."""
        subjects: list[str] = []
        while True:
            found = await self.ask(
                f"STREAM.INFO.{stream}", subjects_filter=pattern, offset=len(subjects)
            )
            some = found["state"].get("subjects") or {}
            subjects += some
            if not some or len(subjects) >= found.get("total", 0):
                return subjects


def _accepted(answer: Msg) -> dict[str, Any]:
    """What JetStream has answered. Raises ``WrongSequence``, ``DiskFull``, ``Refused``."""
    found: dict[str, Any] = json.loads(answer.data)
    error = found.get("error")
    if error is None:
        return found
    code, text = error.get("err_code"), error["description"]
    if code == _WRONG_SEQUENCE:
        raise WrongSequence
    if code in _NO_ROOM:
        raise DiskFull(f"JetStream has no room: {text}. Nothing was written; try again when it has")
    raise Refused(text, code)


def _found(answer: Msg) -> tuple[int, bytes] | None:
    headers = answer.headers or {}
    if headers.get("Status") == "404":
        return None
    if "Nats-Sequence" not in headers:
        raise nats.errors.Error(headers.get("Description", "an answer that says nothing"))
    return int(headers["Nats-Sequence"]), answer.data


class Reading:
    """A consumer of one subject on the server, from a place on, and the inbox it sends to."""

    def __init__(self, session: NatsSession, stream: str, subject: str) -> None:
        self._session = session
        self._stream = stream
        self._subject = subject
        self._inbox = session.client.new_inbox()
        session.begun.add(self)
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._arrived: deque[Msg] = deque()
        self._bell = asyncio.Event()
        # What was pulled and is for whoever reads on.
        self.left: Link | None = None
        # It has given what it had, and gives nothing more.
        self.is_spent = False
        self._is_lost = False

    async def begin(self, seq: int) -> None:
        """Have the server make it."""
        try:
            await heeding(self._make(seq))
        except BaseException:
            self._session.give_back(self)
            raise

    async def _make(self, seq: int) -> None:
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, seq),
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._subject,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _THRESHOLD_NS,
        }
        self._subscription = await self._session.client.subscribe(self._inbox, cb=self._arrive)
        found = await self._session.ask(
            f"CONSUMER.CREATE.{self._stream}", stream_name=self._stream, config=config
        )
        self._consumer = found["name"]

    def lose(self) -> None:
        """The connection is a new one: what was asked for on the old one may never be answered, and
        the server may be another one."""
        self._is_lost = True
        self._bell.set()

    async def _arrive(self, message: Msg) -> None:
        self._arrived.append(message)
        self._bell.set()

    async def pull(self, count: int, seconds: float | None = None) -> list[tuple[int, bytes]]:
        """Up to ``count`` messages that are there; with ``seconds``, the first ``count`` that come
        within them. Raises one of ``LOST``; then it is of no use any more."""
        # A client drops what it has no room for.
        bytes_max = max(_PULL_BYTES_MIN, 2 * self._session.client.max_payload)
        wanted: dict[str, Any] = {"batch": count, "max_bytes": bytes_max}
        if seconds is None:
            wanted["no_wait"] = True
        else:
            wanted["expires"] = int(seconds * 1e9)
        asking = self._session.client.publish(
            f"{_API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
            json.dumps(wanted).encode(),
            reply=self._inbox,
        )
        await heeding(asking)
        messages: list[tuple[int, bytes]] = []
        patience = _CALL_SECONDS + (seconds or 0)
        while len(messages) < count:
            if not self._arrived and not self._is_lost:
                self._bell.clear()
                try:
                    async with asyncio.timeout(patience):
                        await self._bell.wait()
                except TimeoutError:
                    if not messages:
                        raise
                    # The server says nothing when the last has filled the bytes exactly.
                    self.is_spent = True
                    break
            if self._is_lost:
                raise ConnectionError("the server that was asked is gone")
            message = self._arrived.popleft()
            headers = message.headers or {}
            status, why = headers.get("Status"), headers.get("Description", "")
            if status in ("404", "408") or "MaxBytes" in why or "Batch Completed" in why:
                break
            if status is not None:
                raise nats.errors.Error(f"the consumer is gone: {status} {why}")
            messages.append((_place(message.reply), message.data))
        return messages

    async def end(self) -> None:
        """Give it back."""
        with suppress(*LOST):
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            if self._consumer:
                await self._session.client.publish(
                    f"{_API}.CONSUMER.DELETE.{self._stream}.{self._consumer}", b""
                )


def _place(reply: str) -> int:
    """The place in the stream that a delivery's reply subject tells: ``$JS.ACK.<stream>.<consumer>
    .<delivered>.<stream place>...``, with domain and account before the stream in newer servers."""
    tokens = reply.split(".")
    return int(tokens[5] if len(tokens) == 9 else tokens[7])
