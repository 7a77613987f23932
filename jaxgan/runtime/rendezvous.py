"""Rendezvous: how the processes of a run find one another, before JAX is started.

Process 0 listens at the coordinator's address. The others connect to it, and each
sends its number. This comes first because `jax.distributed.initialize` with a missing
process aborts with a C++ stack trace, which Python cannot catch (exit code 134,
measured). Here it is a UserError, after a time that the user sets.
"""

import json
import socket
import time
from contextlib import suppress

from jaxgan.errors import UserError
from jaxgan.runtime.processes import Link, ProcessSpec

LOOPBACK = ("127.0.0.1", "localhost", "::1")
RETRY_SECONDS = 0.2
# TCP's own probes of a silent connection, so that a machine that vanished without
# closing it is noticed after 30 + 3 * 10 = 60 seconds.
KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


def connect_processes(spec: ProcessSpec | None, wait_seconds: float) -> Link:
    """Connect this process with the others of its run, and wait until all are there.

    Args:
        spec: which process this is; None if it is the only one.
        wait_seconds: how long to wait for the others.

    Raises:
        UserError: the address is not valid; or not all processes came within
            `wait_seconds`; or two have the same number, or another number of processes.
    """
    if spec is None:
        return Link(None)
    host, _, port = spec.coordinator.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # IPv6 without brackets: its end may be part of the address
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(
            f"--coordinator = {spec.coordinator}: must be HOST:PORT, or [IPV6]:PORT"
        )
    limit = time.monotonic() + wait_seconds
    link = Link(spec)
    if link.first:
        _accept_all(link, host, int(port), limit, wait_seconds)
    else:
        _connect_to_first(link, host, int(port), limit, wait_seconds)
    return link


def _accept_all(
    link: Link, host: str, port: int, limit: float, wait_seconds: float
) -> None:
    connections: dict[int, socket.socket] = {}
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = (host if host in LOOPBACK else "", port)
        server = socket.create_server(address, family=family)
    except OSError as failed:
        where = f"--coordinator = {host}:{port}"
        raise UserError(f"{where}: cannot listen there ({failed.strerror})") from failed
    error = None
    with server:
        while not error and len(connections) < link.count - 1:
            server.settimeout(max(0.01, limit - time.monotonic()))
            try:
                connection = server.accept()[0]
            except TimeoutError:
                missing = sorted(set(range(1, link.count)) - connections.keys())
                error = (
                    f"--num_processes = {link.count}: {_name_processes(missing)} did "
                    f"not come to {host}:{port} within {wait_seconds:g} s "
                    "(parallel.wait_seconds); start the same command for each, with "
                    "its own --process_id"
                )
            else:
                error = _admit_process(connection, connections, link.count)
    for connection in connections.values():
        answer = {"error": error}
        with suppress(OSError):  # if it is gone, the link notices
            connection.sendall(f"{json.dumps(answer)}\n".encode())
        if error:
            connection.close()
    if error:
        raise UserError(error)
    for index, connection in connections.items():
        link.add_connection(index, connection)


def _admit_process(
    connection: socket.socket, connections: dict[int, socket.socket], count: int
) -> str | None:
    """Read a process's greeting and add it to `connections`.

    Returns an error that ends the start of all processes, or None.
    """
    connection.settimeout(5)
    _enable_keep_alive(connection)
    try:
        greeting = json.loads(_read_line(connection))
        index, others = greeting["jaxgan"], greeting["count"]
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()  # some other program, such as a port scanner
        return None
    if index in connections and _is_closed(connections[index]):
        connections.pop(index).close()  # that process was ended and started again
    twice = index in connections or index == 0
    # The second one too, under a number that no process has: all get the error.
    connections[-1 if twice else index] = connection
    if others != count:
        return (
            f"--num_processes = {others} in process {index}: process 0 has {count}; "
            "they must be the same"
        )
    if twice:
        return f"--process_id = {index}: two processes have it; each needs its own"
    return None


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the other side, which sends nothing at this time, is gone."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _connect_to_first(
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
    _enable_keep_alive(connection)
    greeting = {"jaxgan": link.index, "count": link.count}
    # Process 0 waits as long as this one, and may have been started later.
    connection.settimeout(2 * wait_seconds + 10)
    try:
        connection.sendall(f"{json.dumps(greeting)}\n".encode())
        error = json.loads(_read_line(connection))["error"]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        connection.close()
        raise UserError(f"{unreachable}, or ended before all had come") from broken
    if error:
        connection.close()
        raise UserError(error)
    link.add_connection(0, connection)


def _read_line(connection: socket.socket) -> bytes:
    """Return the next line, read byte by byte: what follows it is for the link."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > 10_000:
            raise OSError("closed")
        line += byte
    return line


def _enable_keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            option = getattr(socket, name)
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _name_processes(indices: list[int]) -> str:
    """Return 'process 1' or 'processes 1, 2'."""
    plural = "es" if len(indices) > 1 else ""
    return f"process{plural} {', '.join(map(str, indices))}"
