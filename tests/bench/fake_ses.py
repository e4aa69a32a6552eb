"""An SES on loopback, in a process of its own: it answers after a while, and refuses what is over its rate.

Its rate is the strictest that "so many a second" can mean: in no second, wherever it begins, are more mails accepted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.request import urlopen

from tests.builders import ROOT


@dataclass
class FakeSes:
    """What it was given: `accepted` mails by tag, and when; how many were `refused`."""

    rate: int
    latency: float
    slower: float
    accepted: list[tuple[str, float]] = field(default_factory=list)
    refused: int = 0
    lately: deque[float] = field(default_factory=deque)

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=100)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is done

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path = head.split(b" ", 2)[:2]
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                status, answer = self._answer(method.decode(), path.decode(), await reader.readexactly(length))
                if method == b"POST":
                    await asyncio.sleep(self.latency * self.slower)
                writer.write(_response(status, answer))
        except (asyncio.IncompleteReadError, asyncio.CancelledError):  # the client has left, or we are to end
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path.endswith("/account"):
            return 200, {"SendQuota": {"MaxSendRate": self.rate}}
        if method == "GET":
            return 200, {"accepted": self.accepted, "refused": self.refused}
        now = monotonic() / self.slower
        while self.lately and self.lately[0] <= now - 1:
            self.lately.popleft()
        if len(self.lately) >= self.rate:
            self.refused += 1
            return 429, {"message": "Maximum sending rate exceeded."}
        self.lately.append(now)
        self.accepted.append((json.loads(body)["EmailTags"][0]["Value"], now))
        return 200, {"MessageId": f"mail{len(self.accepted)}"}


def _response(status: int, answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer).encode()
    error = "x-amzn-errortype: TooManyRequestsException\r\n" if status == 429 else ""
    head = f"HTTP/1.1 {status} .\r\n{error}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def running(rate: int, latency: float, *, slower: float) -> Iterator[str]:
    """The URL of one with this rate a second, and a latency in seconds, of which each takes `slower` of ours."""
    command = [sys.executable, "-m", "tests.bench.fake_ses", str(rate), str(latency), str(slower)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        assert process.stdin is not None
        process.stdin.close()


def told_by(url: str) -> dict[str, Any]:
    """What the one at this URL was given."""
    with urlopen(f"{url}/told") as answer:  # noqa: S310 - our own, on loopback
        told: dict[str, Any] = json.load(answer)
    return told


if __name__ == "__main__":
    asyncio.run(FakeSes(int(sys.argv[1]), *map(float, sys.argv[2:])).serve())  # type: ignore[arg-type]
