"""Debian's chromium, and how somebody signs in with it."""

from playwright.sync_api import Page

from bgjobs_local import packages

CHROMIUM = "/usr/bin/chromium"


def install_chromium() -> None:
    packages.ensure({"chromium": "is the browser that the dashboard is tested in"})


def sign_in(page: Page, url: str, token: str) -> None:
    page.goto(f"{url}/health")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()
