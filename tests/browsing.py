"""Debian's chromium, and how somebody signs in with it."""

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from bgjobs_local import packages

CHROMIUM = "/usr/bin/chromium"


def install_chromium() -> None:
    packages.ensure({"chromium": "is the browser that the dashboard is tested in"})


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    install_chromium()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM)


@contextlib.contextmanager
def page_in(browser: Browser) -> Iterator[Page]:
    """A page of a context of its own; fails where it breaks its content security policy."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


def sign_in(page: Page, url: str, token: str) -> None:
    page.goto(f"{url}/health")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()
