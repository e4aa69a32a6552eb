"""Referral links and our own join page: the first click stays, nobody is sent where the playbook does not say."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions import links
from shared.app import App
from shared.events import Profile, ReferralClicked
from shared.links import visit
from shared.model import Identity, Touch, stamp
from shared.pages import Page
from shared.playbook import check
from shared.react import react
from shared.referral_links import COOKIE, PREVIEWS
from shared.store.referrals import INVITERS
from shared.visits import Visit
from tests.aws.conftest import Wire
from tests.aws.test_functions import Context, Told, _wire, a_visit
from tests.builders import JOINED, a_member, joined, raw_playbook

NOW = JOINED + timedelta(days=10)
ADA = a_member().id
BO = "m" + "b" * 20
UTM = {"utm_source": "referral", "utm_medium": "member", "utm_campaign": "friends"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
JOIN = "https://community.example.com/join"
INVITE = "https://community.example.com/invite"


@pytest.fixture
def ada(app: App) -> App:
    """An App that knows Ada and Bo."""
    app.store.create_member(a_member())
    app.store.create_member(a_member(id=BO, ordinal=1, name="Bo", identities=frozenset({"slack:U2"})))
    return app


def with_join_page(app: App, url: str = JOIN) -> App:
    """The community has a join page of its own."""
    raw = raw_playbook()
    raw["referrals"]["join_url"] = url
    app.playbook = check(raw, source="playbook")
    return app


def follow(app: App, code: str | None = None, *, at: datetime = NOW, **changes: Any) -> Page:
    """Follow Ada's link, or this one."""
    path = f"r/{app.signer.code(ADA) if code is None else code}"
    fields: dict[str, Any] = {"method": "GET", "path": path, "query": {}, "form": b"", "user_agent": FIREFOX}
    return visit(Visit(**fields | changes), app, at)


def join(app: App, *, at: datetime = NOW, **changes: Any) -> Page:
    """Look at our join page, or leave an address there if there is a form."""
    form = changes.pop("form", None)
    sent = {"method": "GET", "form": b""} if form is None else {"method": "POST", "form": urlencode(form).encode()}
    fields: dict[str, Any] = {"path": "j", "query": {}, **sent}
    return visit(Visit(**fields | changes), app, at)


def token(app: App, referrer: str = ADA, at: datetime = NOW, click: str = "c1") -> str:
    return app.signer.sign("referral", referrer, click, stamp(at))


def location(page: Page) -> str:
    assert page.status == 302
    return page.headers["location"]


def ref(page: Page) -> str:
    """The token that goes on."""
    return parse_qs(urlsplit(location(page)).query)["ref"][0]


def remembered(page: Page) -> tuple[str, ...]:
    """What a browser sends back of the cookies it was given."""
    return tuple(cookie.partition(";")[0] for cookie in page.cookies)


def clicks(app: App, actor: str = "U1", day: datetime = NOW) -> list[ReferralClicked]:
    logged = app.store.logged(Identity("slack", actor), day.date())
    return [event for event in logged if isinstance(event, ReferralClicked)]


class TestFollowing:
    def test_a_click_is_logged_remembered_and_led_on(self, ada: App) -> None:
        page = follow(with_join_page(ada))
        [click] = clicks(ada)
        assert (click.id, click.platform, click.actor) == (f"click:{click.object}", "slack", "U1")
        assert (click.occurred_at, click.timed) == (NOW, True)
        assert ada.signer.read("referral", ref(page)) == (ADA, click.object, stamp(NOW))
        assert dict(parse_qsl(urlsplit(location(page)).query)) == UTM | {"ref": ref(page)}
        assert location(page).startswith(f"{JOIN}?")

    def test_the_cookie_lasts_ninety_days_and_is_ours_alone(self, ada: App) -> None:
        page = follow(ada)
        [cookie] = page.cookies
        assert cookie == f"{COOKIE}={ref(page)}; Max-Age=7776000; Path=/l; Secure; HttpOnly; SameSite=Lax"

    def test_without_a_join_page_it_leads_to_ours(self, ada: App) -> None:
        page = follow(ada)
        assert urlsplit(location(page))._replace(query="").geturl() == "/l/j"
        assert join(ada, query=dict(parse_qsl(urlsplit(location(page)).query))).status == 200

    def test_a_click_costs_one_read_and_one_write(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        follow(ada)
        assert (wire.reads(), wire.writes()) == (1, 1)

    def test_nobody_keeps_the_answer_or_learns_the_link(self, ada: App) -> None:
        page = follow(ada)
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")

    @pytest.mark.parametrize(
        ("target", "kept"),
        [
            ("https://example.com", "https://example.com/?{ours}"),
            ("https://example.com/join?plan=a%20b&x", "https://example.com/join?plan=a%20b&x&{ours}"),
            ("https://example.com/?ref=theirs&utm%5Fsource=x&a=1#/start", "https://example.com/?a=1&{ours}#/start"),
            ("https://пример.example/вход?&", "https://xn--e1afmkfd.example/%D0%B2%D1%85%D0%BE%D0%B4?{ours}"),
        ],
    )
    def test_a_target_keeps_the_query_it_has(self, ada: App, target: str, kept: str) -> None:
        page = follow(with_join_page(ada, target))
        assert location(page) == kept.format(ours=urlencode(UTM | {"ref": ref(page)}))

    def test_the_request_never_says_where_to(self, ada: App) -> None:
        query = {"next": "https://evil.example", "url": "//evil.example", "ref": "x", "utm_campaign": "evil"}
        page = follow(with_join_page(ada), query=query, language="//evil.example")
        assert location(page).startswith(f"{JOIN}?")
        assert "evil" not in str(page)

    def test_who_was_merged_refers_as_who_remains(self, ada: App) -> None:
        merged = "m" + "c" * 20
        ada.store.create_member(a_member(id=merged, merged_into=BO))
        page = follow(ada, ada.signer.code(merged))
        assert ada.signer.read("referral", ref(page))[0] == BO
        assert len(clicks(ada, "U2")) == 1


class TestFirstTouch:
    def test_the_first_link_stays_whoever_comes_second(self, ada: App) -> None:
        first = follow(ada)
        second = follow(ada, ada.signer.code(BO), cookies=remembered(first))
        assert ref(second) == ref(first)
        assert second.cookies == ()
        assert [len(clicks(ada, actor)) for actor in ("U1", "U2")] == [1, 1]

    @pytest.mark.parametrize(("age", "stays"), [(timedelta(days=90), True), (timedelta(days=90, seconds=1), False)])
    def test_a_first_touch_stays_ninety_days(self, ada: App, age: timedelta, *, stays: bool) -> None:
        first = token(ada, BO, NOW - age)
        page = follow(ada, cookies=(f"{COOKIE}={first}",))
        assert (ref(page) == first, page.cookies == ()) == (stays, stays)

    def test_of_several_cookies_the_earliest_click_counts(self, ada: App) -> None:
        known = [token(ada, BO, NOW - timedelta(days=days)) for days in (1, 3, 2)]
        cookies = (f"{COOKIE}=forged", "other=1", *(f" {COOKIE}={one}" for one in known))
        assert ref(follow(ada, cookies=cookies)) == known[1]

    def test_a_cookie_that_we_did_not_sign_counts_nothing(self, ada: App) -> None:
        wrong = [
            token(ada, BO)[:-2],
            ada.signer.sign("unsubscribe", BO, "c1", stamp(NOW)),
            ada.signer.sign("referral", BO),
            ada.signer.sign("referral", BO, "c1", "yesterday"),
            ada.signer.sign("referral", BO, "c1", "2030-01-05T00:00:00"),
            "",
            "é\x00\r\n",
        ]
        for one in wrong:
            page = follow(ada, cookies=(f"{COOKIE}={one}", COOKIE))
            assert ada.signer.read("referral", ref(page))[0] == ADA
            assert len(page.cookies) == 1


class TestUnattributed:
    def unattributed(self, app: App, page: Page) -> None:
        assert (location(page), page.cookies) == (JOIN, ())
        assert clicks(app) + clicks(app, "U2") == []

    @pytest.mark.parametrize("status", ["left", "removed", "banned"])
    def test_who_is_not_here_refers_nobody(self, app: App, status: str) -> None:
        app.store.create_member(a_member(status=status))
        self.unattributed(app, follow(with_join_page(app)))

    def test_a_code_of_nobody_or_altered_refers_nobody(self, ada: App) -> None:
        with_join_page(ada)
        code = ada.signer.code(ADA)
        wrong = ["", "x", code[:-1], code + "A", code.swapcase(), ada.signer.code("m" + "d" * 20), "é", "\r\nX: y"]
        for one in [*wrong, "//evil.example", "https://evil.example", "..%2f..", "A" * 5000, "\ud800", "%00"]:
            self.unattributed(ada, follow(ada, one, cookies=(f"{COOKIE}={token(ada)}",)))

    @pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "PUT"])
    def test_only_a_get_is_a_click(self, ada: App, method: str) -> None:
        self.unattributed(ada, follow(with_join_page(ada), method=method))

    @pytest.mark.parametrize(
        "agent",
        [
            *PREVIEWS,
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0 A",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        ],
    )
    def test_a_preview_is_no_click(self, ada: App, agent: str) -> None:
        self.unattributed(ada, follow(with_join_page(ada), user_agent=agent))

    @pytest.mark.parametrize("agent", ["", FIREFOX, "Mozilla/5.0 (iPhone) Instagram 300.0", "curl/8.0"])
    def test_any_other_browser_is_a_person_s(self, ada: App, agent: str) -> None:
        follow(ada, user_agent=agent)
        assert len(clicks(ada)) == 1

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        code=st.text(max_size=40), cookie=st.text(max_size=40), agent=st.text(max_size=20), query=st.text(max_size=20)
    )
    def test_whatever_is_asked_the_target_is_ours(
        self, app: App, code: str, cookie: str, agent: str, query: str
    ) -> None:
        cookies = (cookie, f"{COOKIE}={cookie}")
        page = follow(app, code, cookies=cookies, user_agent=agent, query={"ref": query, query: code})
        assert location(page) == "/l/j"


CLEO = Profile(email="cleo@example.com", email_verified=True)


def by_the_page(referrer: str) -> Touch:
    return Touch(referee_id="", referrer_id=referrer, at=NOW, told_at=NOW, source="join_page")


FILLED = {"email": "Cleo@Example.com", "consent": "yes"}


class TestJoinPage:
    def test_it_shows_who_invites_and_ticks_nothing(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        page = join(ada, query={"ref": token(ada)})
        assert page.status == 200
        assert "<h1>Ada invites you</h1>" in page.html
        assert " checked" not in page.html
        assert f'name="ref" value="{token(ada)}"' in page.html
        assert wire.writes() == 0

    def test_it_speaks_the_browser_s_language(self, ada: App) -> None:
        page = join(ada, query={"ref": token(ada)}, language="fr, ru-RU;q=0.9, en;q=0.8")
        assert "<h1>Ada приглашает вас</h1>" in page.html

    @pytest.mark.parametrize(
        "changes", [{"name": "<b>www.evil.example</b>"}, {"name": None}, {"status": "banned"}], ids=str
    )
    def test_no_unclean_name_and_nobody_gone_is_named(self, app: App, changes: dict[str, Any]) -> None:
        app.store.create_member(a_member(**changes))
        assert "<h1>You are invited</h1>" in join(app, query={"ref": token(app)}).html

    def test_an_address_with_consent_is_remembered_for_the_referrer(self, ada: App) -> None:
        page = join(ada, form=FILLED, cookies=(f"{COOKIE}={token(ada)}",), at=NOW + timedelta(hours=1))
        assert (page.status, page.cookies) == (200, ())
        assert f'href="{INVITE}"' in page.html
        assert ada.store.invited("cleo@example.com") == [
            Touch(
                referee_id="",
                referrer_id=ADA,
                at=NOW,
                told_at=NOW + timedelta(hours=1),
                source="join_page",
                utm=UTM,
            )
        ]

    def test_a_click_that_the_browser_does_not_remember_counts_from_now(self, ada: App) -> None:
        join(ada, form=FILLED | {"ref": token(ada)}, at=NOW + timedelta(hours=1))
        assert [touch.at for touch in ada.store.invited("cleo@example.com")] == [NOW + timedelta(hours=1)]

    def test_what_the_browser_remembers_goes_before_what_the_address_says(self, ada: App) -> None:
        app = ada
        older = app.signer.sign("referral", BO, "an-old-click", stamp(NOW - timedelta(days=30)))
        cookies = (f"{COOKIE}={token(app)}",)
        join(app, form=FILLED | {"ref": older}, query={"ref": older}, cookies=cookies)
        assert [touch.referrer_id for touch in app.store.invited("cleo@example.com")] == [ADA]

    def test_leaving_it_twice_is_as_good_as_once(self, ada: App) -> None:
        cookies = (f"{COOKIE}={token(ada)}",)
        pages = [join(ada, form=FILLED, cookies=cookies, at=NOW + timedelta(days=day)) for day in (0, 1)]
        assert pages[0] == pages[1]
        assert [touch.told_at for touch in ada.store.invited("cleo@example.com")] == [NOW]

    def test_leaving_it_ever_again_is_one_touch_and_one_write_at_the_join(self, ada: App, wire: Wire) -> None:
        for second in range(30):
            join(ada, form=FILLED | {"ref": token(ada)}, at=NOW + timedelta(seconds=second))
        clicked = [token(ada, at=NOW - timedelta(days=days)) for days in (1, 3, 2)]
        for one in clicked:
            join(ada, form=FILLED, cookies=(f"{COOKIE}={one}",), at=NOW + timedelta(hours=1))
        [touch] = ada.store.invited("cleo@example.com")
        assert (touch.at, touch.told_at) == (NOW - timedelta(days=3), NOW)
        came = joined(actor="U9", profile=CLEO, at=NOW + timedelta(hours=2))
        wire.requests.clear()
        assert react([came], ada, NOW + timedelta(hours=2)) == {}
        assert wire.requests["PutItem"] == 7  # the member, identity, address, two programmes, the touch and its case

    def test_an_address_has_so_many_referrers_at_most(self, ada: App) -> None:
        for number in range(INVITERS + 5):
            ada.store.note_invited("cleo@example.com", by_the_page(f"m{number:020}"))
        assert len(ada.store.invited("cleo@example.com")) == INVITERS

    def test_a_domain_counts_in_either_of_its_forms(self, ada: App) -> None:
        join(ada, form=FILLED | {"ref": token(ada), "email": "cleo@пример.рф"})
        assert len(ada.store.invited("cleo@пример.рф")) == len(ada.store.invited("cleo@xn--e1afmkfd.xn--p1ai")) == 1

    @pytest.mark.parametrize("where", ["form", "query", "cookie"])
    def test_the_token_may_come_by_either_way(self, ada: App, where: str) -> None:
        cookies = (f"{COOKIE}={token(ada)}",) if where == "cookie" else ()
        query = {"ref": token(ada)} if where == "query" else {"ref": "broken"}
        page = join(ada, form=FILLED | ({"ref": token(ada)} if where == "form" else {}), query=query, cookies=cookies)
        assert "One more step" in page.html
        assert [touch.referrer_id for touch in ada.store.invited("cleo@example.com")] == [ADA]

    @pytest.mark.parametrize("email", ["", " ", "cleo", "cleo@", "@example.com", "клео@example.com", "a b@example.com"])
    @pytest.mark.parametrize("consent", [True, False])
    def test_a_wrong_address_is_told_and_kept(self, ada: App, email: str, *, consent: bool) -> None:
        form = {"ref": token(ada), "email": email} | ({"consent": "yes"} if consent else {})
        page = join(ada, form=form)
        assert re.findall('id="(no-[a-z]+)"', page.html) == ["no-email"] if consent else ["no-email", "no-consent"]
        assert f'value="{email.strip()}"' in page.html
        assert (" checked" in page.html) == consent

    @pytest.mark.parametrize(
        "email", ["a@" + "b" * 300 + ".com", "a@" + "я" * 5000, "<script>@x\r\n.com", "a@b\x00.com"]
    )
    def test_a_hostile_address_is_only_a_wrong_one(self, ada: App, email: str) -> None:
        page = join(ada, form={"ref": token(ada), "email": email, "consent": "yes"})
        assert 'id="no-email"' in page.html
        assert "<script" not in page.html

    def test_without_consent_nothing_is_remembered(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        page = join(ada, form={"ref": token(ada), "email": "cleo@example.com"})
        assert re.findall('id="(no-[a-z]+)"', page.html) == ["no-consent"]
        assert 'value="cleo@example.com"' in page.html
        assert wire.writes() == 0

    def test_without_a_valid_token_it_leads_on_and_remembers_nothing(self, ada: App, wire: Wire) -> None:
        wire.requests.clear()
        stale, gone = token(ada, at=NOW - timedelta(days=91)), token(ada, "m" + "d" * 20)
        for one in ["", "x", token(ada)[:-2], stale, gone, ada.signer.sign("bonus", ADA, "c", stamp(NOW))]:
            for page in (join(ada, query={"ref": one}), join(ada, form=FILLED | {"ref": one})):
                assert (page.status, f'href="{INVITE}"' in page.html) == (200, True)
                assert "<form" not in page.html
        assert wire.writes() == 0

    def test_a_community_with_its_own_page_has_none_of_ours(self, ada: App) -> None:
        with_join_page(ada)
        for page in (join(ada, query={"ref": token(ada)}), join(ada, form=FILLED | {"ref": token(ada)})):
            assert page.status == 404
        assert ada.store.invited("cleo@example.com") == []

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(form=st.binary(max_size=80), ref=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "HEAD"]))
    def test_whatever_is_sent_there_is_a_page(self, app: App, form: bytes, ref: str, method: str) -> None:
        visited = Visit(method=method, path="j", query={"ref": ref}, form=form, cookies=(ref, f"{COOKIE}={ref}"))
        assert visit(visited, app, NOW).status == 200


class TestThroughTheFunction:
    @pytest.fixture(autouse=True)
    def told(self, ada: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
        """The function wired to the App, and what it writes."""
        told = Told(capsys)
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Flywheel")
        _wire(links, ada, told, monkeypatch)
        return told

    def answered(self, app: App, headers: dict[str, str], **changes: Any) -> dict[str, Any]:
        path = f"r/{app.signer.code(ADA)}"
        answer: dict[str, Any] = links.handler(a_visit(path, headers=headers, **changes), Context())
        json.dumps(answer)
        return answer

    def test_a_cookie_is_set_once_and_comes_back(self, ada: App) -> None:
        first = self.answered(ada, {"user-agent": FIREFOX})
        assert (first["statusCode"], first["body"], len(first["cookies"])) == (302, "", 1)
        cookie = first["cookies"][0].partition(";")[0]
        again = self.answered(ada, {"user-agent": FIREFOX}, cookies=["a=b", cookie])
        as_header = self.answered(ada, {"cookie": f"a=b; {cookie}"})
        assert first["headers"]["location"] == again["headers"]["location"] == as_header["headers"]["location"]
        assert again["cookies"] == as_header["cookies"] == []

    def test_the_function_knows_a_preview_by_its_user_agent(self, ada: App) -> None:
        answer = self.answered(ada, {"user-agent": "TelegramBot (like TwitterBot)"})
        assert (answer["headers"]["location"], answer["cookies"]) == ("/l/j", [])

    def test_a_forged_host_leads_nowhere_else(self, ada: App) -> None:
        forged = {"host": "evil.example", "x-forwarded-host": "evil.example", "origin": "https://evil.example"}
        assert "evil" not in str(self.answered(ada, forged))

    def test_neither_visitor_nor_token_is_written_down(self, ada: App, told: Told) -> None:
        answer = self.answered(ada, {"user-agent": FIREFOX, "x-forwarded-for": "192.0.2.1"})
        text = told.text()
        secrets = ["192.0.2.1", "Firefox", parse_qs(urlsplit(answer["headers"]["location"]).query)["ref"][0]]
        assert [secret for secret in secrets if secret in text] == []
