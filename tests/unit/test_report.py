"""What a report says of its facts: nothing that the figures do not hold, and nothing at all where there is no data."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from infra.sample_report import LAST, sample_facts
from shared.experiments import Lift, Returned
from shared.metrics import METRICS, Figure
from shared.report import Delivery, Needs, Report, ReportKind, StepResult
from tests.builders import at
from tests.unit.reports import FIRST_DAYS, PLAYBOOK, WHOLE, a_report, moved, row

every_locale = pytest.mark.parametrize("locale", ["en", "ru"])


def reasons(**pairs: tuple[Figure, Figure]) -> dict[str, str]:
    return {change.key: change.reason for change in a_report(**moved(**pairs)).changes}


class TestFigures:
    @every_locale
    def test_every_metric_has_a_row_or_is_part_of_the_score(self, locale: str) -> None:
        report = a_report(locale=locale)
        told = {one.key for group in report.groups for one in group.rows} | {one.key for one in report.health.parts}
        absent = {key for key in METRICS if key.startswith("ugc_") and not WHOLE.figures.get(key)}
        assert told | absent | {"health"} == set(METRICS)

    def test_a_row_holds_value_previous_change_and_goal(self) -> None:
        found = row(a_report(), "new_members")
        assert (found.value, found.previous, found.change, found.goal) == ("31", "24", "+7, +29%", "goal 25, reached")
        assert (found.trend, found.reached) == ("better", True)

    def test_less_is_better_of_what_should_be_small(self) -> None:
        report = a_report()
        assert (row(report, "churned").trend, row(report, "ttfr_median").trend) == ("worse", "better")
        assert row(report, "sentiments").trend == "even"

    @pytest.mark.parametrize(("value", "reached"), [(3600, True), (3601, False), (None, False)])
    def test_a_goal_for_what_should_be_small_is_a_limit(self, *, value: Figure, reached: bool) -> None:
        report = a_report(figures={"ttfr_median": value}, goals={"ttfr_median": 3600})
        assert row(report, "ttfr_median").reached is reached

    def test_revenue_in_two_currencies_is_neither_better_nor_worse(self) -> None:
        one, other = {"EUR": 100, "USD": 1}, {"EUR": 50}
        assert row(a_report(**moved(influenced_revenue=(one, other))), "influenced_revenue").trend == "even"

    def test_what_was_restated_is_marked_and_explained(self) -> None:
        report = a_report(restated=frozenset({"comments"}))
        assert [one.key for group in report.groups for one in group.rows if one.restated] == ["comments"]
        assert report.restated.startswith("↻")
        assert a_report(restated=frozenset()).restated == ""

    def test_formats_without_any_content_are_left_out(self) -> None:
        report = a_report(**moved(ugc=(2, 2), ugc_template=(2, 0), ugc_case_study=(0, 2), ugc_resource=(0, 0)))
        formats = {one.key for group in report.groups for one in group.rows if one.key.startswith("ugc_")}
        assert formats == {"ugc_template", "ugc_case_study"}

    @every_locale
    def test_without_any_data_nothing_is_nought(self, locale: str) -> None:
        report = a_report(locale=locale, figures=dict.fromkeys(METRICS), previous={}, goals={})
        told = [one.value for group in report.groups for one in group.rows]
        told += [
            report.health.value,
            *(one.value for one in report.health.parts),
            *(one.value for one in report.stages),
        ]
        assert set(told) == {"no data" if locale == "en" else "нет данных"}
        assert report.health.bar is None
        assert "0" not in report.preheader


class TestHealth:
    def test_the_part_that_moved_the_score_is_named(self) -> None:
        score = moved(health=(50, 46), health_engagement=(40, 30), health_growth=(1, 1), health_sentiment=(80, 80))
        assert a_report(**score).health.sentence == ("The score moved by +4. Engagement moved it most: +4.")

    def test_a_part_that_pulled_the_other_way_is_named(self) -> None:
        score = moved(health=(47, 46), health_engagement=(40, 30), health_growth=(1, 1), health_sentiment=(70, 80))
        assert a_report(**score).health.sentence == (
            "The score moved by +1. Sentiment pulled the other way by −3, but Engagement weighed more: +4."
        )

    def test_no_reason_is_given_when_other_parts_had_data(self) -> None:
        score = moved(health=(47, 60), health_engagement=(40, 30), health_growth=(1, 1), health_sentiment=(70, None))
        assert "not the same parts had data" in a_report(**score).health.sentence

    def test_weights_count_as_much_as_there_is_data(self) -> None:
        score = moved(health=(47, 40), health_engagement=(47, 40))
        assert "Engagement moved it most: +7." in a_report(**score).health.sentence

    @pytest.mark.parametrize(("score", "bar"), [(-5, 0), (38.9, 39), (120, 100), (None, None)])
    def test_a_bar_is_never_fuller_than_full(self, score: Figure, bar: int | None) -> None:
        assert a_report(figures={"health": score}).health.bar == bar


class TestWhatChanged:
    def test_fewer_posts_by_as_many_people_are_told_so(self) -> None:
        assert reasons(posts=(176, 280), active=(50, 51))["posts"] == (
            "About as many people were active (50, before 51); what changed is how much each wrote: 3.52 on average, "
            "before 5.49."
        )

    def test_fewer_posts_by_fewer_people_are_told_so(self) -> None:
        assert reasons(posts=(60, 120), active=(25, 50))["posts"] == (
            "50 people were active before and 25 now; each wrote about as much as before."
        )

    def test_both_are_told_when_both_changed(self) -> None:
        assert reasons(posts=(40, 120), active=(25, 50))["posts"] == (
            "Active people: 25, before 50. Written by each on average: 1.6, before 2.4."
        )

    def test_nothing_is_said_of_what_is_not_known(self) -> None:
        assert reasons(posts=(40, 120)) == {"posts": ""}
        assert reasons(posts=(40, 120), active=(0, 0))["posts"] == ""

    def test_churn_is_told_by_its_two_ways(self) -> None:
        assert reasons(churned=(40, 10), lapsed=(33, 6), members_left=(7, 5))["churned"] == (
            "Fell silent: 33, before 6. Left or were removed: 7, before 5."
        )

    def test_who_stayed_and_who_is_new_add_up(self) -> None:
        assert reasons(active=(150, 100), retention=(0.8, 0.7))["active"] == (
            "Of the 100 people active before, 80 were active again; 70 were new, or had not been active in the period "
            "before."
        )

    def test_a_share_is_told_with_the_numbers_behind_it(self) -> None:
        assert reasons(response_rate=(0.5, 0.9), threads=(100, 110))["response_rate"] == (
            "Of 100 threads 50 were answered; before, 99 of 110."
        )

    @pytest.mark.parametrize(
        "pairs",
        [
            {"new_members": (3, 1)},
            {"posts": (104, 100)},
            {"response_rate": (1.0, 0.5), "threads": (2, 2)},
            {"nps": (40.0, 30.0), "nps_answers": (12, 12)},
            {"ttfr_median": (3600, 7200), "response_rate": (1.0, 1.0), "threads": (3, 3)},
        ],
    )
    def test_small_figures_that_wobble_are_no_change(self, pairs: dict[str, Any]) -> None:
        report = a_report(**moved(**pairs))
        assert report.changes == ()
        assert report.unchanged.startswith("Nothing moved further")

    def test_the_furthest_stand_first_and_three_are_enough(self) -> None:
        report = a_report(**moved(posts=(10, 300), comments=(900, 100), new_members=(1, 30), win_backs=(90, 20)))
        assert [change.key for change in report.changes] == ["comments", "posts", "win_backs"]
        assert report.changes[0].headline == "Comments: 900, was 100"

    def test_the_preheader_holds_the_score_and_the_first_change(self) -> None:
        assert a_report().preheader == (
            "Health score 38.9 (+0.3). Time to first response: 2\u00a0h 18\u00a0min, was 4\u00a0h 25\u00a0min."
        )

    def test_the_stage_that_moved_most_is_the_only_one(self) -> None:
        report = a_report()
        assert [one.key for one in report.stages if one.moved_most] == ["trust"]
        assert [one.key for one in report.stages] == ["content", "engagement", "trust", "advocacy", "growth"]
        assert report.moved_most == "Trust moved the most."
        assert a_report(**moved(posts=(5, 5))).moved_most == "No stage moved."

    def test_answers_that_may_still_come_are_told(self) -> None:
        assert "may still be answered" in a_report(young=True).too_little_history
        assert a_report().too_little_history == ""


class TestTooLittleHistory:
    def test_a_first_week_says_since_when_and_compares_nothing(self) -> None:
        report = a_report(FIRST_DAYS)
        assert "began on 1 October, within this period: it covers 4 days" in report.too_little_history
        assert "so far there are only 4 days" in report.too_little_history
        assert {one.change for group in report.groups for one in group.rows} == {""}
        assert report.unchanged == "There is nothing to compare with yet."

    def test_a_week_before_that_is_only_half_there_is_not_compared_with(self) -> None:
        report = a_report(first_day=LAST - timedelta(days=9))
        assert "week before was not measured in full" in report.too_little_history
        assert (row(report, "posts").previous, row(report, "posts").change) == ("", "")
        assert report.changes == ()

    @pytest.mark.parametrize(
        ("days", "said"), [(14, "MAU looks back 30 days"), (31, "NPS looks back 90 days"), (90, "")]
    )
    def test_windows_that_are_not_full_yet_are_named(self, days: int, said: str) -> None:
        told = a_report(first_day=LAST - timedelta(days=days - 1)).too_little_history
        assert told.startswith(said)
        assert bool(told) == bool(said)

    @pytest.mark.parametrize("first_day", [None, LAST + timedelta(days=1)])
    def test_before_anything_was_measured_it_says_so(self, first_day: date | None) -> None:
        told = a_report(first_day=first_day, figures=dict.fromkeys(METRICS), previous={}).too_little_history
        assert told.startswith("Nothing has been measured yet")

    def test_days_that_are_not_computed_are_named(self) -> None:
        report = a_report(missing=(date(2026, 10, 3), date(2026, 10, 4)))
        assert report.incomplete.endswith("3 October, 4 October.")
        assert a_report().incomplete == ""


class TestPeriods:
    @pytest.mark.parametrize(
        ("kind", "locale", "period", "subject"),
        [
            ("daily", "en", "Sunday, 4 October 2026", "Daily report, 4 October: health score 38.9"),
            ("weekly", "en", "Week 40, 28 September to 4 October 2026", "Weekly report, week 40: health score 38.9"),
            ("monthly", "en", "October 2026", "Monthly report, October 2026: health score 38.9"),
            ("daily", "ru", "воскресенье, 4 октября 2026 года", "Отчёт за 4 октября: индекс здоровья 38,9"),
            (
                *("weekly", "ru"),
                *("40-я неделя, 28 сентября\u00a0— 4 октября 2026 года", "Отчёт за 40-ю неделю: индекс здоровья 38,9"),
            ),
            ("monthly", "ru", "октябрь 2026 года", "Отчёт за октябрь 2026 года: индекс здоровья 38,9"),
        ],
    )
    def test_a_period_is_named_as_people_do(self, kind: ReportKind, locale: str, period: str, subject: str) -> None:
        report = a_report(sample_facts(PLAYBOOK, kind), locale)
        assert (report.period, report.subject) == (period, subject)

    def test_a_report_says_as_of_when_it_is(self) -> None:
        assert a_report().as_of == "As known on 5 October, 08:00, Berlin time (UTC+2)."

    def test_a_report_survives_being_kept(self) -> None:
        report = a_report(locale="ru")
        assert Report.model_validate_json(report.model_dump_json()) == report


class TestProgrammes:
    def test_onboarding_is_told_step_by_step(self) -> None:
        step = StepResult(key="check_in", day=3, due=9, sent=5, skipped=2, waiting=1, unsure=1)
        (line,) = a_report(steps=(step,)).programmes[0].lines
        assert (line.name, line.value) == ("Day 3: Check-in", "5 of 9 sent")
        assert line.note == "skipped 2, waiting 1, in doubt 1"

    def test_a_step_of_ones_own_is_called_by_its_key(self) -> None:
        (line,) = a_report(steps=(StepResult(key="bring_a_friend", day=9, due=1, sent=1),)).programmes[0].lines
        assert line.name == "Day 9: Bring a friend"

    def test_lift_comes_with_its_interval_and_whether_it_may_be_chance(self) -> None:
        lift = Lift(treated=Returned(46, 312), held_out=Returned(2, 35), variants={}, open=18, unsent={})
        block = a_report(lift=lift, lift_days=90).programmes[1]
        assert (block.lines[2].value, block.lines[2].note) == (
            "+9\u00a0pp",
            "With 95% confidence between −4.3\u00a0pp and +15\u00a0pp, so this may be chance.",
        )
        assert block.note == "Attempts of the last 90 days."

    def test_lift_of_a_few_has_no_effect_yet(self) -> None:
        lift = Lift(treated=Returned(4, 12), held_out=Returned(0, 2), variants={}, open=0, unsent={})
        block = a_report(lift=lift).programmes[1]
        assert [line.value for line in block.lines] == ["33.3%", "0%"]
        assert block.note.startswith("Too few members yet")

    def test_lift_that_was_not_asked_for_is_not_told(self) -> None:
        assert [block.key for block in a_report(lift=None).programmes] == ["onboarding", "referrals"]

    def test_mail_is_told_with_its_shares(self) -> None:
        block = a_report(delivery=Delivery(sent=400, bounced=6, complained=1, suppressed=4)).deliverability
        told = [(line.value, line.note) for line in block.lines]
        assert told == [("400", ""), ("6", "1.5%"), ("1", "0.25%"), ("4", "")]

    def test_without_mail_there_are_no_shares(self) -> None:
        block = a_report(delivery=Delivery()).deliverability
        assert (block.lines, block.note) == ((), "No mail was sent in this period.")

    def test_a_pause_stands_above_all_that_needs_somebody(self) -> None:
        block = a_report(needs=Needs(reviews=2, in_doubt=1, paused_since=at("2026-10-03T22:30Z"))).needs
        assert [(line.name, line.value) for line in block.lines] == [
            ("Marketing mail is paused", "since 4 October"),
            ("Referrals to review", "2"),
            ("Mails in doubt", "1"),
        ]

    def test_when_nothing_needs_anybody_it_says_so(self) -> None:
        block = a_report(needs=Needs()).needs
        assert (block.lines, block.note) == ((), "Nothing waits for you.")

    def test_what_comes_next_is_told_in_the_communitys_zone(self) -> None:
        block = a_report(planned={"onboarding": 3, "referrals": 0}, event_at=at("2026-10-08T16:00Z")).planned
        assert [(line.name, line.value) for line in block.lines] == [
            ("Onboarding steps", "3"),
            ("Next event", "8 October, 18:00"),
        ]
        assert a_report(planned={}, event_at=None).planned.note == "Nothing is due."


class TestCharts:
    def test_every_chart_tells_in_words_what_it_shows(self) -> None:
        charts = {chart.name: chart for chart in a_report().charts}
        assert list(charts) == ["active", "turnover", "cohorts", "onboarding", "response"]
        assert charts["active"].alt.endswith("DAU: 112 at first, 69 at the end, at most 113.")
        assert charts["turnover"].alt == (
            "Two bars for each of 13 weeks. New in all: 318; churned: 169. Last week: 31 new, 17 churned."
        )

    @every_locale
    def test_series_labels_and_tables_belong_together(self, locale: str) -> None:
        for chart in a_report(locale=locale).charts:
            assert {len(one.values) for one in chart.series} == {len(chart.labels)}
            assert {len(cells) for cells in chart.rows} == {len(chart.columns)}
            assert 0 < len(chart.rows) <= 7
            assert chart.rows[-1][0] == chart.labels[-1]

    def test_a_day_that_is_not_known_is_a_gap(self) -> None:
        history = ((LAST - timedelta(days=2), {"mau": 5, "dau": 3}), (LAST, {"mau": 6, "dau": None}))
        chart = a_report(history=history).charts[0]
        assert chart.labels == ("2 Oct", "3 Oct", "4 Oct")
        assert [one.values for one in chart.series] == [(5, None, 6), (3, None, None)]
        assert chart.rows[1] == ("3 Oct", "no data", "no data")

    def test_no_more_than_ninety_days_are_drawn(self) -> None:
        history = tuple((LAST - timedelta(days=back), {"mau": 9, "dau": 1}) for back in range(120, -1, -1))
        assert len(a_report(history=history).charts[0].labels) == 90

    def test_what_cannot_be_drawn_says_so(self) -> None:
        charts = a_report(FIRST_DAYS).charts
        assert [chart.name for chart in charts if not chart.is_empty] == ["active"]
        assert {chart.alt for chart in charts if chart.is_empty} == {"There is nothing to draw yet."}
        assert not any(chart.labels or chart.rows for chart in charts if chart.is_empty)

    def test_a_day_that_is_still_to_come_is_no_nought(self) -> None:
        cohorts = next(chart for chart in a_report().charts if chart.name == "cohorts")
        assert cohorts.rows[-1] == ("28 Sep", "31", "–", "–", "–")
        assert [one.values[-1] for one in cohorts.series] == [None, None, None]
