"""What an event of SES says, whatever stands in it; and which opens and clicks were no person's."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import feedback
from shared.feedback import Feedback
from shared.machines import AT_ONCE, PREFETCHERS, SCANNERS, clicks_by_people, kind_of_click, kind_of_open
from tests.builders import at
from tests.ses_events import FOLDER, KINDS, NOT_OURS, OF_OTHERS, SENT_AT, WELCOME, event, told


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a JSON value."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inside:
        yield from places(below, (*path, key))


class TestReading:
    def test_every_golden_event_is_either_ours_or_not(self) -> None:
        assert {path.stem for path in FOLDER.glob("*.json")} == {*KINDS, *NOT_OURS, *OF_OTHERS}

    @pytest.mark.parametrize("name", list(KINDS))
    def test_each_event_is_of_its_kind_and_its_mail(self, name: str) -> None:
        assert (told(name).kind, told(name).send_id) == (KINDS[name], WELCOME)

    @pytest.mark.parametrize(
        ("name", "moment"),
        [
            ("delivery", "2030-01-01T12:00:02.500Z"),
            ("bounce_permanent", "2030-01-01T12:00:03.100Z"),
            ("delivery_delay", "2030-01-01T12:10:00Z"),
            ("send", "2030-01-01T12:00:01.250Z"),  # these three have no time of their own: the mail's
            ("reject", "2030-01-01T12:00:01.250Z"),
            ("rendering_failure", "2030-01-01T12:00:01.250Z"),
        ],
    )
    def test_an_event_s_time_is_its_own_or_the_mail_s(self, name: str, moment: str) -> None:
        assert told(name).at == at(moment)

    @pytest.mark.parametrize("name", list(KINDS))
    def test_every_event_tells_when_the_mail_was_sent(self, name: str) -> None:
        assert told(name).sent_at == SENT_AT

    @pytest.mark.parametrize(
        "recipient",
        [
            "ada@example.com",
            "Ada <ada@example.com>",
            '"Lovelace, Ada" <ada@example.com>',
            "=?UTF-8?Q?=D0=90=D0=B4=D0=B0?= <Ada@Example.com>",
            "<ada@example.com>",
        ],
    )
    def test_a_recipient_s_name_is_not_part_of_the_address(self, recipient: str) -> None:
        named = event("delivery")
        named["detail"]["mail"]["destination"] = [recipient]
        assert feedback.read(named) == [told("delivery")]

    @pytest.mark.parametrize("recipient", ["", "(" * 5000, "Ada", 7, ["Ada <ada@example.com>"]])
    def test_a_strange_recipient_breaks_nothing(self, recipient: Any) -> None:
        strange = event("delivery")
        strange["detail"]["mail"]["destination"] = [recipient]
        assert all(one.address != told("delivery").address for one in feedback.read(strange))

    @pytest.mark.parametrize("name", NOT_OURS)
    def test_what_is_not_ours_is_nothing(self, name: str) -> None:
        assert feedback.read(event(name)) == []

    def test_the_older_name_of_the_type_is_understood(self) -> None:
        older = event("bounce_permanent")
        older["detail"]["notificationType"] = older["detail"].pop("eventType")
        assert feedback.read(older) == [told("bounce_permanent")]

    def test_every_record_of_a_batch_is_read(self) -> None:
        batch = {"Records": event("sns_greeting")["Records"] + event("sns_delivery")["Records"] * 2}
        assert feedback.read(batch) == [told("delivery")] * 2

    @pytest.mark.parametrize(
        "tag", ["", "a-b-c", "a-b-c-d-e", "a--c-d", "a/b/c/d", "a-b-c-d\n", "ж-b-c-d", "a-b-c-\ud800", "a b-c-d-e"]
    )
    def test_a_tag_that_is_no_send_id_is_nothing(self, tag: str) -> None:
        strange = event("delivery")
        strange["detail"]["mail"]["tags"]["send"] = [tag]
        assert feedback.read(strange) == []

    @pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1999-12-31T23:59Z"])
    def test_a_moment_that_cannot_be_is_nothing(self, moment: str) -> None:
        strange = event("delivery")
        strange["detail"]["delivery"]["timestamp"] = moment
        assert feedback.read(strange) == []

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        ),
        st.data(),
    )
    def test_whatever_is_put_in_a_place_of_an_event_nothing_breaks(self, junk: object, data: st.DataObject) -> None:
        whole = event(data.draw(st.sampled_from([*KINDS, *NOT_OURS])))
        for _ in range(data.draw(st.integers(1, 3))):
            *above, last = data.draw(st.sampled_from(list(places(whole)) or [()]))
            place: Any = whole
            for step in above:
                place = place[step]
            place[last] = deepcopy(junk)
        assert all(isinstance(one, Feedback) for one in feedback.read(whole))

    @pytest.mark.parametrize(
        "junk", [None, "x", 1, [], [1], {}, {"Records": [None, {}, {"Sns": 1}, "x"]}, {"detail": []}]
    )
    def test_what_is_no_event_at_all_is_nothing(self, junk: Any) -> None:
        assert feedback.read(junk) == []


class TestMachines:
    APPLE = "Mozilla/5.0"
    GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
    READER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    DELIVERED = {"delivery": "2030-01-01T12:00:00.000000Z"}

    @pytest.mark.parametrize(
        ("opened", "kind"),
        [
            ({"isBotEvent": "Likely", "userAgent": READER}, "open_by_machine"),
            ({"isBotEvent": "Unlikely", "userAgent": GMAIL}, "open"),
            ({"userAgent": GMAIL}, "open_by_machine"),
            ({"userAgent": APPLE}, "open_by_machine"),
            ({"userAgent": None}, "open_by_machine"),
            ({"userAgent": READER}, "open"),
            ({"isBotEvent": {"no": "word"}, "userAgent": [READER]}, "open"),
        ],
    )
    def test_ses_s_own_word_on_an_open_goes_before_the_user_agent(self, opened: dict[str, Any], kind: str) -> None:
        assert kind_of_open(opened) == kind

    @pytest.mark.parametrize("sign", [*PREFETCHERS, *SCANNERS])
    def test_a_known_machine_is_known_in_any_letters(self, sign: str) -> None:
        assert kind_of_open({"userAgent": f"Mozilla/5.0 {sign.upper()} 1.0"}) == "open_by_machine"

    @pytest.mark.parametrize("sign", SCANNERS)
    def test_a_known_scanner_s_click_waits_for_the_delivery(self, sign: str) -> None:
        assert kind_of_click({"userAgent": f"{sign}1", "isBotEvent": "Unlikely"}) == "click_like_scanner"

    def test_a_click_through_a_picture_proxy_is_a_person_s(self) -> None:
        assert kind_of_click({"userAgent": self.GMAIL}) == "click"

    @pytest.mark.parametrize(("seconds", "people"), [(-1, 0), (0, 0), (10, 0), (10.001, 1), (3600, 1)])
    def test_what_looks_like_a_scanner_is_one_only_within_seconds(self, seconds: float, people: int) -> None:
        clicked = at("2030-01-01T12:00Z") + timedelta(seconds=seconds)
        noted = {"click_like_scanner": clicked.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **self.DELIVERED}
        assert len(clicks_by_people(noted)) == people
        assert timedelta(seconds=10) == AT_ONCE

    def test_a_suspicious_click_without_a_delivery_is_not_yet_a_person_s(self) -> None:
        assert clicks_by_people({"click_like_scanner": "2030-01-01T18:00:00.000000Z"}) == []

    def test_a_flagged_click_is_never_a_person_s(self) -> None:
        assert clicks_by_people({"click_by_scanner": "2030-01-01T18:00:00.000000Z", **self.DELIVERED}) == []

    def test_a_person_s_click_is_theirs_at_any_time(self) -> None:
        clicked = "2030-01-01T12:00:01.000000Z"
        assert clicks_by_people({"click": clicked, **self.DELIVERED}) == [at(clicked)]
