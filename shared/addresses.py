"""E-mail addresses: what stands for one where it must not be read, and the form in which SES takes it."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256


def address_hash(email: str) -> str:
    """What stands for an address where the address itself must not: the same however it, or its domain, is written."""
    local, at, domain = email.strip().lower().rpartition("@")
    return sha256(f"{local}{at}{_ascii(domain) or domain}".encode()).hexdigest()


def mark_of(text: str, salt: str) -> str:
    """What stands for a text where nobody without the salt is to tell what it was."""
    return hmac.new(salt.encode(), text.encode(), "sha256").hexdigest()


def usable_address(email: str) -> str | None:
    """The address as SES takes it, its domain in ASCII; None when SES could not send to it.

    SES takes no address whose part before the @ is not ASCII.
    """
    local, _, domain = email.rpartition("@")
    ascii_domain = _ascii(domain)
    if ascii_domain is None:
        return None
    address = f"{local}@{ascii_domain}"
    return address if re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", address) else None


def _ascii(domain: str) -> str | None:
    """A domain as the network has it; None where that is not possible."""
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return None
