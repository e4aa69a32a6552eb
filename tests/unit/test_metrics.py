"""Every figure: what it is where there is nothing to measure, at its edges, and in examples checked by hand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pyroaring import BitMap

from shared.measured import Counts, Figure, Known, Period, PeriodKind, added, total
from shared.metrics import FORMATS, METRICS, figures, reach
from shared.playbook import Playbook, check
from tests.builders import a_playbook, raw_playbook

MONDAY = date(2030, 1, 7)
WEEK = Period.of("week", MONDAY)
PLAYBOOK = a_playbook()


def day(after: int) -> date:
    """So many days after the Monday of the week."""
    return MONDAY + timedelta(days=after)


def bits(**kinds: range | tuple[int, ...]) -> dict[str, BitMap]:
    return {kind: BitMap(who) for kind, who in kinds.items()}


def a_week(before: Any = None, **kinds: range | tuple[int, ...]) -> Known:
    """A week of which each day looks the same; `before` are the bitmaps of the day before it."""
    days = {one: bits(**kinds) for one in WEEK.days} | ({day(-1): bits(**before)} if before is not None else {})
    return Known(activity=days, counts=dict.fromkeys(WEEK.days, Counts()))


def counted(**counts: Any) -> Known:
    """A week of whose Tuesday this is counted, with ten members."""
    days = dict.fromkeys(WEEK.days, Counts()) | {day(1): Counts(**counts)}
    return Known(counts=days, activity=dict.fromkeys(WEEK.days, bits(members=range(10))))


def figure(key: str, known: Known, period: Period = WEEK, playbook: Playbook = PLAYBOOK) -> Figure:
    return figures(period, known, playbook)[key]


class TestPeriods:
    @pytest.mark.parametrize(
        ("kind", "on", "first", "last", "name"),
        [
            ("day", "2030-01-07", "2030-01-07", "2030-01-07", "2030-01-07"),
            ("week", "2030-01-07", "2030-01-07", "2030-01-13", "2030-W02"),
            ("week", "2029-12-31", "2029-12-31", "2030-01-06", "2030-W01"),
            ("week", "2027-01-03", "2026-12-28", "2027-01-03", "2026-W53"),
            ("month", "2028-02-29", "2028-02-01", "2028-02-29", "2028-02"),
            ("month", "2030-12-31", "2030-12-01", "2030-12-31", "2030-12"),
        ],
    )
    def test_a_period_is_that_of_the_calendar(
        self, kind: PeriodKind, on: str, first: str, last: str, name: str
    ) -> None:
        period = Period.of(kind, date.fromisoformat(on))
        assert (period.first.isoformat(), period.last.isoformat(), str(period)) == (first, last, name)
        assert (period.days[0], period.days[-1], len(period.days)) == (
            period.first,
            period.last,
            (period.last - period.first).days + 1,
        )

    @pytest.mark.parametrize("kind", ["day", "week", "month"])
    def test_the_previous_one_ends_the_day_before(self, kind: PeriodKind) -> None:
        period = Period.of(kind, date(2030, 3, 31))
        assert period.previous.last == period.first - timedelta(days=1)
        assert period.previous.kind == kind

    @pytest.mark.parametrize(("kind", "days"), [("day", 90), ("week", 90), ("month", 90)])
    def test_figures_reach_back_as_far_as_their_longest_window(self, kind: PeriodKind, days: int) -> None:
        period = Period.of(kind, MONDAY)
        first, last = reach(period)
        assert (last, (last - first).days + 1) == (period.last, days)

    def test_nothing_before_the_reach_changes_a_figure(self) -> None:
        everybody = bits(**dict.fromkeys(("active", "members", "new", "gone", "lapsed", "returned"), range(9)))
        for period in (Period.of(kind, date(2030, 3, 31)) for kind in ("day", "week", "month")):
            first, last = reach(period)
            known = [first + timedelta(days=one) for one in range((last - first).days + 1)]
            longer = [first - timedelta(days=one) for one in range(40, 0, -1)] + known
            short, full = (
                Known(activity=dict.fromkeys(days, everybody), counts=dict.fromkeys(days, Counts(scores={9: 1})))
                for days in (known, longer)
            )
            assert figures(period, short, PLAYBOOK) == figures(period, full, PLAYBOOK)


class TestTable:
    def test_every_metric_has_its_unit_source_and_one_sentence(self) -> None:
        for key, metric in METRICS.items():
            assert metric.key == key
            assert metric.source
            assert metric.definition.endswith(".")
            assert ". " not in metric.definition

    def test_figures_come_in_the_order_of_the_table(self) -> None:
        assert list(figures(WEEK, Known(), PLAYBOOK)) == list(METRICS)

    def test_every_format_of_content_has_its_figure(self) -> None:
        assert [key for key in METRICS if key.startswith("ugc_")] == [f"ugc_{kind}" for kind in FORMATS]

    def test_money_is_told_by_currency_and_all_else_as_numbers(self) -> None:
        known = counted(influenced={"EUR": 5}, sourced={"EUR": 2}, solved=1)
        told = figures(WEEK, known, PLAYBOOK)
        assert {key for key, one in told.items() if isinstance(one, dict)} == {
            key for key, metric in METRICS.items() if metric.unit == "money"
        }


class TestNoData:
    def test_a_period_of_which_nothing_is_known_has_no_figure(self) -> None:
        assert set(figures(WEEK, Known(), PLAYBOOK).values()) == {None}

    def test_days_on_either_side_make_no_figure_of_it(self) -> None:
        around = [day(-1), day(7)]
        counts = dict.fromkeys(around, Counts(posts=1, scores={9: 1}))
        known = Known(activity=dict.fromkeys(around, bits(active=(1,), members=(1,))), counts=counts)
        assert set(figures(WEEK, known, PLAYBOOK).values()) == {None}

    def test_a_quiet_week_counts_nothing_and_has_no_rates(self) -> None:
        known = Known(activity=dict.fromkeys(WEEK.days, bits()), counts=dict.fromkeys(WEEK.days, Counts()))
        told = figures(WEEK, known, PLAYBOOK)
        units = {key: METRICS[key].unit for key in told}
        assert {key for key, one in told.items() if one is None} == {
            *(key for key, unit in units.items() if unit in ("share", "seconds", "points")),
            "posts_per_member",
        }
        assert all(told[key] in (0, {}, {"EUR": 0}) for key in told if told[key] is not None)

    def test_no_members_at_the_start_give_no_rate_of_growth_or_churn(self) -> None:
        known = a_week(before={}, new=(1,), gone=(2,), members=(1,))
        assert (figure("growth_rate", known), figure("churn_rate", known)) == (None, None)

    def test_the_first_week_ever_has_no_start_to_grow_from(self) -> None:
        assert figure("growth_rate", a_week(new=(1,), members=(1,))) is None


class TestGrowth:
    def test_rates_are_over_the_members_at_the_start(self) -> None:
        known = a_week(before={"members": range(10)}, new=(11, 12), gone=(1,), lapsed=(2,), members=range(1, 12))
        assert (figure("growth_rate", known), figure("churn_rate", known)) == (0.2, 0.2)

    def test_who_lapsed_and_then_left_churned_once(self) -> None:
        known = Known(activity={day(1): bits(lapsed=(1, 2)), day(4): bits(gone=(1,))})
        told = figures(WEEK, known, PLAYBOOK)
        assert (told["lapsed"], told["members_left"], told["churned"]) == (2, 1, 2)

    def test_who_is_new_on_two_days_is_one_person(self) -> None:
        assert figure("new_members", a_week(new=(1,))) == 1

    def test_members_are_those_of_the_last_day_that_is_known(self) -> None:
        known = Known(activity={day(0): bits(members=range(3)), day(2): bits(members=range(5))})
        assert figure("members", known) == 5


class TestEngagement:
    def test_dau_is_the_mean_over_the_days_that_are_known(self) -> None:
        known = Known(activity={day(0): bits(active=range(4)), day(1): bits(active=range(1))})
        assert figure("dau", known) == 2.5

    @pytest.mark.parametrize(("key", "length"), [("wau", 7), ("mau", 30)])
    def test_a_window_ends_with_the_period_and_is_just_so_long(self, key: str, length: int) -> None:
        ends = {WEEK.last: bits(), WEEK.last - timedelta(days=length - 1): bits(active=(1,))}
        beyond = {WEEK.last - timedelta(days=length): bits(active=(2,)), day(7): bits(active=(3,))}
        assert figure(key, Known(activity=ends | beyond)) == 1

    def test_a_window_of_a_week_that_is_not_over_ends_today(self) -> None:
        today = day(2)
        known = Known(activity={today: bits(active=(1,)), today - timedelta(days=6): bits(active=(2,))})
        assert figure("wau", known) == 2

    def test_stickiness_is_mean_dau_over_mau(self) -> None:
        known = Known(activity={day(0): bits(active=range(2)), day(1): bits(active=range(4))})
        assert figure("stickiness", known) == 0.75

    def test_retention_compares_with_the_whole_period_before(self) -> None:
        known = Known(
            activity={day(-7): bits(active=(1, 2)), day(-1): bits(active=(3, 4)), day(6): bits(active=(1, 9))}
        )
        assert figure("retention", known) == 0.25

    def test_a_month_is_compared_with_all_days_of_the_month_before(self) -> None:
        known = Known(activity={date(2030, 1, 1): bits(active=(1,)), date(2030, 2, 28): bits(active=(1,))})
        assert figure("retention", known, Period.of("month", date(2030, 2, 1))) == 1

    def test_retention_without_anybody_before_is_unknown(self) -> None:
        assert figure("retention", a_week(active=(1,))) is None

    @pytest.mark.parametrize("after", [1, 7, 30])
    def test_a_cohort_is_asked_on_exactly_that_day(self, after: int) -> None:
        came = day(3) - timedelta(days=after)
        known = Known(activity={came: bits(new=range(4)), day(3): bits(active=(0,)), day(5): bits(active=(1, 2))})
        assert figure(f"cohort_d{after}", known) == 0.25

    def test_a_cohort_whose_day_is_yet_to_come_does_not_count(self) -> None:
        known = Known(activity={day(0): bits(new=(1,)), day(1): bits(new=(2, 3), active=(1,))})
        assert figure("cohort_d1", known) == 1.0

    def test_rates_by_member_may_exceed_one(self) -> None:
        known = counted(posts=5, comments=20)
        assert (figure("engagement_rate", known), figure("posts_per_member", known)) == (2.5, 0.5)

    def test_response_rate_is_answered_over_opened(self) -> None:
        assert figure("response_rate", counted(threads=4, answered=3)) == 0.75

    @pytest.mark.parametrize(
        ("waits", "middle", "ninth"),
        [
            ([5], 5, 5),
            ([1, 2], 1.5, 2),
            ([1, 2, 3, 4, 5, 6], 3.5, 6),
            (list(range(1, 11)), 5.5, 9),
            (list(range(1, 12)), 6, 10),
            ([1] * 9 + [50], 1, 1),
        ],
        ids=str,
    )
    def test_waits_have_a_median_and_a_nearest_rank(self, waits: list[int], middle: float, ninth: float) -> None:
        known = Known(waits={day(1): waits[::2], day(4): waits[1::2]})
        assert (figure("ttfr_median", known), figure("ttfr_p90", known)) == (middle, ninth)


class TestQuality:
    @pytest.mark.parametrize(
        ("scores", "expected"),
        [({10: 1, 9: 1}, 100), ({6: 1, 0: 3}, -100), ({7: 2, 8: 2}, 0), ({9: 2, 7: 1, 6: 1}, 25)],
        ids=str,
    )
    def test_nps_is_promoters_minus_detractors_per_cent(self, scores: dict[int, int], expected: float) -> None:
        known = counted(scores=scores)
        assert (figure("nps", known), figure("nps_answers", known)) == (expected, sum(scores.values()))

    def test_nps_looks_back_ninety_days_and_no_further(self) -> None:
        counts = dict.fromkeys(WEEK.days, Counts())
        counts |= {
            WEEK.last - timedelta(days=89): Counts(scores={9: 1}),
            WEEK.last - timedelta(days=90): Counts(scores={0: 1}),
        }
        told = figures(WEEK, Known(counts=counts), PLAYBOOK)
        assert (told["nps"], told["nps_answers"]) == (100, 1)

    def test_sentiment_is_the_share_of_those_that_carry_one(self) -> None:
        known = counted(reactions=99, positive=3, neutral=2, negative=1)
        assert (figure("sentiment", known), figure("sentiments", known)) == (0.5, 6)

    def test_deflection_is_solved_over_solved_and_tickets(self) -> None:
        assert figure("support_deflection", counted(solved=3, tickets=1)) == 0.75


class TestImpact:
    def test_content_is_counted_whole_and_by_format(self) -> None:
        told = figures(WEEK, counted(ugc={"template": 2, "qa_thread": 1}), PLAYBOOK)
        assert (told["ugc"], told["ugc_template"], told["ugc_qa_thread"], told["ugc_resource"]) == (3, 2, 1, 0)

    def test_currencies_are_never_added_up(self) -> None:
        counts = {day(0): Counts(influenced={"EUR": 5, "USD": 1}), day(1): Counts(influenced={"EUR": 2})}
        assert figure("influenced_revenue", Known(counts=counts)) == {"EUR": 7, "USD": 1}

    def test_savings_are_deflected_questions_at_the_price_of_a_ticket(self) -> None:
        raw = raw_playbook()
        raw["metrics"]["cost_per_ticket"] = {"amount": "750", "currency": "USD"}
        playbook = check(raw, source="playbook")
        assert figure("cost_savings", counted(solved=4), playbook=playbook) == {"USD": 3000}


class TestHealth:
    def known(self, **counts: Any) -> Known:
        """Forty of a hundred active, five new, three lost."""
        kinds: dict[str, Any] = {
            "active": range(40),
            "members": range(100),
            "new": range(5),
            "gone": (200, 201),
            "lapsed": (202,),
        }
        days = {**dict.fromkeys(WEEK.days, bits()), WEEK.last: bits(**kinds)}
        return Known(activity=days, counts={WEEK.last: Counts(**counts)})

    def test_the_score_is_its_parts_by_weight(self) -> None:
        told = figures(WEEK, self.known(positive=3, negative=1), PLAYBOOK)
        assert (told["health_engagement"], told["health_growth"], told["health_sentiment"]) == (40, 2, 75)
        assert told["health"] == pytest.approx(0.4 * 40 + 0.3 * 2 + 0.3 * 75)

    def test_a_part_without_data_leaves_its_weight_to_the_others(self) -> None:
        told = figures(WEEK, self.known(), PLAYBOOK)
        assert told["health_sentiment"] is None
        assert told["health"] == pytest.approx((0.4 * 40 + 0.3 * 2) / 0.7)

    def test_without_members_sentiment_alone_tells(self) -> None:
        assert figure("health", Known(counts={day(0): Counts(positive=1, negative=3)})) == 25

    def test_parts_that_weigh_nothing_tell_nothing(self) -> None:
        raw = raw_playbook()
        raw["health_score"]["weights"] = {"engagement": "0", "growth": "0", "sentiment": "1"}
        assert figure("health", self.known(), playbook=check(raw, source="playbook")) is None

    def test_no_part_leaves_its_scale_when_nearly_everybody_has_gone(self) -> None:
        told = figures(WEEK, a_week(active=range(50), gone=range(1, 50), members=(0,)), PLAYBOOK)
        assert (told["health_engagement"], told["health_growth"]) == (100, -100)
        assert figure("health", a_week(gone=range(1, 50), members=(0,))) == 0


class TestSums:
    def test_days_add_up_key_by_key(self) -> None:
        one, other = Counts(posts=1, scores={9: 1}, influenced={"EUR": 2}), Counts(posts=2, scores={9: 1, 0: 1})
        assert total([one, other]) == Counts(posts=3, scores={0: 1, 9: 2}, influenced={"EUR": 2})

    def test_nothing_adds_up_to_nothing(self) -> None:
        no_parts: list[dict[str, int]] = []
        assert (total([]), added(no_parts)) == (Counts(), {})

    def test_a_sum_of_nothing_is_there_like_any_other(self) -> None:
        assert added([{"EUR": 0}]) == {"EUR": 0}
