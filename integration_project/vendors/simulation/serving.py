"""A simulator on a loopback port of its own, with a thread that delivers its webhooks."""

import logging
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from integration_project.vendors.simulation.application import Simulator

LOOPBACK = "127.0.0.1"
DELIVER_EVERY_SECONDS = 0.2

logger = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the simulator keeps its own log of calls."""


class Served:
    """A simulator being served; `url` is its base address."""

    def __init__(self, simulator: Simulator, server: WSGIServer) -> None:
        self.simulator = simulator
        self.port = int(server.server_port)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._server = server
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True),
            threading.Thread(target=self._deliver, daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def _deliver(self) -> None:
        while not self._stopping.wait(DELIVER_EVERY_SECONDS):
            try:
                self.simulator.deliver_webhooks()
            except Exception:
                logger.exception("A webhook of the %s simulator could not be sent.", self.simulator.vendor)

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(timeout=10)

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def serve(simulator: Simulator, port: int = 0) -> Served:
    """Serve a simulator on a loopback port (0: any free one) until it is stopped."""
    return Served(simulator, make_server(LOOPBACK, port, simulator, server_class=_Server, handler_class=_Handler))
