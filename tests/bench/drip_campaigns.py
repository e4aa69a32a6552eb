"""django-drip-campaigns sending a drip to everybody who is due, in a process of its own: how much CPU that takes.

As it comes, with links to unsubscribe by; SQLite in memory, and Django's e-mail backend that keeps mails in memory.
Arguments: how many mails, and the file with the drip's HTML.
"""

from __future__ import annotations

import gc
import json
import sys
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core import mail  # type: ignore[import-untyped]
from django.core.management import call_command  # type: ignore[import-untyped]

SETTINGS = {
    "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth", "drip"],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
    "DRIP_FROM_EMAIL": "hello@community.example.com",
    "DRIP_UNSUBSCRIBE_USERS": True,
    "ROOT_URLCONF": "drip.urls",
    "SECRET_KEY": "a-link-key",
    "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    "USE_TZ": True,
}


def main(count: int, html: str) -> None:
    """Make the people and the drip, and then measure its run."""
    settings.configure(**SETTINGS)
    django.setup()
    call_command("migrate", verbosity=0)
    drip = _drip(count, html)
    mail.outbox = []
    gc.collect()
    began = process_time()
    sent = drip.drip.run()
    spent = process_time() - began
    assert sent == len(mail.outbox) == drip.sent_drips.count() == count
    assert "Ada7" in mail.outbox[7].body
    names = ("django-drip-campaigns", "django")
    print(json.dumps({"seconds": spent, "versions": ", ".join(f"{name} {version(name)}" for name in names)}))


def _drip(count: int, html: str) -> Any:
    # Django has models only once it is set up.
    from django.contrib.auth.models import User  # type: ignore[import-untyped]  # noqa: PLC0415
    from drip.models import Drip, QuerySetRule  # type: ignore[import-untyped]  # noqa: PLC0415

    names = (f"member{number:06}" for number in range(count))
    User.objects.bulk_create(
        User(username=name, email=f"{name}@example.com", first_name=f"Ada{number}") for number, name in enumerate(names)
    )
    subject = "Welcome, {{ user.first_name }}"
    drip = Drip.objects.create(name="welcome", enabled=True, subject_template=subject, body_html_template=html)
    rule = {"field_name": "date_joined", "lookup_type": "lte", "field_value": "now+1 days"}
    QuerySetRule.objects.create(drip=drip, method_type="filter", **rule)
    return drip


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
