"""Every mistake one can make in a playbook, one a line: where, what is put there, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.mails import written
from shared.playbook import Playbook
from shared.playbook.measuring import AIMED_AT
from tests.builders import ROOT, raw_playbook

Path_ = Sequence[str | int]

WRITTEN = written(ROOT / "shared" / "mails")
REWARDS = ["referrals", "rewards"]
TWO_TEXTS = {"en": "x", "ru": "x"}
A_WHOLE_NUMBER = "metrics.cost_per_ticket.amount: must be a whole number; got "
AIMED_AT_ONES = "must be one of the metrics that may have a goal: " + ", ".join(AIMED_AT)
STEPS = ["onboarding", "steps"]
MAILS = "welcome, check_in, digest, survey, ambassador, miss_you, reward, trial, mail_paused, report"
MAIL_KEYS = "class, category, sender, recognises, highlights, bonus, variants, at_once"
CATEGORIES = "onboarding, events, reengagement, digest, news"
A_MOMENT = "must be a moment with its time zone, such as 2026-01-01T00:00:00Z"
WEEKDAYS = "'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday' or 'sunday'"
NO_RUSSIAN = "missing locale 'ru'; this playbook's locales are en, ru"
CONDITIONS = "'posted', 'commented', 'contributed' or 'answered_survey'"


def changed(path: Path_, value: object) -> dict[str, Any]:
    """The default playbook with one value put in the place of another."""
    raw = raw_playbook()
    place: Any = raw
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return raw


def without(path: Path_) -> dict[str, Any]:
    """The default playbook with one key left out."""
    raw = raw_playbook()
    place: Any = raw
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return raw


ONE_MISTAKE: list[tuple[Path_, object, str]] = [
    # unknown keys: what is allowed there
    (
        ["colour"],
        "red",
        "colour: unknown key; allowed here: " + ", ".join(Playbook.model_fields),
    ),
    (
        ["senders", "hello", "nme"],
        "x",
        "senders.hello.nme: unknown key; allowed here: name, address, reply_to, signature",
    ),
    (
        ["mails", "welcome", "form"],
        "x",
        "mails.welcome.form: unknown key; allowed here: " + MAIL_KEYS,
    ),
    (
        [*STEPS, 0, "when"],
        "x",
        "onboarding.steps[0].when: unknown key; allowed here: key, day, mail, send_at, unless, leave_out",
    ),
    (["content", "tips", 0, "en"], "", "content.tips[0].en: must not be empty; got ''"),
    (["content", "resources", 1, "by"], "x", "content.resources[1].by: unknown key; allowed here: title, url, note"),
    # steps
    (
        [*STEPS, 1, "key"],
        "welcome",
        "onboarding.steps[1].key: 'welcome' is already steps[0]; every step needs its own key",
    ),
    (
        [*STEPS, 1, "day"],
        "1",
        "onboarding.steps[1].day: must be later than the step before it (day 1); got 1",
    ),
    ([*STEPS, 4, "day"], "91", "onboarding.steps[4].day: must lie within open_for (90d); got 91"),
    ([*STEPS, 0, "day"], "0", "onboarding.steps[0].day: must be at least 1; got '0'"),
    ([*STEPS, 4, "day"], "366", "onboarding.steps[4].day: must be at most 365; got '366'"),
    ([*STEPS, 4, "day"], "soon", "onboarding.steps[4].day: must be a whole number; got 'soon'"),
    ([*STEPS, 0, "key"], "Wel-come", "onboarding.steps[0].key: must match ^[a-z][a-z0-9_]{0,39}$; got 'Wel-come'"),
    (STEPS, [], "onboarding.steps: must have at least 1"),
    (STEPS, "welcome", "onboarding.steps: must be a list; got 'welcome'"),
    # what is named must exist
    (
        [*STEPS, 1, "mail"],
        "nope",
        "onboarding.steps[1].mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    (
        ["mails", "farewell"],
        {"class": "marketing", "category": "onboarding", "sender": "hello"},
        "mails.farewell: unknown mail; the mails written in shared/mails are " + ", ".join(sorted(WRITTEN)),
    ),
    (
        ["mails", "welcome", "sender"],
        "nobody",
        "mails.welcome.sender: unknown sender 'nobody'; the senders are hello, flywheel",
    ),
    (["mails", "welcome", "class"], "spam", "mails.welcome.class: must be 'marketing' or 'service'; got 'spam'"),
    (
        [*STEPS, 3, "unless"],
        ["slept"],
        f"onboarding.steps[3].unless[0]: must be {CONDITIONS}; got 'slept'",
    ),
    (
        [*STEPS, 0, "leave_out"],
        {"tour": "slept"},
        f"onboarding.steps[0].leave_out.tour: must be {CONDITIONS}; got 'slept'",
    ),
    (["platforms", "myspace"], {}, "platforms.myspace: must be 'slack', 'discourse' or 'standard'; got 'myspace'"),
    (["platforms", "slack"], "", "platforms.slack: must be keys with values below it; got ''"),
    # languages
    (["community", "name"], {"en": "x"}, "community.name: missing locale 'ru'; this playbook's locales are en, ru"),
    (["community", "name", "de"], "x", "community.name.de: unknown locale; this playbook's locales are en, ru"),
    (["postal_address"], {"ru": "x"}, "postal_address: missing locale 'en'; this playbook's locales are en, ru"),
    (["locales"], ["en", "ru", "en"], "locales: must be named once each; 'en' stands twice"),
    (["locales", 0], "english", "locales[0]: must match ^[a-z]{2}$; got 'english'"),
    (["locales"], [], "locales: must have at least 1"),
    # numbers, zones, addresses, times
    (["health_score", "weights", "growth"], "0.4", "health_score.weights: the weights must sum to 1; these sum to 1.1"),
    (["health_score", "weights", "growth"], "-0.1", "health_score.weights.growth: must be at least 0; got '-0.1'"),
    (["health_score", "weights", "growth"], "nan", "health_score.weights.growth: must be at most 1; got 'nan'"),
    (
        ["community", "timezone"],
        "Mars/Olympus",
        "community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'",
    ),
    (
        ["community", "timezone"],
        "Europe",
        "community.timezone: must be an IANA time zone such as Europe/Berlin; got 'Europe'",
    ),
    (
        ["senders", "hello", "address"],
        "hello",
        "senders.hello.address: must be an e-mail address such as hello@example.com; got 'hello'",
    ),
    (
        ["senders", "hello", "reply_to"],
        "a@example.com\nBcc:",
        "senders.hello.reply_to: must be an e-mail address such as hello@example.com; got 'a@example.com\\nBcc:'",
    ),
    (
        ["community", "url"],
        "our forum",
        "community.url: must be a web address such as https://community.example.com/; got 'our forum'",
    ),
    (
        ["community", "url"],
        "javascript:alert(1)",
        "community.url: must be a web address such as https://community.example.com/; got 'javascript:alert(1)'",
    ),
    (
        ["onboarding", "start"],
        "2026-01-01",
        "onboarding.start: must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got '2026-01-01'",
    ),
    (
        ["onboarding", "start"],
        "2026",
        "onboarding.start: must be a moment with its time zone, such as 2026-01-01T00:00:00Z; got '2026'",
    ),
    *(
        (
            ["onboarding", "send_at"],
            wrong,
            f'onboarding.send_at: must be a time of day in quotes, such as "10:00"; got {wrong!r}',
        )
        for wrong in ("600", "25:00", "9:00", "1٠:00", "")
    ),
    *(
        (
            ["onboarding", "min_gap"],
            wrong,
            f"onboarding.min_gap: must be a whole number and a unit, such as 30m, 20h or 90d; got {wrong!r}",
        )
        for wrong in ("20", "20 h", "-1h", "1w", "٣h", "1.5h", "")
    ),
    (["content"], None, "content: must be keys with values below it; got None"),
    # managers and categories
    (["managers"], {}, "managers: must have at least 1"),
    (["managers", "mira", "locale"], "de", "managers.mira.locale: unknown locale 'de'; the locales are en, ru"),
    (
        ["managers", "mira", "address"],
        "mira",
        "managers.mira.address: must be an e-mail address such as hello@example.com; got 'mira'",
    ),
    (
        ["managers", "mira", "timezone"],
        "Mars/Olympus",
        "managers.mira.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'",
    ),
    (
        ["mails", "digest", "category"],
        "spam",
        "mails.digest.category: unknown category 'spam'; the categories are " + CATEGORIES,
    ),
    (
        ["categories", "news", "about"],
        {"en": "x"},
        "categories.news.about: missing locale 'ru'; this playbook's locales are en, ru",
    ),
    # how much mail, and when
    (
        ["limits", "quiet_hours", "until"],
        "21:00",
        "limits.quiet_hours: from and until must differ; leave quiet_hours out to have none",
    ),
    (
        ["limits", "quiet_hours", "from"],
        "late",
        "limits.quiet_hours.from: must be a time of day in quotes, such as \"10:00\"; got 'late'",
    ),
    (["limits", "a_day"], "0", "limits.a_day: must be at least 1; got '0'"),
    (["limits", "a_day"], "21", "limits.a_day: must be at most 20; got '21'"),
    (["limits", "a_week"], "101", "limits.a_week: must be at most 100; got '101'"),
    (
        ["limits", "excluded_weekdays"],
        ["someday"],
        f"limits.excluded_weekdays[0]: must be {WEEKDAYS}; got 'someday'",
    ),
    (
        ["limits", "excluded_weekdays"],
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
        "limits.excluded_weekdays: must have at most 6, not 7",
    ),
    # the breaker
    (["breaker", "bounces_percent"], "101", "breaker.bounces_percent: must be at most 100; got '101'"),
    (["breaker", "least_sends"], "0", "breaker.least_sends: must be at least 1; got '0'"),
    (
        ["categories", "all"],
        {"name": {"en": "All", "ru": "Все"}, "about": {"en": "All", "ru": "Все"}},
        "categories.all: must have another name: this one stands for all categories",
    ),
    (["breaker", "window"], "90m", "breaker.window: must be whole hours or days, at most 7d; got 90m"),
    (
        ["reengagement", "mail"],
        "mail_paused",
        "reengagement.mail: must be a marketing mail, which asks for consent; 'mail_paused' is service",
    ),
    (
        ["reengagement", "send_at"],
        "22:00",
        "reengagement.send_at: must lie outside quiet hours (21:00 to 08:00); got 22:00",
    ),
    (
        ["onboarding", "send_at"],
        "07:59",
        "onboarding.send_at: must lie outside quiet hours (21:00 to 08:00); got 07:59",
    ),
    (["breaker", "window"], "8d", "breaker.window: must be whole hours or days, at most 7d; got 8d"),
    (["breaker", "window"], "0h", "breaker.window: must be whole hours or days, at most 7d; got 0d"),
    (
        ["breaker", "mail"],
        "welcome",
        "breaker.mail: must be a service mail, for marketing mail is what pauses; 'welcome' is marketing",
    ),
    (
        ["breaker", "mail"],
        "nope",
        "breaker.mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    # re-engagement
    (
        ["reengagement", "mail"],
        "nope",
        "reengagement.mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    (["reengagement", "max_attempts"], "2", "reengagement.spacing: must have one duration an attempt (2); it has 3"),
    (["reengagement", "inactive_days"], "31", "reengagement.spacing[0]: must be inactive_days (31d); got 30d"),
    (
        ["reengagement", "spacing", 1],
        "13d",
        "reengagement.spacing[1]: must not be shorter than win_back_within (14d)",
    ),
    (["reengagement", "holdout_percent"], "51", "reengagement.holdout_percent: must be at most 50; got '51'"),
    # referrals
    (
        ["referrals", "mail"],
        "nope",
        "referrals.mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    (
        ["referrals", "referee_mail"],
        "nope",
        "referrals.referee_mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    (
        ["referrals", "mail"],
        "digest",
        "referrals.mail: must be a service mail, for nobody is to miss what they were given; 'digest' is marketing",
    ),
    (
        ["referrals", "referee_mail"],
        "digest",
        (
            "referrals.referee_mail: must be a service mail, for nobody is to miss what they were given; "
            "'digest' is marketing"
        ),
    ),
    (
        ["referrals", "referee_mail"],
        "reward",
        (
            "referrals.referee_mail: must be another mail than the referrer's, which tells of other things; "
            "both are 'reward'"
        ),
    ),
    (
        ["referrals", "invite_url"],
        "our page",
        "referrals.invite_url: must be a web address such as https://community.example.com/; got 'our page'",
    ),
    (
        ["referrals", "join_url"],
        "javascript:alert(1)",
        "referrals.join_url: must be a web address such as https://community.example.com/; got 'javascript:alert(1)'",
    ),
    (
        ["referrals", "campaign"],
        "Friends & Co",
        "referrals.campaign: must match ^[a-z][a-z0-9_]{0,39}$; got 'Friends & Co'",
    ),
    *(
        (
            ["referrals", name],
            "a while",
            f"referrals.{name}: must be a whole number and a unit, such as 30m, 20h or 90d; got 'a while'",
        )
        for name in ("first_touch_for", "settle_after", "hold")
    ),
    (
        ["referrals", "qualified_when"],
        "here",
        "referrals.qualified_when: must be 'joined', 'verified', 'active' or 'purchased'; got 'here'",
    ),
    (["referrals", "suspicion", "an_hour"], "0", "referrals.suspicion.an_hour: must be at least 1; got '0'"),
    (["referrals", "suspicion", "a_day"], "0", "referrals.suspicion.a_day: must be at least 1; got '0'"),
    (["referrals", "suspicion", "one_payer"], "1", "referrals.suspicion.one_payer: must be at least 2; got '1'"),
    (
        ["referrals", "suspicion", "a_week"],
        "9",
        "referrals.suspicion.a_week: unknown key; allowed here: an_hour, a_day, one_payer",
    ),
    (
        ["referrals", "webhook"],
        {"url": "ftp://shop.example.com"},
        (
            "referrals.webhook.url: must be a web address such as https://community.example.com/; "
            "got 'ftp://shop.example.com'"
        ),
    ),
    (
        ["referrals", "webhook"],
        {"url": "https://shop.example.com", "secret": "x"},
        "referrals.webhook.secret: unknown key; allowed here: url, allow_private",
    ),
    (REWARDS, [], "referrals.rewards: must have at least 1"),
    ([*REWARDS, 2, "key"], "badge", "referrals.rewards[2].key: 'badge' is already rewards[0]"),
    (
        [*REWARDS, 2],
        {"key": "second_badge", "at": "1", "gives": "badge", "title": TWO_TEXTS},
        "referrals.rewards[2].at: 1 already gives badge, in rewards[0]",
    ),
    (
        [*REWARDS, 0, "to"],
        "everybody",
        "referrals.rewards[0].to: must be 'referrer' or 'referee'; got 'everybody'",
    ),
    (
        [*REWARDS, 0, "gives"],
        "money",
        "referrals.rewards[0].gives: must be 'badge', 'premium_days', 'premium_lifetime' or 'level'; got 'money'",
    ),
    ([*REWARDS, 0, "at"], None, "referrals.rewards[0].at: is missing for a reward to the referrer"),
    ([*REWARDS, 0, "at"], "0", "referrals.rewards[0].at: must be at least 1; got '0'"),
    ([*REWARDS, 0, "at"], "100001", "referrals.rewards[0].at: must be at most 100000; got '100001'"),
    ([*REWARDS, 4, "at"], "5", "referrals.rewards[4].at: is for a reward to the referrer only"),
    ([*REWARDS, 4, "days"], None, "referrals.rewards[4].days: is missing for premium_days"),
    ([*REWARDS, 1, "days"], "0", "referrals.rewards[1].days: must be at least 1; got '0'"),
    ([*REWARDS, 1, "days"], "3651", "referrals.rewards[1].days: must be at most 3650; got '3651'"),
    ([*REWARDS, 0, "days"], "5", "referrals.rewards[0].days: is for premium_days only"),
    ([*REWARDS, 3, "level"], None, "referrals.rewards[3].level: is missing for level"),
    (
        [*REWARDS, 3, "level"],
        "hero",
        "referrals.rewards[3].level: unknown level 'hero'; the levels are member, contributor, ambassador, champion",
    ),
    ([*REWARDS, 2, "level"], "hero", "referrals.rewards[2].level: is for level only"),
    ([*REWARDS, 0, "title"], {"en": "x"}, "referrals.rewards[0].title: " + NO_RUSSIAN),
    # measuring and reports
    (["metrics", "large_day"], "0", "metrics.large_day: must be at least 1; got '0'"),
    (["metrics", "cost_per_ticket", "amount"], "-1", "metrics.cost_per_ticket.amount: must be at least 0; got '-1'"),
    (["metrics", "cost_per_ticket", "amount"], "15.50", A_WHOLE_NUMBER + "'15.50'"),
    (
        ["metrics", "cost_per_ticket", "currency"],
        "euro",
        "metrics.cost_per_ticket.currency: must match ^[A-Z]{3}$; got 'euro'",
    ),
    (["goals", "yearly"], {}, "goals.yearly: must be 'daily', 'weekly' or 'monthly'; got 'yearly'"),
    (["goals", "weekly", "smiles"], "5", "goals.weekly.smiles: " + AIMED_AT_ONES),
    (["goals", "weekly", "cost_savings"], "5", "goals.weekly.cost_savings: " + AIMED_AT_ONES),
    (["goals", "weekly", "new_members"], "many", "goals.weekly.new_members: must be a number; got 'many'"),
    (["goals", "weekly", "new_members"], "nan", "goals.weekly.new_members: must be a finite number; got 'nan'"),
    (
        ["reports", "mail"],
        "nope",
        "reports.mail: unknown mail 'nope'; the mails are " + MAILS,
    ),
    (
        ["reports", "mail"],
        "digest",
        "reports.mail: must be a service mail, for managers gave no consent to marketing; 'digest' is marketing",
    ),
    (["reports", "daily", "to"], [], "reports.daily.to: must have at least 1"),
    (["reports", "daily", "to"], ["mira", "ada"], "reports.daily.to[1]: unknown manager 'ada'; the managers are mira"),
    (["reports", "daily", "to"], ["mira", "mira"], "reports.daily.to: must be named once each; 'mira' stands twice"),
    (["reports", "daily", "at"], "8", "reports.daily.at: must be a time of day in quotes, such as \"10:00\"; got '8'"),
    (["reports", "daily", "weekday"], "monday", "reports.daily.weekday: unknown key; allowed here: at, timezone, to"),
    (["reports", "weekly", "weekday"], "someday", f"reports.weekly.weekday: must be {WEEKDAYS}; got 'someday'"),
    (["reports", "monthly", "day"], "29", "reports.monthly.day: must be at most 28; got '29'"),
    (
        ["reports", "monthly", "timezone"],
        "Mars/Olympus",
        "reports.monthly.timezone: must be an IANA time zone such as Europe/Berlin; got 'Mars/Olympus'",
    ),
    # bonuses and news
    (
        ["bonuses", "welcome_back", "url"],
        "https://example.com/",
        "bonuses.welcome_back: must have either a code or a url",
    ),
    (["bonuses", "welcome_back", "code"], None, "bonuses.welcome_back: must have either a code or a url"),
    (["bonuses", "welcome_back", "title"], {"en": "x"}, "bonuses.welcome_back.title: " + NO_RUSSIAN),
    (
        ["mails", "miss_you", "bonus"],
        "gold",
        "mails.miss_you.bonus: unknown bonus 'gold'; the bonuses are welcome_back",
    ),
    (
        ["content", "highlights", 0, "kind"],
        "gossip",
        "content.highlights[0].kind: must be 'feature', 'guide' or 'ama'; got 'gossip'",
    ),
    (
        ["content", "highlights", 0, "published_at"],
        "2026-09-14",
        "content.highlights[0].published_at: " + A_MOMENT + "; got '2026-09-14'",
    ),
    (["content", "highlights", 0, "title"], {"en": "x"}, "content.highlights[0].title: " + NO_RUSSIAN),
    # what is written
    (["mails", "miss_you", "variants"], [], "mails.miss_you.variants: is missing; the variants written are news, wave"),
    (
        ["mails", "miss_you", "variants"],
        ["wave", "tears"],
        "mails.miss_you.variants[1]: unknown variant 'tears'; the variants written are news, wave",
    ),
    (
        ["mails", "miss_you", "variants"],
        ["wave", "news", "wave"],
        "mails.miss_you.variants: must be named once each; 'wave' stands twice",
    ),
    (
        ["mails", "miss_you", "variants"],
        ["a", "b", "c", "d", "e", "f"],
        "mails.miss_you.variants: must have at most 5, not 6",
    ),
    (
        ["mails", "welcome", "variants"],
        ["loud"],
        "mails.welcome.variants[0]: unknown variant 'loud'; the variants written are none",
    ),
    (
        [*STEPS, 0, "leave_out"],
        {"tour": "posted"},
        "onboarding.steps[0].leave_out.tour: unknown part; the parts that welcome can leave out: introduction",
    ),
    (
        [*STEPS, 1, "leave_out"],
        {"introduction": "posted"},
        "onboarding.steps[1].leave_out.introduction: unknown part; the parts that check_in can leave out: none",
    ),
]
