"""A receiver of webhooks on this machine: answers what it is told to, and keeps what came."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What to answer: `drips` sends the body a byte at a time and never ends, `hangs` says nothing at all."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False
    drips: bool = False


@dataclass(frozen=True)
class Delivery:
    """What came in one request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What was told to the receiver at `url`, and what it answers next: 200 when nothing is arranged."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/flywheel"
        self.replies: list[Reply] = []
        self.deliveries: list[Delivery] = []
        self.closing = Event()

    def will_answer(self, *statuses: int, **headers: str) -> None:
        """Answer these statuses one after the other, with headers such as retry_after="7"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies += [Reply(status, named) for status in statuses]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    receiver = Receiver(server.server_address[1])
    server.RequestHandlerClass = _door_of(receiver)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _door_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.deliveries.append(Delivery(self.path, headers, body))
            self._answer(receiver.replies.pop(0) if receiver.replies else Reply())

        def _answer(self, reply: Reply) -> None:
            if reply.hangs:
                receiver.closing.wait(20)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(reply.body)
                while reply.drips and not receiver.closing.wait(0.05):
                    self.wfile.write(b".")
            except OSError:  # the sender has heard enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    return Door
