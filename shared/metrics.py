"""What is measured of a community: the table of every figure, with its unit, its source and its definition.

Knows no store. How each is computed stands in `shared.formulas`, and what it is made of in `shared.measured`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from shared import formulas as by
from shared.events import ContentApproved
from shared.measured import Counts, Figure, Figures, Known, Period, PeriodKind, trailing

if TYPE_CHECKING:  # the playbook's goals are named by metric, so it imports this module
    from shared.playbook import Playbook

__all__ = ["METRICS", "Counts", "Figure", "Figures", "Known", "Metric", "Period", "PeriodKind", "figures", "reach"]

Unit = Literal["count", "share", "points", "seconds", "money"]
Group = Literal["growth", "engagement", "quality", "impact", "health"]
Better = Literal["up", "down", "neutral"]

COHORT_DAYS = (1, 7, 30)
"""So many days after joining it is asked who is active."""

FORMATS: tuple[str, ...] = get_args(ContentApproved.model_fields["format"].annotation)
"""The formats of user-generated content."""

Measure = Callable[[Period, Known, "Playbook"], Figure]


@dataclass(frozen=True)
class Metric:
    """A figure that is told of a period: what is better, what it is made of and how, and what it is in one sentence.

    A `share` of 0.25 is 25 per cent; a `count` may be a mean, so not whole; `money` is minor units by currency.
    """

    key: str
    unit: Unit
    group: Group
    better: Better
    source: str
    measure: Measure
    definition: str


def figures(period: Period, known: Known, playbook: Playbook) -> Figures:
    """Every figure of `METRICS` of a period, in its order; `reach` says of which days `known` must tell."""
    return {key: metric.measure(period, known, playbook) for key, metric in METRICS.items()}


def reach(period: Period) -> tuple[date, date]:
    """The first and the last local day that the figures of a period are made of."""
    cohorts = period.first - timedelta(days=max(COHORT_DAYS))
    return min(trailing(by.NPS_DAYS, period.last)[0], cohorts, period.previous.first), period.last


_TALK = "events: post.created, comment.created"
_FELT = f"{_TALK}, reaction.added"

_DEFINITIONS = {
    "members": "People who are members at the end of the period: they joined or took part, and have not left since.",
    "new_members": "People who joined in the period and were not members when they did.",
    "members_left": "Members whose last word on a day of the period was that they left or were removed or banned.",
    "lapsed": "Members who on a day of the period had been inactive for as long as the playbook calls inactive.",
    "churned": "People who left, were removed or crossed the inactivity threshold in the period, each once.",
    "churn_rate": "Churned members / members at the start of the period.",
    "growth_rate": "New members / members at the start of the period.",
    "win_backs": "Members who were active in the period after having crossed the inactivity threshold.",
    "referral_signups": "Referees attributed in the period.",
    "active": "People who did at least one of: post, comment, reaction, attended event, survey answer, solution.",
    "dau": "Active members a day, as the mean over the days of the period.",
    "wau": "Distinct active members of the 7 local days that end with the period.",
    "mau": "Distinct active members of the 30 local days that end with the period.",
    "stickiness": "Mean DAU of the period / MAU at its end.",
    "engagement_rate": "(Posts + comments) / members at the end of the period.",
    "retention": "People active in this period and the previous one / active in the previous one.",
    "cohort_d1": "Of everybody who joined 1 day before a day of the period, the share active on exactly that day.",
    "cohort_d7": "Of everybody who joined 7 days before a day of the period, the share active on exactly that day.",
    "cohort_d30": "Of everybody who joined 30 days before a day of the period, the share active on exactly that day.",
    "posts": "Threads and posts that people opened.",
    "comments": "Comments that people wrote.",
    "reactions": "Reactions that people gave.",
    "posts_per_member": "Posts / members at the end of the period.",
    "threads": "Threads that people opened in the period.",
    "response_rate": "The share of the threads of the period that a different human member answered within 7 days.",
    "ttfr_median": "The median time until a different human member answered, of threads answered within 7 days.",
    "ttfr_p90": "The time within which 9 of 10 threads that were answered within 7 days were answered.",
    "nps": "The percentage of answers of 9 and 10 minus that of 0 to 6, in the 90 local days that end with the period.",
    "nps_answers": "How many answers the NPS is made of.",
    "sentiment": "Positive interactions / all interactions that carry a sentiment.",
    "sentiments": "How many posts, comments and reactions carry a sentiment.",
    "deflected": "Questions solved by answers of members, each once a day.",
    "tickets": "Support tickets that people opened.",
    "support_deflection": "Questions solved by members / (those + tickets opened).",
    "ugc": "Approved user-generated items, of all formats.",
    "ugc_case_study": "Approved case studies.",
    "ugc_tutorial_video": "Approved tutorial videos.",
    "ugc_template": "Approved templates.",
    "ugc_resource": "Approved resources.",
    "ugc_qa_thread": "Approved question-and-answer threads.",
    "ugc_success_story": "Approved success stories.",
    "influenced_revenue": "Purchases, before refunds, by members active on one of the 90 local days before.",
    "sourced_revenue": "Purchases by members whom another member brought, before refunds.",
    "feedback_implemented": "Product feedback of members that was marked implemented.",
    "cost_savings": "Questions solved by members x the cost of a ticket in the playbook.",
    "health": "The parts of the score, weighed as the playbook says; a part without data is left out.",
    "health_engagement": "Active members / members x 100.",
    "health_growth": "(New members - churned members) / members x 100.",
    "health_sentiment": "Positive interactions / all interactions that carry a sentiment x 100.",
}


def _metric(key: str, unit: Unit, group: Group, better: Better, source: str, measure: Measure) -> Metric:
    return Metric(key, unit, group, better, source, measure, _DEFINITIONS[key])


_ALL = (
    _metric("members", "count", "growth", "up", "bitmaps: members", by.members),
    _metric("new_members", "count", "growth", "up", "bitmaps: new", by.new_members),
    _metric("members_left", "count", "growth", "down", "bitmaps: gone", by.members_left),
    _metric("lapsed", "count", "growth", "down", "bitmaps: lapsed", by.lapsed),
    _metric("churned", "count", "growth", "down", "bitmaps: gone, lapsed", by.churned),
    _metric("churn_rate", "share", "growth", "down", "bitmaps: gone, lapsed, members", by.churn_rate),
    _metric("growth_rate", "share", "growth", "up", "bitmaps: new, members", by.growth_rate),
    _metric("win_backs", "count", "growth", "up", "bitmaps: returned", by.win_backs),
    _metric("referral_signups", "count", "growth", "up", "referrals: attributed", partial(by.counted, name="signups")),
    _metric("active", "count", "engagement", "up", "bitmaps: active", by.active),
    _metric("dau", "count", "engagement", "up", "bitmaps: active", by.dau),
    _metric("wau", "count", "engagement", "up", "bitmaps: active", by.wau),
    _metric("mau", "count", "engagement", "up", "bitmaps: active", by.mau),
    _metric("stickiness", "share", "engagement", "up", "bitmaps: active", by.stickiness),
    _metric(
        "engagement_rate",
        "share",
        "engagement",
        "up",
        "events: posts, comments; bitmaps: members",
        partial(by.per_member, names=("posts", "comments")),
    ),
    _metric("retention", "share", "engagement", "up", "bitmaps: active", by.retention),
    _metric("cohort_d1", "share", "engagement", "up", "bitmaps: new, active", partial(by.cohort, after=1)),
    _metric("cohort_d7", "share", "engagement", "up", "bitmaps: new, active", partial(by.cohort, after=7)),
    _metric("cohort_d30", "share", "engagement", "up", "bitmaps: new, active", partial(by.cohort, after=30)),
    _metric("posts", "count", "engagement", "up", "events: post.created", partial(by.counted, name="posts")),
    _metric("comments", "count", "engagement", "up", "events: comment.created", partial(by.counted, name="comments")),
    _metric("reactions", "count", "engagement", "up", "events: reaction.added", partial(by.counted, name="reactions")),
    _metric(
        "posts_per_member",
        "share",
        "engagement",
        "up",
        "events: post.created; bitmaps: members",
        partial(by.per_member, names=("posts",)),
    ),
    _metric("threads", "count", "engagement", "up", "events: post.created", partial(by.counted, name="threads")),
    _metric("response_rate", "share", "engagement", "up", _TALK, by.response_rate),
    _metric("ttfr_median", "seconds", "engagement", "down", _TALK, by.ttfr_median),
    _metric("ttfr_p90", "seconds", "engagement", "down", _TALK, by.ttfr_p90),
    _metric("nps", "points", "quality", "up", "events: survey.answered", by.nps),
    _metric("nps_answers", "count", "quality", "neutral", "events: survey.answered", by.nps_answers),
    _metric("sentiment", "share", "quality", "up", _FELT, by.sentiment),
    _metric("sentiments", "count", "quality", "neutral", _FELT, by.sentiments),
    _metric("deflected", "count", "quality", "up", "events: answer.accepted", partial(by.counted, name="solved")),
    _metric("tickets", "count", "quality", "down", "events: ticket.opened", partial(by.counted, name="tickets")),
    _metric(
        "support_deflection", "share", "quality", "up", "events: answer.accepted, ticket.opened", by.support_deflection
    ),
    _metric("ugc", "count", "impact", "up", "events: content.approved", partial(by.ugc, formats=FORMATS)),
    _metric(
        "ugc_case_study", "count", "impact", "up", "events: content.approved", partial(by.ugc, formats=("case_study",))
    ),
    _metric(
        "ugc_tutorial_video",
        "count",
        "impact",
        "up",
        "events: content.approved",
        partial(by.ugc, formats=("tutorial_video",)),
    ),
    _metric(
        "ugc_template", "count", "impact", "up", "events: content.approved", partial(by.ugc, formats=("template",))
    ),
    _metric(
        "ugc_resource", "count", "impact", "up", "events: content.approved", partial(by.ugc, formats=("resource",))
    ),
    _metric(
        "ugc_qa_thread", "count", "impact", "up", "events: content.approved", partial(by.ugc, formats=("qa_thread",))
    ),
    _metric(
        "ugc_success_story",
        "count",
        "impact",
        "up",
        "events: content.approved",
        partial(by.ugc, formats=("success_story",)),
    ),
    _metric(
        "influenced_revenue",
        "money",
        "impact",
        "up",
        "events: purchase.made; bitmaps: active",
        partial(by.money, name="influenced"),
    ),
    _metric(
        "sourced_revenue",
        "money",
        "impact",
        "up",
        "events: purchase.made; referrals",
        partial(by.money, name="sourced"),
    ),
    _metric(
        "feedback_implemented",
        "count",
        "impact",
        "up",
        "events: feedback.implemented",
        partial(by.counted, name="implemented"),
    ),
    _metric("cost_savings", "money", "impact", "up", "events: answer.accepted; playbook", by.cost_savings),
    _metric("health", "points", "health", "up", "the three parts; playbook", by.health),
    _metric("health_engagement", "points", "health", "up", "bitmaps: active, members", by.health_engagement),
    _metric("health_growth", "points", "health", "up", "bitmaps: new, gone, lapsed, members", by.health_growth),
    _metric("health_sentiment", "points", "health", "up", _FELT, by.health_sentiment),
)

METRICS: Mapping[str, Metric] = {metric.key: metric for metric in _ALL}
"""Every figure of a period by its key, in the order in which they are told."""
