"""The processes of one run: how they agree, and how they notice a lost one.

`rendezvous.py` connects process 0 with each of the others, and the connections stay
open. Through them the processes exchange what they have to agree on, and tell one
another of errors. They also notice at once when a process is gone. Without this, JAX
would wait in a collective until its own heartbeats time out, and then abort.
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
from types import TracebackType
from typing import Any

from jaxgan.errors import UserError

# Each process sends a heartbeat every HEARTBEAT_SECONDS. One that is silent for
# SILENCE_SECONDS counts as hung: that is before JAX's service notices it, after
# 100 s, and aborts.
HEARTBEAT_SECONDS, SILENCE_SECONDS = 5.0, 60.0
# How long a process that ends waits for messages of the others, or for their end.
FAREWELL_SECONDS = 5.0
# Python's interval for switching threads, 0.005 s by default. When process 0 is gone,
# JAX's service aborts the others: our thread that reads has to be quicker.
THREAD_SWITCH_SECONDS = 0.0005
# After each of these, a process that still waits for another one prints a line.
REPORT_SECONDS = 120.0
THREAD_PREFIX = "jaxgan-link"
RESTART_HINT = "start all processes again to go on from the last checkpoint"


@dataclass(frozen=True)
class ProcessSpec:
    """Which process of a run this is.

    Attributes:
        coordinator: 'HOST:PORT' at which process 0 listens.
        count: the number of processes.
        index: this process's number, in [0, count).
    """

    coordinator: str
    count: int
    index: int


class Link:
    """The connections of this process to the other processes of its run.

    Process 0 has one to each of the others, and they have one to process 0. The only
    process of a run has none.

    Messages are lines of JSON: {} is a heartbeat, {"value": ...} is part of an
    `exchange`, and {"error": ..., "code": ...} says that the sender ends, with this
    exit code.

    Used as a context, it tells the others how the block ended.

    Attributes:
        spec: which process this is, None for the only one.
        count: the number of processes.
        index: this process's number, in [0, count).
    """

    def __init__(self, spec: ProcessSpec | None = None):
        self.spec = spec
        self.count = spec.count if spec else 1
        self.index = spec.index if spec else 0
        self._sockets: dict[int, socket.socket] = {}
        self._values: dict[int, queue.Queue] = {}  # received, not yet asked for
        self._readers: dict[int, threading.Thread] = {}
        # Our heartbeats since its last message, for each process that has not ended.
        self._silent: dict[int, int] = {}
        self._send_lock = threading.Lock()
        self._ending = False
        self._error_is_shared = False

    @property
    def first(self) -> bool:
        """Whether this is process 0, the only one that writes files and prints."""
        return self.index == 0

    def add_connection(self, index: int, connection: socket.socket) -> None:
        """Take over the connection to process `index`, and watch it from now on."""
        sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        connection.settimeout(None)
        self._sockets[index] = connection
        self._values[index] = queue.Queue()
        self._silent[index] = 0
        reader, sender = (
            threading.Thread(
                target=work, args=(index,), daemon=True, name=f"{THREAD_PREFIX}-{index}"
            )
            for work in (self._read_messages, self._send_heartbeats)
        )
        self._readers[index] = reader
        reader.start()
        sender.start()

    def _read_messages(self, index: int) -> None:
        connection, said_goodbye = self._sockets[index], False
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            try:
                for line in lines:
                    if said_goodbye:
                        continue  # a heartbeat that was sent at the same moment
                    self._silent[index] = 0
                    message = json.loads(line)
                    if "value" in message:
                        self._values[index].put(message["value"])
                    elif "code" in message:
                        if message["code"]:
                            self._end_process(message["error"], message["code"])
                        # Read on until it has ended, which closes the connection.
                        self._silent.pop(index)
                        said_goodbye = True
            except (OSError, ValueError):
                pass  # a broken connection is a lost process
            if not said_goodbye:
                self._end_process(f"process {index} was lost; {RESTART_HINT}", 1)

    def _send_heartbeats(self, index: int) -> None:
        """Send heartbeats to process `index`, and end this one if it is silent.

        Silence is counted in our own heartbeats, not in seconds of a clock: if all
        machines are suspended for an hour, nobody has missed any.
        """
        while not self._ending and (silent := self._silent.get(index)) is not None:
            self._send(index, {})
            self._silent[index] = silent + 1
            if silent * HEARTBEAT_SECONDS > SILENCE_SECONDS:
                self._end_process(
                    f"process {index} was not heard of for {SILENCE_SECONDS:g} s; "
                    f"{RESTART_HINT}",
                    1,
                )
            time.sleep(HEARTBEAT_SECONDS)

    def _end_process(self, error: str, code: int) -> None:
        """End this process from one of our threads.

        The main thread may be waiting for a process that is gone, in a collective
        that nothing can interrupt.
        """
        if self._ending:
            return
        self.announce_end(error, code)
        try:
            line = f"jaxgan: error: {' '.join(error.split())}"
            # In one write, because other threads write to stderr too.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
            self._wait_until_others_end()
        finally:
            os._exit(code)

    def _wait_until_others_end(self) -> None:
        """Let process 0 end last, because JAX's service runs in it.

        When the service ends first, it aborts the other processes.
        """
        limit = time.monotonic() + FAREWELL_SECONDS
        for reader in self._readers.values() if self.first else ():
            if reader is not threading.current_thread():
                reader.join(max(0.0, limit - time.monotonic()))

    def _send(self, index: int, message: dict[str, Any]) -> None:
        try:
            with self._send_lock:
                self._sockets[index].sendall(f"{json.dumps(message)}\n".encode())
        except OSError:
            # The thread that reads this connection finds it broken and reports it.
            pass

    def _receive_value(self, index: int) -> Any:
        for reports in itertools.count(1):
            try:
                return self._values[index].get(timeout=REPORT_SECONDS)
            except queue.Empty:
                minutes = reports * REPORT_SECONDS / 60
                print(
                    f"jaxgan: waiting for process {index} for {minutes:g} minutes",
                    file=sys.stderr,
                    flush=True,
                )

    def exchange(self, value: Any) -> list[Any]:
        """Return the values that all processes gave, in the order of their numbers.

        All processes have to call it. Values are what JSON can hold.
        """
        if self.count == 1:
            return [value]
        if not self.first:
            self._send(0, {"value": value})
            return self._receive_value(0)
        others = [self._receive_value(index) for index in range(1, self.count)]
        values = [value, *others]
        for index in self._sockets:
            self._send(index, {"value": values})
        return values

    @contextmanager
    def share_errors(self) -> Iterator[None]:
        """Run a block on all processes, and raise one process's UserError on all.

        Raises:
            UserError: the error of the first process that had one. The message names
                the process, unless all had an error.
        """
        error = None
        try:
            yield
        except UserError as caught:
            error = str(caught)
        errors = self.exchange(error)
        failed = [index for index, each in enumerate(errors) if each is not None]
        if failed:
            self._error_is_shared = True  # so all end, and need not be told
            where = f"process {failed[0]}: " if len(failed) < self.count else ""
            raise UserError(where + errors[failed[0]])

    def announce_end(self, error: str = "", code: int = 0) -> None:
        """Tell the others that this process ends; with a code but 0, they end too."""
        self._ending = True
        for index in self._sockets:
            self._send(index, {"error": error, "code": code})

    def __enter__(self) -> "Link":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.count == 1:
            return
        if error is None or self._error_is_shared:
            self.announce_end()
            if error is not None:
                self._wait_until_others_end()
            return
        if isinstance(error, RuntimeError | ValueError):
            # JAX raises these when another process is gone. That process's own
            # message says why: if it comes now, it is what this process ends with.
            time.sleep(FAREWELL_SECONDS)
        code = 2 if isinstance(error, UserError) else 1
        reason = str(error) or type(error).__name__
        self.announce_end(f"process {self.index} failed: {reason}", code)
        self._wait_until_others_end()
