"""Posting to a URL that somebody else chose: what is refused, and what a hostile receiver can do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import FlywheelError, Unavailable
from shared.outgoing import MOST_READ, Answer, post, read_url
from tests.receiver import Receiver, Reply, receiving

BODY = b'{"type": "reward.granted"}'
ANY = "0.0.0.0"  # noqa: S104 - to be refused, not to be bound
HOST = "receiver.example.com"
Resolver = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def resolving(*addresses: str) -> Resolver:
    """A name server that gives these addresses for any name."""
    return lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]


def send(url: str, **settings: Any) -> Answer:
    return post(url, BODY, {"X-Test": "yes"}, **{"allow_private": True, "seconds": 5.0} | settings)


REFUSED = {
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "::1": "loopback",
    "10.0.0.7": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "fd12:3456::1": "private",
    "192.0.2.1": "private",
    "169.254.169.254": "link-local",
    "169.254.170.2": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fd00:ec2::254": "the metadata address",
    "100.64.0.1": "not public",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    ANY: "unspecified",
    "::": "unspecified",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.7": "private",
    "::ffff:169.254.169.254": "link-local",
    "64:ff9b::10.0.0.7": "private",
    "64:ff9b::169.254.169.254": "link-local",
    "64:ff9b:1::10.0.0.7": "reserved",
    "2002:7f00:1::": "loopback",
    "2001:0:102:304::1": "private",
    "::127.0.0.1": "reserved",
}


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_an_address_that_is_not_public_is_refused(address: str, why: str) -> None:
    with pytest.raises(FlywheelError, match=f"^{HOST} has the address .*, which is {why}: nothing is posted there$"):
        send(f"https://{HOST}/", allow_private=False, resolve=resolving(address))


def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(FlywheelError, match=r"192\.168\.0\.9, which is private"):
        send(f"https://{HOST}/", allow_private=False, resolve=resolving("93.184.215.14", "192.168.0.9"))


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", ANY, "224.0.0.1", "::ffff:169.254.1.1"])
def test_development_never_reaches_a_machine_s_credentials(address: str) -> None:
    with pytest.raises(FlywheelError, match="nothing is posted there"):
        send(f"http://{HOST}/", resolve=resolving(address))


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises(FlywheelError, match="loopback"):
        send(f"https://{host}/", allow_private=False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example.com/", "begin with https://"),
        ("ftp://shop.example.com/", "begin with https://"),
        ("https:///nowhere", "name a host"),
        ("https://ada:secret@shop.example.com/", "user name or password"),
        ("https://shop.example.com:8443/", "port must be 443, not 8443"),
        ("https://shop.example.com:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://shop.example.com/привет", "written in ASCII"),
    ],
)
def test_a_url_that_may_not_be_posted_to_is_refused(url: str, why: str) -> None:
    with pytest.raises(FlywheelError, match=why) as caught:
        read_url(url, allow_private=False)
    assert "secret" not in str(caught.value)


def test_a_host_that_is_no_name_is_refused() -> None:
    with pytest.raises(FlywheelError, match="no name"):
        send(f"https://{'a' * 70}.example.com/", allow_private=False)


def test_the_body_arrives_as_it_was_given(receiver: Receiver) -> None:
    assert send(f"{receiver.url}?key=1") == Answer(200)
    [delivery] = receiver.deliveries
    assert (delivery.path, delivery.body) == ("/flywheel?key=1", BODY)
    assert delivery.headers["x-test"] == "yes"
    assert delivery.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_name_is_resolved_once_a_post(receiver: Receiver) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return resolving("127.0.0.1" if len(asked) == 1 else "169.254.169.254")(host, port)

    assert send(f"http://{HOST}:{receiver.port}/", resolve=rebinding).status == 200
    assert asked == [HOST]
    assert receiver.deliveries[0].headers["host"] == f"{HOST}:{receiver.port}"


def test_the_next_address_is_tried_when_the_first_is_dead(receiver: Receiver) -> None:
    resolve = resolving("127.0.0.2", "127.0.0.1")  # the receiver listens on the second only
    assert send(f"http://{HOST}:{receiver.port}/", resolve=resolve).status == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver, status: int) -> None:
    receiver.will_answer(status, location="http://169.254.169.254/latest/meta-data/")
    assert send(receiver.url) == Answer(status)
    assert len(receiver.deliveries) == 1


def test_the_wish_to_be_left_alone_is_told(receiver: Receiver) -> None:
    receiver.will_answer(429, retry_after="120")
    assert send(receiver.url) == Answer(429, "120")


@pytest.mark.parametrize("reply", [Reply(hangs=True), Reply(drips=True)])
def test_a_slow_receiver_is_left_at_the_deadline(receiver: Receiver, reply: Reply) -> None:
    receiver.replies.append(reply)
    began = monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 took too long"):
        send(receiver.url, seconds=0.4)
    assert monotonic() - began < 3


def test_an_answer_is_read_no_further_than_it_must(receiver: Receiver) -> None:
    receiver.replies.append(Reply(body=b"." * (MOST_READ + 1), drips=True))
    assert send(receiver.url).status == 200


def test_nobody_listening_is_told_without_the_url() -> None:
    with receiving() as gone:
        url = gone.url
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 could not be reached: ConnectionRefusedError$"):
        send(url)


def test_a_receiver_that_never_takes_the_body_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="took too long"):
        send(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.3)


def a_certificate(host: str, folder: Path) -> Path:
    """A certificate of a host that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return folder / "certificate.pem"


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return a_certificate(HOST, tmp_path)

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[Receiver]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with receiving(context) as receiver:
            yield receiver

    def test_the_checked_address_must_prove_to_be_the_host(self, secure: Receiver, certificate: Path) -> None:
        trusting = ssl.create_default_context(cafile=str(certificate))
        url = f"https://{HOST}:{secure.port}/"
        assert send(url, resolve=resolving("127.0.0.1"), tls=trusting).status == 200

    def test_another_host_s_certificate_is_not_accepted(self, secure: Receiver, certificate: Path) -> None:
        trusting = ssl.create_default_context(cafile=str(certificate))
        with pytest.raises(Unavailable, match="SSLCertVerificationError"):
            send(f"https://shop.example.com:{secure.port}/", resolve=resolving("127.0.0.1"), tls=trusting)
        assert secure.deliveries == []

    def test_a_certificate_nobody_vouches_for_is_not_accepted(self, secure: Receiver) -> None:
        with pytest.raises(Unavailable, match="SSLCertVerificationError"):
            send(f"https://{HOST}:{secure.port}/", resolve=resolving("127.0.0.1"))

    def test_a_handshake_that_never_ends_is_left(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="took too long"):
            send(f"https://{HOST}:{silent.getsockname()[1]}/", resolve=resolving("127.0.0.1"), seconds=0.3)
