"""The pages on this machine's loopback: the real `visit`, over an App on moto, so that a browser can be sent there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import boto3

from shared.app import App, Settings
from shared.links import visit
from shared.model import Member, stamp
from shared.pages import Page
from shared.playbook import Playbook, check
from shared.signing import Purpose
from shared.visits import Visit
from tests.aws.conftest import _create_table
from tests.builders import JOINED, ROOT, a_member, raw_playbook

PATHS: dict[Purpose, str] = {"unsubscribe": "u", "preferences": "p", "survey": "s", "bonus": "b"}


class Site:
    """The pages of one community; `now` is what its clock says."""

    def __init__(self, app: App, origin: str) -> None:
        self.app, self.origin, self.now = app, origin, JOINED
        self._numbers = count(1)

    def newcomer(self, locale: str, **changes: Any) -> Member:
        """A member whom no test has met."""
        number = next(self._numbers)
        fields = {"id": f"m{number:020x}", "ordinal": number, "identities": frozenset({f"slack:U{number}"})}
        member = a_member(**fields | {"locale": locale} | changes)
        self.app.store.create_member(member)
        return member

    def member(self, member: Member) -> Member:
        """A member as they stand in the table now."""
        found = self.app.store.member(member.id)
        assert found is not None
        return found

    def link(self, purpose: Purpose, *parts: str) -> str:
        """A link as it stands in a mail."""
        return f"{self.origin}/l/{PATHS[purpose]}/{self.app.signer.sign(purpose, *parts)}"

    def referral_link(self, member: Member) -> str:
        """A member's referral link."""
        return f"{self.origin}/l/r/{self.app.signer.code(member.id)}"

    def bonus_link(self, member: Member, key: str) -> str:
        """A link to a bonus that ends two weeks after the beginning."""
        return self.link("bonus", member.id, key, stamp(JOINED.replace(day=15)))


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a connection: Chromium opens connections ahead of need, and one idle would hold up the others."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing: the tests' output is theirs."""


@contextmanager
def served() -> Iterator[Site]:
    """The pages, at a free port of the loopback; moto must be there."""
    lock = Lock()  # moto is not safe under threads
    site = Site(_an_app(), "")

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            page = _page(environ, site)
        start_response(f"{page.status} -", [*page.headers.items(), *(("set-cookie", one) for one in page.cookies)])
        return [page.html.encode()]

    with make_server("127.0.0.1", 0, answer, _Server, _Quiet) as server:
        site.origin = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def a_rich_playbook() -> Playbook:
    """The default playbook, with a bonus behind a link too."""
    raw = raw_playbook()
    title = {"en": "Half price on the big lathe", "ru": "Большой токарный станок за полцены"}
    raw["bonuses"]["lathe"] = {"title": title, "url": "https://community.example.com/lathe", "valid_for": "14d"}
    return check(raw, source="playbook")


def _an_app() -> App:
    name = f"flywheel-{uuid4().hex}"
    _create_table(name)
    keys = json.dumps({"current": "1", "1": "a-link-key"})
    boto3.client("ssm").put_parameter(Name=name, Value=keys, Type="SecureString")
    return App(Settings(table=name, links_secret=name), playbook=a_rich_playbook(), code=ROOT / "shared")


def _page(environ: dict[str, Any], site: Site) -> Page:
    path = str(environ["PATH_INFO"])
    if not path.startswith("/l/"):
        return Page(status=404, headers={}, html="")
    query = [pair.split("=", 1) for pair in environ["QUERY_STRING"].split("&") if "=" in pair]
    return visit(
        Visit(
            method=environ["REQUEST_METHOD"],
            path=path.removeprefix("/l/"),
            query=dict(query),
            form=environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
            language=environ.get("HTTP_ACCEPT_LANGUAGE"),
            cookies=tuple(environ.get("HTTP_COOKIE", "").split(";")),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
        ),
        site.app,
        site.now,
    )
