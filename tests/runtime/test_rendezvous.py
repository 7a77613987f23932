"""Rendezvous of processes, what they agree on, and how they notice a lost one."""

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.runtime import processes, rendezvous
from jaxgan.runtime.processes import ProcessSpec
from jaxgan.workdir import changed_data, startup


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(processes, "HEARTBEAT_SECONDS", 0.05)
    # Connections of threads stay open, those of processes close when they end.
    monkeypatch.setattr(processes, "FAREWELL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    links = []
    make = rendezvous.Link
    monkeypatch.setattr(
        rendezvous, "Link", lambda place: links.append(make(place)) or links[-1]
    )
    yield address
    for link in links:
        link._ending = True  # none of them is to end this process
    for link in links:
        for connection in link._sockets.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    for thread in threading.enumerate():
        if thread.name.startswith(processes.THREAD_PREFIX):
            thread.join(5)


def in_threads(*calls):
    """Return what each call returned, or the UserError it raised."""

    def run(call):
        try:
            return call()
        except UserError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def connect(address, count, index, wait_seconds=10):
    """Return the link of process `index`, once all have come."""
    spec = ProcessSpec(address, count, index)
    return rendezvous.connect_processes(spec, wait_seconds)


def connected(address, count=2):
    """Return the links of so many processes, here threads."""
    return in_threads(*(lambda i=i: connect(address, count, i) for i in range(count)))


@pytest.fixture
def exits(monkeypatch):
    """Note the exit codes of processes that end themselves."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def assert_all_say(errors, *words):
    """All processes got the same error, which has these words in it."""
    (message,) = {str(error) for error in errors}
    for word in words:
        assert word in message


def wait_for(condition):
    limit = time.monotonic() + 10
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
    assert condition()


def test_all_get_what_each_gave(address):
    links = connected(address, 3)
    assert [link.first for link in links] == [True, False, False]
    for turn in range(3):
        calls = [
            lambda link=link, t=turn: link.exchange([link.index, t]) for link in links
        ]
        assert in_threads(*calls) == [[[0, turn], [1, turn], [2, turn]]] * 3


def test_one_process_needs_no_other():
    link = rendezvous.connect_processes(None, 10)
    assert (link.count, link.first, link.exchange("x")) == (1, True, ["x"])
    with pytest.raises(UserError, match="wrong"), link.share_errors():
        raise UserError("wrong")


def test_an_error_of_one_is_raised_on_all(address, exits):
    def work(link):
        with link, link.share_errors():
            if link.index == 1:
                raise UserError("data.dir = x: no such folder")

    links = connected(address, 3)
    errors = in_threads(*(lambda link=link: work(link) for link in links))
    assert len(errors) == 3
    assert_all_say(errors, "process 1: data.dir = x: no such folder")
    assert exits == []


def test_workers_that_do_not_come(address):
    """The one that did come is told as well."""
    begin = time.monotonic()
    errors = in_threads(
        lambda: connect(address, 4, 0, wait_seconds=0.5),
        lambda: connect(address, 4, 2, wait_seconds=0.5),
    )
    assert time.monotonic() - begin < 5
    assert_all_say(
        errors,
        "--num_processes = 4: processes 1, 3 did not come",
        address,
        "0.5 s (parallel.wait_seconds)",
        "--process_id",
    )


def test_process_0_that_does_not_come(address):
    (error,) = in_threads(lambda: connect(address, 2, 1, wait_seconds=0.5))
    assert_all_say([error], f"--coordinator = {address}: process 0 ", "0.5 s")


def test_two_processes_of_one_number(address):
    errors = in_threads(*(lambda i=i: connect(address, 3, i) for i in (0, 1, 1)))
    assert_all_say(errors, "--process_id = 1: two processes")


def test_a_process_that_is_started_again_before_all_have_come(address):
    host, port = address.split(":")

    def killed_then_started_again():
        limit = time.monotonic() + 5
        while time.monotonic() < limit:
            with suppress(ConnectionRefusedError):
                with socket.create_connection((host, int(port))) as killed:
                    killed.sendall(b'{"jaxgan": 1, "count": 3}\n')
                    time.sleep(0.1)
                break
        return connect(address, 3, 1)

    def later():
        time.sleep(1)
        return connect(address, 3, 2)

    links = in_threads(
        lambda: connect(address, 3, 0),
        killed_then_started_again,
        later,
    )
    calls = [lambda link=link: link.exchange(link.index) for link in links]
    assert in_threads(*calls) == [[0, 1, 2]] * 3


def test_processes_that_do_not_agree_on_their_number(address):
    errors = in_threads(
        lambda: connect(address, 2, 0),
        lambda: connect(address, 3, 1),
    )
    assert_all_say(errors, "--num_processes = 3 in process 1", "process 0 has 2")


def test_others_that_knock_are_not_let_in(address):
    host, port = address.split(":")

    def knock():
        for words in (b"GET / HTTP/1.1\r\n\r\n", b'{"a": 1}\n', b"\n", b""):
            limit = time.monotonic() + 5
            while time.monotonic() < limit:
                try:
                    with socket.create_connection((host, int(port))) as stranger:
                        stranger.sendall(words)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.01)
        return connect(address, 2, 1)

    links = in_threads(lambda: connect(address, 2, 0), knock)
    calls = [lambda link=link: link.exchange(link.index) for link in links]
    assert in_threads(*calls) == [[0, 1]] * 2


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address(address):
    links = connected(f"[::1]:{address.rpartition(':')[2]}")
    calls = [lambda link=link: link.exchange(link.index) for link in links]
    assert in_threads(*calls) == [[0, 1]] * 2


@pytest.mark.parametrize(
    "text", ["here", "here:", ":80", "here:port", "here:99999", "::1", "fe80::1:80"]
)
def test_an_address_that_is_none(text):
    with pytest.raises(UserError, match="must be HOST:PORT"):
        connect(text, 2, 0, wait_seconds=1)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen there"):
            connect(address, 2, 0, wait_seconds=1)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_others_at_once(address, exits, capsys, lost):
    links = connected(address)
    for connection in links[lost]._sockets.values():
        links[lost]._ending = True  # what its own threads see does not matter
        connection.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: exits)
    assert exits == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jaxgan: error: process {lost} was lost")
    assert processes.RESTART_HINT in line


@pytest.mark.parametrize("silent", [0, 1])
def test_a_process_that_hangs_is_noticed(address, exits, capsys, monkeypatch, silent):
    monkeypatch.setattr(processes, "SILENCE_SECONDS", 2.0)
    links = connected(address)
    time.sleep(2.5)  # both are heard of
    assert exits == []
    send = processes.Link._send
    monkeypatch.setattr(
        processes.Link,
        "_send",
        lambda link, *args: None if link is links[silent] else send(link, *args),
    )
    wait_for(lambda: exits)
    assert f"process {silent} was not heard of for 2 s" in capsys.readouterr().err


def test_a_pause_of_all_is_no_silence(address, exits, monkeypatch):
    """As of suspended machines: the clock goes on, but no heartbeat is missed."""
    connected(address)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)
    time.sleep(0.5)
    assert exits == []


def test_process_0_ends_last(address, exits, monkeypatch):
    """JAX's service, which it has, would abort the others with a C++ stack."""
    monkeypatch.setattr(processes, "FAREWELL_SECONDS", 10)
    links, ended = connected(address), []

    def work(link):
        with suppress(UserError), link, link.share_errors():
            raise UserError("wrong")
        if not link.first:
            time.sleep(0.5)
            ended.append(1)
            link._sockets[0].shutdown(socket.SHUT_RDWR)
        else:
            ended.append(0)

    begin = time.monotonic()
    in_threads(*(lambda link=link: work(link) for link in links))
    assert (ended, exits) == ([1, 0], [])
    assert time.monotonic() - begin < 5


def test_waiting_long_is_said(address, capsys, monkeypatch):
    monkeypatch.setattr(processes, "REPORT_SECONDS", 0.1)

    def late(link):
        time.sleep(0.3)
        return link.exchange(link.index)

    links = connected(address)
    calls = lambda: links[0].exchange(0), lambda: late(links[1])
    assert in_threads(*calls) == [[0, 1]] * 2
    assert "jaxgan: waiting for process 1 for " in capsys.readouterr().err


def test_an_error_of_one_while_the_others_compute(address, exits, capsys):
    links = connected(address, 3)
    with pytest.raises(UserError), links[2]:
        raise UserError("photo.png: not an image")
    # Process 0 passes it on to process 1.
    wait_for(lambda: len(exits) == 2)
    assert exits == [2, 2]
    error = "jaxgan: error: process 2 failed: photo.png: not an image\n"
    assert capsys.readouterr().err == error * 2


def test_processes_end_one_after_the_other(address, exits, capsys):
    for link in reversed(connected(address, 3)):
        with link:
            pass
        time.sleep(0.05)
    assert exits == []
    assert capsys.readouterr().err == ""


def test_messages_do_not_mix(address):
    """Long values of two threads arrive whole."""
    links = connected(address)
    value = {"text": "x" * 1_000_000}
    calls = [lambda link=link: link.exchange(value) for link in links]
    assert in_threads(*calls) == [[value] * 2] * 2


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"train.seed": 1}, "(train.seed: 0 in process 0, 1 here)"),
        ({"gan.extra": "x"}, "(gan.extra: - in process 0, x here)"),
    ],
)
def test_another_config(address, other, difference):
    fields = [{"train.seed": 0, "data.dir": "x"}, {"train.seed": 0, "data.dir": "y"}]
    fields[1] |= other
    errors = in_threads(
        *(
            lambda link=link: startup.check_same_command(
                fields[link.index], "runs/x", link
            )
            for link in connected(address)
        )
    )
    assert_all_say(errors, "process 1", difference)


def test_other_data(address):
    errors = in_threads(
        *(
            lambda link=link: startup.check_same_data(
                SimpleNamespace(fingerprint=lambda: str(link.index), device_data=None),
                "digits",
                link,
            )
            for link in connected(address)
        )
    )
    assert_all_say(errors, "process 1", "data.dir = digits: other examples")


def test_data_that_only_some_processes_keep_on_their_devices(address):
    feeds = [
        SimpleNamespace(fingerprint=lambda: "x", device_data=kept)
        for kept in (None, "arrays")
    ]
    errors = in_threads(
        *(
            lambda link=link: startup.check_same_data(feeds[link.index], "x", link)
            for link in connected(address)
        )
    )
    assert_all_say(errors, "data.cache = auto: only some processes")


def test_data_that_has_changed_since_the_checkpoint(address, tmp_path, monkeypatch):
    """Process 0, which sees the checkpoint, decides for all."""

    def loop(directory):
        assert directory.parent.name == "0"
        facts = {"train": {"count": 5, "digest": "x"}}
        return 10, {"data": facts}

    monkeypatch.setattr(changed_data, "newest_loop", loop)
    feed = SimpleNamespace(
        shape=(2,), num_classes=0, plan=None,
        fingerprint=lambda: {"train": {"count": 4, "digest": "y"}},
    )  # fmt: skip
    experiment = SimpleNamespace(data_dir="photos", num_steps=lambda plan: 20)
    links = connected(address)

    def check(link, allow):
        workdir = tmp_path / str(link.index)
        return changed_data.check_unchanged_data(workdir, feed, experiment, allow, link)

    allowed = in_threads(*(lambda link=link: check(link, True) for link in links))
    assert [len(lines) for lines in allowed] == [1, 0]  # only process 0 prints
    errors = in_threads(*(lambda link=link: check(link, False) for link in links))
    assert_all_say(errors, "data.dir = photos: ", "4 training examples, 5 before")


def test_another_state(address):
    errors = in_threads(
        *(
            lambda link=link: startup.check_same_state(
                {"kernel": np.full(3, link.index)}, "runs/x", link
            )
            for link in connected(address)
        )
    )
    assert_all_say(errors, "process 1", "another state", "train.init_from = 'runs/x'")


def test_another_folder(address, tmp_path, monkeypatch):
    """Of the same name, but on a machine's own disk."""
    visible = startup.lock.is_lock_visible
    monkeypatch.setattr(
        startup.lock, "is_lock_visible", lambda *where: visible(*where, 0.3)
    )
    folders = [tmp_path / "0", tmp_path / "1"]

    def work(link):
        with startup.hold_workdir(folders[link.index], {}, link):
            raise AssertionError("went on")

    errors = in_threads(*(lambda link=link: work(link) for link in connected(address)))
    assert_all_say(
        errors, f"process 1: --workdir = {folders[1]}: ", "not seen", "gs://"
    )
    assert not folders[0].exists()


def test_another_version(address, monkeypatch):
    versions = iter([{"jax": "0.10.2"}, {"jax": "0.11.0"}])
    monkeypatch.setattr(startup.versions, "installed_versions", lambda: next(versions))
    errors = in_threads(
        *(
            lambda link=link: startup.check_same_command({}, "x", link)
            for link in connected(address)
        )
    )
    assert_all_say(errors, "process 1", "jax: 0.1")


def test_the_versions_have_the_code_in_them():
    versions = startup.versions.installed_versions()
    assert {"Python", "jax", "jaxlib", "flax", "jaxgan"} <= versions.keys()
    assert len(versions["jaxgan"]) == 12
    assert json.loads(json.dumps(versions)) == versions
