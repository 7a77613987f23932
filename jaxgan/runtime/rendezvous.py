"""How the processes of a run find one another, before JAX is started.

Process 0 listens at the coordinator's address and the others connect to it, each with
its number. `jax.distributed.initialize` with a missing worker ends in a C++ stack that
cannot be caught; here it is one line, after a stated time.
"""

import json
import socket
import time
from contextlib import suppress

from jaxgan.errors import UserError
from jaxgan.runtime.processes import Link, Place

LOOPBACK = ("127.0.0.1", "localhost", "::1")
RETRY_SECONDS = 0.2
# A machine that vanishes without closing its connections is noticed after a minute.
KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


def join(place: Place | None, wait_seconds: float) -> Link:
    """Connect this process with the others; returns when all have come.

    Without a place this is the only process.

    Raises:
        UserError: the address is none, or not all have come within `wait_seconds`,
            or two of them have one number, or differ in their number of processes.
    """
    if place is None:
        return Link(None)
    host, _, port = place.coordinator.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address without brackets, whose end may not be a port
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(
            f"--coordinator = {place.coordinator}: must be HOST:PORT, or [IPV6]:PORT"
        )
    limit = time.monotonic() + wait_seconds
    link = Link(place)
    if link.first:
        _wait_for_all(link, host, int(port), limit, wait_seconds)
    else:
        _connect(link, host, int(port), limit, wait_seconds)
    return link


def _wait_for_all(
    link: Link, host: str, port: int, limit: float, wait_seconds: float
) -> None:
    came: dict[int, socket.socket] = {}
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = (host if host in LOOPBACK else "", port)
        server = socket.create_server(address, family=family)
    except OSError as failed:
        where = f"--coordinator = {host}:{port}"
        raise UserError(f"{where}: cannot listen there ({failed.strerror})") from failed
    error = None
    with server:
        while not error and len(came) < link.count - 1:
            server.settimeout(max(0.01, limit - time.monotonic()))
            try:
                connection = server.accept()[0]
            except TimeoutError:
                missing = sorted(set(range(1, link.count)) - came.keys())
                error = (
                    f"--num_processes = {link.count}: {_named(missing)} did not come "
                    f"to {host}:{port} within {wait_seconds:g} s "
                    "(parallel.wait_seconds); start the same command for each, with "
                    "its own --process_id"
                )
            else:
                error = _admit(connection, came, link.count)
    for connection in came.values():
        answer = {"error": error}
        with suppress(OSError):  # if it is gone, that is noticed below
            connection.sendall(f"{json.dumps(answer)}\n".encode())
        if error:
            connection.close()
    if error:
        raise UserError(error)
    for index, connection in came.items():
        link.add(index, connection)


def _admit(
    connection: socket.socket, came: dict[int, socket.socket], count: int
) -> str | None:
    """Let a process in; returns an error that ends the start of all."""
    connection.settimeout(5)
    _keep_alive(connection)
    try:
        greeting = json.loads(_line(connection))
        index, others = greeting["jaxgan"], greeting["count"]
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()  # something else that knocked at this port
        return None
    if index in came and _closed(came[index]):
        came.pop(index).close()  # it was started again
    twice = index in came or index == 0
    came[-1 if twice else index] = connection
    if others != count:
        return (
            f"--num_processes = {others} in process {index}: process 0 has {count}; "
            "they must be the same"
        )
    if twice:
        return f"--process_id = {index}: two processes have it; each needs its own"
    return None


def _closed(connection: socket.socket) -> bool:
    """Return whether the other side, which has nothing to say now, is gone."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _connect(
    link: Link, host: str, port: int, limit: float, wait_seconds: float
) -> None:
    unreachable = f"--coordinator = {host}:{port}: process 0 does not answer there"
    while True:
        left = limit - time.monotonic()
        try:
            connection = socket.create_connection((host, port), max(left, 0.01))
            break
        except OSError as failed:
            if left <= 0:
                reason = failed.strerror or str(failed)
                raise UserError(
                    f"{unreachable} after {wait_seconds:g} s (parallel.wait_seconds; "
                    f"{reason})"
                ) from failed
            time.sleep(RETRY_SECONDS)
    _keep_alive(connection)
    greeting = {"jaxgan": link.index, "count": link.count}
    # Process 0 may have begun to wait later than this one, and waits as long.
    connection.settimeout(2 * wait_seconds + 10)
    try:
        connection.sendall(f"{json.dumps(greeting)}\n".encode())
        error = json.loads(_line(connection))["error"]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        connection.close()
        raise UserError(f"{unreachable}, or ended before all had come") from broken
    if error:
        connection.close()
        raise UserError(error)
    link.add(0, connection)


def _line(connection: socket.socket) -> bytes:
    """Return the next line, byte by byte so that nothing after it is taken."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > 10_000:
            raise OSError("closed")
        line += byte
    return line


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            option = getattr(socket, name)
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _named(indices: list[int]) -> str:
    """Return 'process 1' or 'processes 1, 2'."""
    plural = "es" if len(indices) > 1 else ""
    return f"process{plural} {', '.join(map(str, indices))}"
