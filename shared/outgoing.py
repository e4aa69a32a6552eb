"""One POST to an address that somebody else chose, and nothing that could be turned against our own network.

The host is resolved once, every address is looked at, and the connection goes to exactly what was looked at: a second
answer of the name server changes nothing. Knows nothing of what is sent, and writes none of it down.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from shared.errors import FlywheelError, Unavailable

SECONDS = 15.0
"""How long one POST may take, all in all; what the Standard Webhooks specification advises."""

MOST_READ = 64 * 1024
"""Bytes of an answer that are read, so that the other side can finish; they are not looked at."""

HTTPS = 443
HTTP = 80

_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = IPv6Address("fd00:ec2::254")
"""Where EC2 tells of credentials over IPv6; its IPv4 address is link-local."""

Address = IPv4Address | IPv6Address
Resolve = Callable[..., Sequence[tuple[Any, ...]]]
"""As `socket.getaddrinfo`."""


@dataclass(frozen=True)
class Answer:
    """What was answered: the status, and the Retry-After header as it came. A redirect is an answer like any other."""

    status: int
    retry_after: str | None = None


@dataclass(frozen=True)
class Target:
    """A URL that may be posted to, taken apart."""

    tls: bool
    host: str
    port: int
    path: str
    host_header: str


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    resolve: Resolve = socket.getaddrinfo,
    seconds: float = SECONDS,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Post `body` once, follow no redirect, and tell what was answered.

    `allow_private` lets the URL be plain HTTP, on any port, on this machine or its network: for development only.
    Raises FlywheelError when the URL or an address of its host is refused, Unavailable when no answer came in time.
    """
    target = read_url(url, allow_private=allow_private)
    with _deadline(seconds) as line:
        try:
            addresses = checked(target, resolve, allow_private=allow_private)
            line.connect(target, addresses, seconds, tls)
            return _exchange(line, target, body, headers)
        except (OSError, HTTPException) as exc:
            why = (
                "took too long"
                if line.cut or isinstance(exc, TimeoutError)
                else f"could not be reached: {type(exc).__name__}"
            )
            raise Unavailable(f"{target.host} {why}") from exc


def read_url(url: str, *, allow_private: bool) -> Target:
    """Take a URL apart; FlywheelError, which does not quote it, when it is not one we post to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise FlywheelError("the webhook's URL cannot be read") from exc
    tls = parts.scheme == "https"
    if not host or not (tls or (allow_private and parts.scheme == "http")):
        raise FlywheelError("the webhook's URL must begin with https:// and name a host")
    if "@" in parts.netloc:
        raise FlywheelError("the webhook's URL must not hold a user name or password")
    usual = HTTPS if tls else HTTP
    port = usual if port is None else port
    if port != HTTPS and not allow_private:
        raise FlywheelError(f"the webhook's port must be {HTTPS}, not {port}")
    name = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise FlywheelError("the webhook's URL must be written in ASCII: percent-encode the rest")
    return Target(tls, host, port, path, name if port == usual else f"{name}:{port}")


def checked(target: Target, resolve: Resolve, *, allow_private: bool) -> list[Address]:
    """The addresses of a target's host; FlywheelError when any of them is one we do not post to."""
    try:
        found = resolve(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise FlywheelError("the host of the webhook's URL is no name") from exc
    addresses = [ip_address(one[4][0]) for one in found]
    for address in addresses:
        if (why := why_refused(address, allow_private=allow_private)) is not None:
            raise FlywheelError(f"{target.host} has the address {address}, which is {why}: nothing is posted there")
    if not addresses:
        raise Unavailable(f"{target.host} has no address")
    return addresses


def why_refused(address: Address, *, allow_private: bool = False) -> str | None:
    """Why nothing is posted to an address, None when something may be.

    With `allow_private` it may be on this machine or a private network, but never link-local: there lie the
    credentials of a machine in the cloud.
    """
    inner = _inner(address)
    if inner is not None:
        return why_refused(inner, allow_private=allow_private)
    found = (
        ("the metadata address", address == _METADATA),
        ("link-local", address.is_link_local or (address.version == 6 and address.is_site_local)),
        ("multicast", address.is_multicast),
        ("unspecified", address.is_unspecified),
        ("reserved", address.is_reserved and not address.is_loopback),
        ("loopback", address.is_loopback and not allow_private),
        ("private", address.is_private and not address.is_loopback and not allow_private),
        ("not public", not (address.is_global or address.is_private)),
    )
    return next((why for why, so in found if so), None)


def _inner(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4, or through NAT64."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class _Line:
    """A connection that another thread can cut, whatever it waits for just then."""

    def __init__(self) -> None:
        self.cut = False
        self._socket: socket.socket | None = None

    def hang_up(self) -> None:
        """Cut it; who waits on it is told at once that nothing more comes."""
        self.cut = True
        if self._socket is not None:
            # Already closed, or not yet connected: `_hold` finds out that it was cut.
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # beneath TLS, whose own waits for its reader
            except OSError:
                self._socket.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()

    def connect(self, target: Target, addresses: Sequence[Address], seconds: float, tls: ssl.SSLContext | None) -> None:
        """Connect to the first address that answers, and prove that it is the host; OSError when none does."""
        failed = OSError("no address")
        for address in addresses:
            try:
                self._dial(address, target.port, seconds)
            except OSError as exc:
                failed = exc
            else:
                break
        else:
            raise failed
        if target.tls:
            self._secure(target.host, tls or ssl.create_default_context())

    def _dial(self, address: Address, port: int, seconds: float) -> None:
        family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
        self.close()
        plain = self._hold(socket.socket(family, socket.SOCK_STREAM))
        plain.settimeout(seconds)
        plain.connect((str(address), port))

    def _secure(self, host: str, tls: ssl.SSLContext) -> None:
        assert self._socket is not None  # noqa: S101 - it was dialled just before # nosec B101
        secure = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._hold(secure)
        secure.do_handshake()

    def _hold(self, new: socket.socket) -> socket.socket:
        self._socket = new
        if self.cut:
            raise TimeoutError
        return new

    @property
    def connected(self) -> socket.socket | None:
        """The connection, if there is one."""
        return self._socket


@contextmanager
def _deadline(seconds: float) -> Iterator[_Line]:
    """A line that is cut after so many seconds. A socket's own timeout begins anew with every byte that drips in."""
    line = _Line()
    timer = Timer(seconds, line.hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield line
    finally:
        timer.cancel()
        line.close()


def _exchange(line: _Line, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = HTTPConnection(target.host, target.port)
    connection.auto_open = 0  # it must never look the host up itself
    connection.sock = line.connected
    connection.request("POST", target.path, body, {**headers, "Host": target.host_header, "Connection": "close"})
    response = connection.getresponse()
    response.read(MOST_READ)
    if line.cut:
        raise TimeoutError
    return Answer(response.status, response.headers.get("Retry-After"))
