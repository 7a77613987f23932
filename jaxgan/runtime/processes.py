"""Several processes of one run: what they agree on, and how a loss is noticed.

The connections between process 0 and the others (`rendezvous.py`) stay open. Through
them the processes exchange what they have to agree on and tell the others of an
error, and they see at once when one of them is gone, where JAX would wait in a
collective until its own heartbeats time out, and then abort.
"""

import itertools
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxgan.errors import UserError

SETTLE_SECONDS = 5.0
SWITCH_SECONDS = 0.0005
# A process that hangs is noticed before JAX's service does it, after 100 s, and aborts.
BEAT_SECONDS, SILENCE_SECONDS = 5.0, 60.0
PATIENCE_SECONDS = 120.0
THREADS = "jaxgan-link"  # what the names of their threads begin with
HINT = "start all processes again to go on from the last checkpoint"


@dataclass(frozen=True)
class Place:
    """Where a process of a run stands.

    Attributes:
        coordinator: 'HOST:PORT' at which process 0 listens.
        count: the number of processes.
        index: of this process, in [0, count).
    """

    coordinator: str
    count: int
    index: int


class Link:
    """The connections of a process to the others; with one process, none."""

    def __init__(self, place: Place | None = None):
        self.place = place
        self.count = place.count if place else 1
        self.index = place.index if place else 0
        self._sockets: dict[int, socket.socket] = {}
        self._received: dict[int, queue.Queue] = {}
        self._readers: dict[int, threading.Thread] = {}
        self._silent: dict[int, int] = {}  # beats since something was heard
        self._sending = threading.Lock()
        self._leaving = False
        self._agreed = False

    @property
    def first(self) -> bool:
        """Whether this is process 0, the one that writes and prints."""
        return self.index == 0

    def add(self, index: int, connection: socket.socket) -> None:
        """Take over the connection to process `index`, and watch it from now on."""
        # Readers have to be quick: when process 0 is gone JAX's own service aborts.
        sys.setswitchinterval(SWITCH_SECONDS)
        connection.settimeout(None)
        self._sockets[index] = connection
        self._received[index] = queue.Queue()
        self._silent[index] = 0
        reader, beater = (
            threading.Thread(
                target=work, args=(index,), daemon=True, name=f"{THREADS}-{index}"
            )
            for work in (self._read, self._beat)
        )
        self._readers[index] = reader
        reader.start()
        beater.start()

    def _read(self, index: int) -> None:
        connection, left = self._sockets[index], False
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            try:
                for line in lines:
                    if left:
                        continue  # a last beat
                    self._silent[index] = 0
                    message = json.loads(line)
                    if "value" in message:
                        self._received[index].put(message["value"])
                    elif "code" in message:
                        if message["code"]:
                            self._end(message["error"], message["code"])
                        # Its connection stays open until it has ended.
                        self._silent.pop(index)
                        left = True
            except (OSError, ValueError):
                pass
            if not left:
                self._end(f"process {index} was lost; {HINT}", 1)

    def _beat(self, index: int) -> None:
        """Let the other process hear of this one, and notice when it falls silent.

        Silence is counted in beats: where both are suspended, none is missed.
        """
        while not self._leaving and (silent := self._silent.get(index)) is not None:
            self._send(index, {})
            self._silent[index] = silent + 1
            if silent * BEAT_SECONDS > SILENCE_SECONDS:
                self._end(
                    f"process {index} was not heard of for {SILENCE_SECONDS:g} s; "
                    f"{HINT}",
                    1,
                )
            time.sleep(BEAT_SECONDS)

    def _end(self, error: str, code: int) -> None:
        """End this process, which may be waiting for one that is gone."""
        if self._leaving:
            return
        self.leave(error, code)
        try:
            line = f"jaxgan: error: {' '.join(error.split())}"
            sys.stderr.write(f"{line}\n")  # at once, for other threads write too
            sys.stderr.flush()
            self._see_off()
        finally:
            os._exit(code)

    def _see_off(self) -> None:
        """Have process 0 end last: JAX's service, in it, would abort the others."""
        limit = time.monotonic() + SETTLE_SECONDS
        for reader in self._readers.values() if self.first else ():
            if reader is not threading.current_thread():
                reader.join(max(0.0, limit - time.monotonic()))

    def _send(self, index: int, message: dict[str, Any]) -> None:
        try:
            with self._sending:
                self._sockets[index].sendall(f"{json.dumps(message)}\n".encode())
        except OSError:
            # The reader of this connection says what has become of it.
            pass

    def _receive(self, index: int) -> Any:
        for waited in itertools.count():
            try:
                return self._received[index].get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                minutes = (waited + 1) * PATIENCE_SECONDS / 60
                print(
                    f"jaxgan: waiting for process {index} for {minutes:g} minutes",
                    file=sys.stderr,
                    flush=True,
                )

    def exchange(self, value: Any) -> list[Any]:
        """Return the values (JSON) that the processes gave, by process; all call it."""
        if self.count == 1:
            return [value]
        if not self.first:
            self._send(0, {"value": value})
            return self._receive(0)
        values = [value] + [self._receive(i) for i in range(1, self.count)]
        for index in self._sockets:
            self._send(index, {"value": values})
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on all processes; a UserError of one of them is raised on all.

        It names the process where it is not everyone's.
        """
        error = None
        try:
            yield
        except UserError as caught:
            error = str(caught)
        errors = self.exchange(error)
        failed = [index for index, each in enumerate(errors) if each is not None]
        if failed:
            self._agreed = True  # all have the error, and end by themselves
            where = f"process {failed[0]}: " if len(failed) < self.count else ""
            raise UserError(where + errors[failed[0]])

    def leave(self, error: str = "", code: int = 0) -> None:
        """Tell the others that this process ends, with an error or at its end."""
        self._leaving = True
        for index in self._sockets:
            self._send(index, {"error": error, "code": code})

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.count == 1:
            return
        if error is None or self._agreed:
            self.leave()
            if error is not None:
                self._see_off()
            return
        if isinstance(error, RuntimeError | ValueError):
            # What JAX raises when another process is gone: its news come first.
            time.sleep(SETTLE_SECONDS)
        code = 2 if isinstance(error, UserError) else 1
        reason = str(error) or type(error).__name__
        self.leave(f"process {self.index} failed: {reason}", code)
        self._see_off()
