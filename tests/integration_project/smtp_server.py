"""A mail server on this machine that answers as it is told, so that the real client meets real answers and silence."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class MailServer:
    """Takes mails, one connection at a time each in a thread; refuses whom it is told to, or falls silent."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.refused: set[str] = set()
        """Addresses it does not know."""
        self.silent_after: str = ""
        """The command that it carries out and does not answer; `hello` for the connection itself."""
        self.taken: list[tuple[str, str]] = []
        """To whom, and the mail."""
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up, and let nobody connect any more."""
        self._over.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as lines, suppress(OSError):
            if not self._say(lines.write, lines.flush, "hello", b"220 here"):
                return
            recipient = ""
            for line in iter(lines.readline, b""):
                command = line[:4].strip().decode().lower()
                answer = b"250 fine"
                if command == "rcpt":
                    recipient = line.decode().partition("<")[2].partition(">")[0]
                    answer = b"550 nobody of that name" if recipient in self.refused else answer
                elif command == "data":
                    lines.write(b"354 go on\r\n")
                    lines.flush()
                    body = b"".join(iter(lines.readline, b".\r\n"))
                    self.taken.append((recipient, body.decode()))
                elif command == "quit":
                    answer = b"221 bye"
                if not self._say(lines.write, lines.flush, command, answer):
                    return

    def _say(self, write: Callable[[bytes], object], flush: Callable[[], object], after: str, answer: bytes) -> bool:
        """Answer; or fall silent until the server is closed."""
        if self.silent_after == after:
            self._over.wait()
            return False
        write(answer + b"\r\n")
        flush()
        return True


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server for the length of a test."""
    server = MailServer()
    try:
        yield server
    finally:
        server.close()
