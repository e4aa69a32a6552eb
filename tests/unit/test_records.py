"""What is made of a domain's records, and asking a server for them: one on loopback, that knows this community."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from threading import Thread
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from infra import records
from infra.records import Lookup, Unanswered, looking

DOMAIN = "community.example.com"
ENVELOPE = f"mail.{DOMAIN}"
SES_SAYS: dict[str, Any] = {
    "DkimAttributes": {"Tokens": ["t1", "t2", "t3"]},
    "MailFromAttributes": {"MailFromDomain": ENVELOPE},
}
WELL: dict[tuple[str, str], list[str]] = {
    (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com"],
    **{(f"{token}._domainkey.{DOMAIN}", "CNAME"): [f"{token}.dkim.amazonses.com"] for token in ("t1", "t2", "t3")},
    (ENVELOPE, "TXT"): ["some-verification=1", "v=spf1 include:amazonses.com ~all"],
    (ENVELOPE, "MX"): ["feedback-smtp.eu-west-1.amazonses.com"],
}
DMARC, DKIM, SPF = f"DMARC of {DOMAIN}", f"DKIM of {DOMAIN}", f"SPF of {ENVELOPE}"


def found(
    changes: Mapping[tuple[str, str], Sequence[str]] | None = None, *, sent: float = 100, told: Any = None
) -> dict[str, Any]:
    """The findings of a domain whose records are well but for these, by name."""
    there = {**WELL, **(changes or {})}
    got = records.examine(DOMAIN, told or SES_SAYS, sent=sent, lookup=lambda name, kind: there.get((name, kind), []))
    return {finding.name: finding for finding in got}


def dmarc(*texts: str, sent: float = 100) -> Any:
    return found({(f"_dmarc.{DOMAIN}", "TXT"): texts}, sent=sent)[DMARC]


def test_records_that_are_well_need_nobody() -> None:
    assert {name: finding.state for name, finding in found().items()} == dict.fromkeys((DMARC, DKIM, SPF), "fine")


class TestDmarc:
    @pytest.mark.parametrize(("sent", "state"), [(4999, "look"), (5000, "act")])
    def test_a_missing_record_is_to_be_acted_on_from_5000_mails_a_day(self, sent: float, state: str) -> None:
        for texts in ((), ("v=spf1 -all",), ("v=DMARC1; p=none; rua=mailto:a@example.com",) * 2):
            finding = dmarc(*texts, sent=sent)
            assert (finding.state, "Gmail, Yahoo and Microsoft refuse" in finding.text) == (state, True)

    def test_none_is_accepted_and_said_to_be_little(self) -> None:
        finding = dmarc("v=DMARC1;p=none;rua=mailto:dmarc@example.com", sent=100_000)
        assert (finding.state, "accepted by all of them" in finding.text) == ("fine", True)
        assert finding.facts["p"] == "none"

    @pytest.mark.parametrize("text", ["v=DMARC1; p=none", "v=DMARC1; rua=mailto:a@example.com", "v=DMARC1; p=nothing"])
    def test_no_reports_or_no_policy_can_wait_for_the_morning(self, text: str) -> None:
        assert dmarc(text).state == "look"

    def test_the_record_of_the_domain_above_counts_with_its_word_for_those_below(self) -> None:
        above = {
            (f"_dmarc.{DOMAIN}", "TXT"): [],
            ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; sp=none; rua=mailto:dmarc@example.com"],
        }
        finding = found(above)[DMARC]
        assert (finding.state, finding.text.split(",")[0]) == ("fine", "sp=none at _dmarc.example.com")


class TestDkimAndSpf:
    @pytest.mark.parametrize("there", [[], ["t2.dkim.elsewhere.example.com"]])
    def test_a_key_that_does_not_lead_to_ses_is_to_be_acted_on(self, there: list[str]) -> None:
        finding = found({(f"t2._domainkey.{DOMAIN}", "CNAME"): there})[DKIM]
        assert finding.state == "act"
        assert finding.text == f"1 of 3 CNAMEs do not lead to SES, such as t2._domainkey.{DOMAIN}"

    def test_keys_may_be_in_a_zone_that_ses_names(self) -> None:
        told = SES_SAYS | {"DkimAttributes": {"Tokens": ["t1"], "SigningHostedZone": "dkim.xy.amazonses.com"}}
        assert found(told=told)[DKIM].state == "act"
        there = {(f"t1._domainkey.{DOMAIN}", "CNAME"): ["t1.dkim.xy.amazonses.com"]}
        assert found(there, told=told)[DKIM].state == "fine"

    @pytest.mark.parametrize(
        ("kind", "there", "said"),
        [
            ("TXT", [], "0 SPF records"),
            ("TXT", ["v=spf1 include:amazonses.com ~all", "v=spf1 -all"], "2 SPF records"),
            ("TXT", ["v=spf1 include:elsewhere.example.com -all"], "does not name include:amazonses.com"),
            ("MX", ["mx.example.com"], "MX does not lead to SES"),
        ],
    )
    def test_an_envelope_that_does_not_name_ses_is_to_be_acted_on(self, kind: str, there: list[str], said: str) -> None:
        finding = found({(ENVELOPE, kind): there})[SPF]
        assert (finding.state, said in finding.text) == ("act", True)

    def test_without_an_envelope_of_its_own_dkim_alone_counts(self) -> None:
        finding = found(told={"DkimAttributes": SES_SAYS["DkimAttributes"]})[f"SPF of {DOMAIN}"]
        assert (finding.state, "DKIM alone" in finding.text) == ("fine", True)


class Server(Thread):
    """A DNS server on loopback: of what it does not know it says that there is none; what is silent gets no answer."""

    def __init__(self, silent: str = "") -> None:
        super().__init__(daemon=True)
        self.silent = silent
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def lookup(self) -> Lookup:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.socket.getsockname()[1]
        return looking(resolver)

    def run(self) -> None:
        while True:
            asked, sender = self.socket.recvfrom(4096)
            if not asked:
                return
            query = dns.message.from_wire(asked)
            [question] = query.question
            name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
            if name != self.silent:
                self.socket.sendto(self.answer(query, name, kind).to_wire(), sender)

    def answer(self, query: Any, name: str, kind: str) -> Any:
        answer = dns.message.make_response(query, recursion_available=True)
        texts = WELL.get((name, kind), [])
        shape = {"TXT": '"{}"', "CNAME": "{}.", "MX": "10 {}."}[kind]
        if texts:
            answer.answer = [dns.rrset.from_text(f"{name}.", 60, "IN", kind, *map(shape.format, texts))]
        elif not any(known == name for known, _ in WELL):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def stop(self) -> None:
        self.socket.sendto(b"", self.socket.getsockname())
        self.join()
        self.socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server(silent=ENVELOPE)
    started.start()
    yield started
    started.stop()


class TestLookingUp:
    def test_records_are_read_as_text(self, server: Server) -> None:
        look = server.lookup()
        assert look(f"_dmarc.{DOMAIN}", "TXT") == WELL[f"_dmarc.{DOMAIN}", "TXT"]
        assert look(f"t1._domainkey.{DOMAIN}", "CNAME") == ["t1.dkim.amazonses.com"]

    def test_what_is_not_there_is_none_of_either_kind(self, server: Server) -> None:
        assert server.lookup()("_dmarc.example.com", "TXT") == []
        assert server.lookup()(f"_dmarc.{DOMAIN}", "MX") == []

    def test_a_server_that_is_silent_leaves_its_record_unseen_and_the_others_told(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(records, "PATIENCE", 0.3)
        with pytest.raises(Unanswered, match=f"did not answer for {ENVELOPE} \\(LifetimeTimeout\\)"):
            server.lookup()(ENVELOPE, "TXT")
        got = {one.name: one for one in records.examine(DOMAIN, SES_SAYS, sent=0, lookup=server.lookup())}
        assert {name: one.state for name, one in got.items()} == {DMARC: "fine", DKIM: "fine", SPF: "unseen"}
        assert "did not answer" in got[SPF].text
