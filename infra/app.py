"""The CDK's entry: checks the playbook, builds the bundle, synthesises.

Context, from `-c name=value` or cdk.json: `playbook` (a file), `domain_name` with `certificate_arn`, `alarm_topic_arn`,
`disposable` (nothing outlives the stack), `opens_and_clicks` (SES tells of them, by its pixel and its links), `reserve`
(concurrency for the mailer, and a bound for the public functions), `budget` (US dollars a month; its alarm needs
`alarm_topic_arn`), `machine` (`lambda`, or `host` for the local stack: this machine's wheels).
"""

from __future__ import annotations

import os
import sys

from infra import ROOT, bundle, mails, node
from shared import playbook
from shared.errors import FlywheelError, UsageError

CONTEXT = (
    "playbook",
    "machine",
    "disposable",
    "domain_name",
    "certificate_arn",
    "alarm_topic_arn",
    "opens_and_clicks",
    "reserve",
    "budget",
)


def synth() -> None:
    """Synthesise to where the CDK's command line says. Raises PlaybookError and UsageError; nothing is written then."""
    os.environ.update(node.environment())
    import aws_cdk as cdk  # noqa: PLC0415 - it starts Node, so only once the right Node is known

    from infra import acknowledgements  # noqa: PLC0415 - as above
    from infra.stack import Flywheel, Settings  # noqa: PLC0415 - as above

    app = cdk.App(analytics_reporting=False)
    context = {name: app.node.try_get_context(name) for name in CONTEXT}
    checked = playbook.load(ROOT / (context["playbook"] or "playbook.yaml"), mails=mails.written(bundle.MAILS))
    code = bundle.code(checked)
    layer, drawing = (bundle.layer(_machine(context["machine"]), name) for name in bundle.NOT_IMPORTED)
    print(code, layer, drawing, sep="\n", file=sys.stderr)
    settings = Settings(
        senders=sorted({sender.address for sender in checked.senders.values()}),
        reports=checked.reports.kinds,
        timezone=checked.community.timezone,
        disposable=_flag(context["disposable"]),
        domain_name=context["domain_name"],
        certificate_arn=context["certificate_arn"],
        alarm_topic_arn=context["alarm_topic_arn"],
        opens_and_clicks=_flag(context["opens_and_clicks"]),
        reserve=_flag(context["reserve"]),
        budget=None if context["budget"] is None else str(context["budget"]),
    )
    stack = Flywheel(app, "Flywheel", settings=settings, code=code, layer=layer, drawing=drawing)
    acknowledgements.check(app)
    acknowledgements.acknowledge(stack)
    app.synth()


def main() -> int:
    """Synthesise; 2, with one line a problem, when it cannot be."""
    try:
        synth()
    except FlywheelError as exc:
        print(exc, file=sys.stderr)
        return 2
    return 0


def _machine(value: object) -> bundle.Machine:
    if value in {None, "lambda"}:
        return "lambda"
    if value == "host":
        return "host"
    raise UsageError(f"machine must be lambda or host; got {value!r}")


def _flag(value: object) -> bool:
    """A context value as `-c name=value` (text) and cdk.json (a boolean) give it."""
    return str(value).lower() in {"true", "1", "yes"}


if __name__ == "__main__":
    sys.exit(main())
