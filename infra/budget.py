"""What bounds the bill where asked for: a budget that tells before it is spent, and how many functions run at once."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets

from infra import mailers
from shared.errors import UsageError

RESERVED = {"mailer": mailers.WORKERS, "webhooks": 20, "links": 10}
"""How many of a function may run at once: so many are always there for it, and strangers never get more."""

TOLD_AT = (("ACTUAL", 80), ("FORECASTED", 100), ("ACTUAL", 100))
"""Per cent of the budget: what was spent, and what will be by the end of the month."""


def reserved(function: str, *, wanted: bool) -> int | None:
    """A function's reserved concurrency; a new account has too little to reserve any, so it has to be wanted."""
    return RESERVED.get(function) if wanted else None


RUNBOOK = "spending"
"""The page of docs/runbooks that says what to do; the budget's name, which is all that it tells, names it."""


def alarm(scope: cdk.Stack, dollars: str | None, *, alarm_topic_arn: str | None) -> None:
    """Tell the topic of the account's spending in a month, where a budget in US dollars is given.

    It is the whole account's: what belongs to a stack is known only where its tag was activated for billing. The
    topic must let budgets.amazonaws.com publish. Raises UsageError for what is no amount, or without a topic.
    """
    if dollars is None:
        return
    if not alarm_topic_arn:
        raise UsageError("budget needs alarm_topic_arn: the SNS topic that is told (-c alarm_topic_arn=...)")
    teller = budgets.CfnBudget.SubscriberProperty(address=alarm_topic_arn, subscription_type="SNS")
    budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_name=f"{scope.stack_name}, what to do at docs/runbooks/{RUNBOOK}.md",  # a colon is not allowed
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=_amount(dollars), unit="USD"),
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=share,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[teller],
            )
            for kind, share in TOLD_AT
        ],
    )


def _amount(dollars: str) -> float:
    try:
        amount = float(dollars)
    except ValueError as exc:
        raise UsageError(f"budget must be an amount of US dollars a month; got {dollars!r}") from exc
    if not 0 < amount < float("inf"):
        raise UsageError(f"budget must be more than 0; got {dollars!r}")
    return amount
