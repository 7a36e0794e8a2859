"""The deployed dashboard, at the address and with the token that `make demo` ends with."""

import re

from playwright.sync_api import Page, expect
from tests.browsing import sign_in
from tests.e2e.conftest import Demo

from bgjobs_local.kubectl import Kubectl

_ENDS_WITH = re.compile(r"The dashboard: (\S+)\nSign in with this token, valid for 8 hours:\n(\S+)")


def _address_and_token(demo: Demo) -> tuple[str, str]:
    printed = _ENDS_WITH.search(demo.printed)
    assert printed, demo.printed[-2000:]
    return printed[1], printed[2]


def test_the_demos_admin_sees_what_became_of_its_jobs(page: Page, demo: Demo) -> None:
    url, token = _address_and_token(demo)
    sign_in(page, url, token)
    expect(page.locator("#checks")).to_contain_text("The operator runs")
    page.goto(f"{url}/jobs?namespace=demo&name=fails-for-good")
    page.get_by_role("link", name="fails-for-good", exact=True).click()
    expect(page.locator("#headline .st")).to_have_text("Failed")
    expect(page.locator("#log")).to_contain_text("attempt 4")
    expect(page.locator("#buttons").get_by_role("link", name="Retry")).to_be_visible()


def test_another_account_of_the_cluster_may_not_look(
    page: Page, demo: Demo, kubectl: Kubectl
) -> None:
    url, _ = _address_and_token(demo)
    sign_in(page, url, kubectl("create", "token", "default", "-n", "demo").strip())
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not look at this")
