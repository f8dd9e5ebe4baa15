"""A real browser: the system's own Chromium, without a window.

`make test`, `make browser` and `make browser-course` set CONVAE_BROWSER. Elsewhere, and
where there is no Chromium, these tests are skipped; where it is "required", they fail.
`build/browser` has screenshots.
"""

import functools
import os
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
WANTED = os.environ.get("CONVAE_BROWSER", "")


def pytest_collection_modifyitems(items):
    why = "" if WANTED else "`make browser` runs it"
    if WANTED not in ("", "required") and CHROMIUM is None:
        why = f"needs one of {NAMES}, as `apt install chromium` gives it"
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def browser():
    SHOTS.mkdir(parents=True, exist_ok=True)
    # Chromium's sandbox does not run as root, which tests in containers do.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": arguments}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, request):
    """A function that opens a page; it takes what a browser's context takes.

    The test fails if the page logs an error, and leaves a screenshot.
    """
    pages, errors = [], []

    def open_page(address, **options):
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.screenshot(path=SHOTS / f"{request.node.name}.png", full_page=True)
        page.context.close()
    assert errors == []


@pytest.fixture(scope="session")
def draw():
    """A function that draws on a pad with the mouse.

    Strokes are lists of points, from (0, 0), top left, to (1, 1).
    """

    def draw(page, pad, strokes):
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        for stroke in strokes:
            first, *rest = (
                (box["x"] + x * box["width"], box["y"] + y * box["height"])
                for x, y in stroke
            )
            page.mouse.move(*first)
            page.mouse.down()
            for point in rest:
                page.mouse.move(*point, steps=5)
            page.mouse.up()

    return draw


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def playground():
    """The address of the page, which is built and served on loopback."""
    script = [sys.executable, ROOT / "docs" / "playground" / "build.py"]
    status = subprocess.run(script).returncode
    if status and WANTED != "required":
        pytest.skip("the page could not be built: it needs npm, and once a network")
    assert status == 0
    handler = functools.partial(_Silent, directory=ROOT / "build" / "playground")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
