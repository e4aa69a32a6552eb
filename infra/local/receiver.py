"""The other side of `reward.granted`: a shop's back end on loopback, which believes nothing that is not signed.

Verifies with the public library of Standard Webhooks, so that our own signing is held against somebody else's reading.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import yaml
from standardwebhooks import Webhook, WebhookVerificationError

from infra.local.ministack import HOST, LOCAL

PATH = "/flywheel"

PORT = 47_615
"""The port that is tried first: with the same one each time, the playbook and so the stack stay as they were made."""

FAILURES = 2
"""How often the first reward is answered with 500, before it is taken."""


@dataclass
class Receiver:
    """What came to it. `taken` counts by `webhook-id` what it answered 200 to, `failed` what it answered 500 to.

    `forged` counts what did not prove itself; `told` holds the body of each id as it was taken first. Until it knows
    a secret, it believes nobody.
    """

    port: int
    secret: str = ""
    taken: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    forged: int = 0
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        """Where rewards are to be told."""
        return f"http://{HOST}:{self.port}{PATH}"

    def context(self, playbook: Path) -> dict[str, Any]:
        """The CDK's context for a stack that tells us of its rewards, and is otherwise as this playbook says."""
        raw = yaml.load(playbook.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - makes strings, never objects
        raw["referrals"]["webhook"] = {"url": self.url, "allow_private": "true"}
        copy = LOCAL / f"playbook-{self.port}.json"  # which is YAML as well
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(raw, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        return {"playbook": str(copy)}

    def answer(self, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """Take one delivery, or say why not."""
        try:
            told = Webhook(self.secret).verify(body, dict(headers)) if self.secret else None
        except (WebhookVerificationError, ValueError):  # the latter is the library's on what is no signature at all
            told = None
        with self._lock:
            if told is None:
                self.forged += 1
                return HTTPStatus.UNAUTHORIZED
            message_id = headers["webhook-id"]
            first = next(iter(self.failed), message_id)
            if message_id == first and self.failed[message_id] < FAILURES:
                self.failed[message_id] += 1
                return HTTPStatus.INTERNAL_SERVER_ERROR
            self.taken[message_id] += 1
            self.told.setdefault(message_id, told)
            return HTTPStatus.OK


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on loopback while the block runs."""
    server = _server()
    receiver = Receiver(server.server_address[1])
    server.receiver = receiver
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver


class _Deliveries(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.receiver.answer(headers, body) if self.path == PATH else HTTPStatus.NOT_FOUND
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: what came is counted."""


def _server() -> _Server:
    try:
        return _Server((HOST, PORT), _Deliveries)
    except OSError:  # another demo has it; then any will do
        return _Server((HOST, 0), _Deliveries)
