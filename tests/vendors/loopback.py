"""A tiny server on a loopback port that misbehaves exactly as told, one script per connection."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket], None]


class LoopbackServer:
    """Runs the next script on each connection it accepts; the last one again when they run out."""

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._workers: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for worker in self._workers:
            worker.join(5)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            worker = threading.Thread(target=self._serve, args=(connection, script), daemon=True)
            worker.start()
            self._workers.append(worker)

    def _serve(self, connection: socket.socket, script: Script) -> None:
        with connection, contextlib.suppress(OSError):
            script(connection)

    def heard(self, connection: socket.socket) -> bytes:
        """Read one request, headers and body, and keep it."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536) or b"\r\n\r\n"
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return body


@contextlib.contextmanager
def served(make_scripts: Callable[[LoopbackServer], list[Script]]) -> Iterator[LoopbackServer]:
    """A running server; the scripts are made with it at hand."""
    server = LoopbackServer()
    server._scripts = make_scripts(server)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def answer(body: bytes, *, status: str = "200 OK", headers: tuple[str, ...] = (), length: int | None = None) -> bytes:
    """A whole HTTP answer, or one that lies about its length."""
    lines = [
        f"HTTP/1.1 {status}",
        *(headers or ("Content-Type: application/json",)),
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def replying(server: LoopbackServer, *replies: bytes) -> Script:
    """Hear a request and send a reply, as often as there are replies, on one connection."""

    def script(connection: socket.socket) -> None:
        for reply in replies:
            server.heard(connection)
            connection.sendall(reply)

    return script


def silent(server: LoopbackServer) -> Script:
    """Hear a request and never answer."""

    def script(connection: socket.socket) -> None:
        server.heard(connection)
        server.stopping.wait(10)

    return script


def dripping(server: LoopbackServer, head: bytes, drops: bytes, *, every: float) -> Script:
    """Send the head at once and then one byte after another; each read is quick, the whole never ends."""

    def script(connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(head)
        for drop in drops:
            if server.stopping.wait(every):
                return
            connection.sendall(bytes((drop,)))

    return script


def resetting(server: LoopbackServer, *, after: bytes | None = None) -> Script:
    """Answer one request if told to; then hear another, or the first, and reset the connection."""

    def script(connection: socket.socket) -> None:
        if after is not None:
            server.heard(connection)
            connection.sendall(after)
        server.heard(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script
