"""The switch for small answers touches listening sockets and nothing else.

Its first form left a second handle on every pipe of the process. Another thread that was just starting a
worker then waited for ever for the end of such a pipe, and no job was looked after any more.
"""

import importlib
import os
import select
import socket
import subprocess
import threading

lifespan = importlib.import_module("core.server.lifespan")  # the package hands on a function of this name
STARTS = 40


def handles() -> set[str]:
    return set(os.listdir("/dev/fd"))


def test_listening_sockets_send_small_answers_at_once_and_no_handle_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other:
        before = handles()
        lifespan._send_small_answers_at_once()
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not other.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert handles() == before


def test_a_pipe_still_ends_for_its_reader() -> None:
    reading, writing = os.pipe()
    lifespan._send_small_answers_at_once()
    os.close(writing)
    assert select.select([reading], [], [], 5)[0], "somebody else holds the end that writes"
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_processes_start_while_it_works() -> None:
    done = threading.Event()

    def start_processes() -> None:
        for _ in range(STARTS):
            subprocess.run(["true"], check=True, start_new_session=True)
        done.set()

    threading.Thread(target=start_processes, daemon=True).start()
    for _ in range(10_000):
        lifespan._send_small_answers_at_once()
        if done.wait(0.001):
            break
    assert done.is_set(), "a process that was being started never came back"
