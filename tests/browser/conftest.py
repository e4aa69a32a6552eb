"""One Chromium for all browser tests, Debian's own, and the site that it is sent to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from moto import mock_aws
from playwright.sync_api import Browser, sync_playwright

from tests.browser.site import Site, served

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


# Per package, not per session: Playwright keeps an event loop in this thread, which other tests may want for their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser; a test takes a context of its own from it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The pages, over a table that all browser tests share."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        with served() as site:
            yield site
