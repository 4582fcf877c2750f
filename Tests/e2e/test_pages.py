"""The two pages in headless Chromium: a digit is drawn and read; a training is watched while it runs."""
import math
import os
import time

import pytest

from browser import Browser, executable
from conftest import SCREENSHOTS

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium: scripts/setup test installs it")


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def endpoint(platform):
    task, address = platform.serve("mnist/mnist_serve.lua", "cnn_small", port=0)
    yield address
    platform.cancel(task)
    platform.wait(task, ("cancelled",), 5)


def line(*corners, steps=12):
    """Points along a line through the corners."""
    points = [corners[0]]
    for (ax, ay), (bx, by) in zip(corners, corners[1:]):
        points += [(ax + (bx - ax) * i / steps, ay + (by - ay) * i / steps) for i in range(1, steps + 1)]
    return points


def circle(x, y, rx, ry, steps=28):
    return [(x + rx * math.sin(2 * math.pi * i / steps), y - ry * math.cos(2 * math.pi * i / steps)) for i in range(steps + 1)]


# In the unit square, as a hand would write them.
WRITTEN = {
    0: [circle(0.5, 0.5, 0.2, 0.3)],
    1: [line((0.5, 0.2), (0.48, 0.8))],
    7: [line((0.3, 0.24), (0.7, 0.24), (0.45, 0.8))],
}
READ = "(document.querySelector('#digit').textContent.match(/^\\d$/) || [])[0]"


@pytest.mark.parametrize("digit", WRITTEN)
@pytest.mark.parametrize("means", ["mouse", "finger"])
def test_a_drawn_digit_is_read(browser, endpoint, digit, means):
    page = browser.open(endpoint + "/", mobile=means == "finger")
    left, top, width, height = page.box("#sheet")
    for stroke in WRITTEN[digit]:
        points = [(left + x * width, top + y * height) for x, y in stroke]
        (page.draw if means == "mouse" else page.touch)(points)
    page.wait_for("%s === '%d'" % (READ, digit))
    bars = page.wait_for("[...document.querySelectorAll('#bars [role=meter]')].map((bar) => Number(bar.getAttribute('aria-valuenow')))")
    assert len(bars) == 10 and abs(sum(bars) - 1) < 0.01 and bars.index(max(bars)) == digit
    assert page.run("document.querySelectorAll('#bars .best').length") == 1
    time.sleep(0.4)                                     # the bars move
    page.screenshot(os.path.join(SCREENSHOTS, "draw-%d-%s.png" % (digit, means)))
    page.click("#clear")
    page.wait_for("document.querySelector('#digit').textContent === '–'")
    assert page.errors == []


def test_drawing_with_the_keyboard(browser, endpoint):
    page = browser.open(endpoint + "/")
    page.run("document.querySelector('#sheet').focus()")
    page.key(" ")
    for _ in range(15):
        page.key("ArrowDown")
    page.wait_for("%s === '1'" % READ)
    page.wait_for("document.querySelector('#spoken').textContent.startsWith('Reads 1')")
    assert page.errors == []


def test_what_the_model_sees_is_made_like_mnist(browser, endpoint):
    page = browser.open(endpoint + "/")
    left, top, width, height = page.box("#sheet")
    # Small and in a corner: it is scaled into the 20x20 box and centred by its mass.
    page.draw([(left + (0.1 + 0.35 * (x - 0.5)) * width, top + (0.15 + 0.35 * (y - 0.5)) * height) for x, y in WRITTEN[7][0]])
    page.wait_for(READ)
    values = page.run("Array.from(document.querySelector('#seen').getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 0)")
    rows = [i // 28 for i, value in enumerate(values) if value]
    columns = [i % 28 for i, value in enumerate(values) if value]
    # 20 pixels, and one more where the ink falls between two.
    assert max(values) == 255 and 19 <= max(max(rows) - min(rows), max(columns) - min(columns)) + 1 <= 21
    mass = sum(values)
    assert abs(sum(value * (i % 28 + 0.5) for i, value in enumerate(values)) / mass - 14) < 0.3
    assert abs(sum(value * (i // 28 + 0.5) for i, value in enumerate(values)) / mass - 14) < 0.3


def test_an_error_is_shown(browser, endpoint):
    page = browser.open(endpoint + "/")
    page.run("window.fetch = () => Promise.reject(new TypeError('gone'))")
    left, top, width, height = page.box("#sheet")
    page.draw([(left + 0.5 * width, top + y / 20 * height) for y in range(4, 16)])
    assert "cannot be reached" in page.wait_for("!document.querySelector('#trouble').hidden && document.querySelector('#trouble').textContent")


def test_the_platform_page_with_a_running_training(browser, platform):
    page = browser.open(platform.base + "/")
    page.wait_for("document.querySelector('.item')")
    task = platform.submit("mnist/mnist_cnn.lua", "mnist_small", "cnn_watched", name="<b>watched</b>", epochs=200)
    try:
        page.wait_for("document.querySelector('a.item[href=\"#/tasks/%s\"]')" % task)
        page.click("a.item[href=\"#/tasks/%s\"]" % task)
        page.wait_for("document.querySelector('#detail progress') && document.querySelector('#detail progress').value > 0")
        assert page.run("document.querySelector('#detail h1').textContent") == "<b>watched</b>"     # text, never markup
        page.wait_for("document.querySelector('#detail .chart .curve')", 60)
        first = page.run("document.querySelector('#detail progress').value")
        page.wait_for("document.querySelector('#detail progress').value > %r" % first)
        page.wait_for("document.querySelector('#detail .log').textContent.includes('epoch 1')", 60)
        page.screenshot(os.path.join(SCREENSHOTS, "platform-training.png"))
        page.look(dark=True)
        page.screenshot(os.path.join(SCREENSHOTS, "platform-training-dark.png"))
        page.look()
        page.click("#detail button.danger")
        page.wait_for("document.querySelector('#detail .state.cancelled')", 10)
    finally:
        platform.cancel(task)
    assert platform.wait(task, ("cancelled",), 5)
    assert page.errors == []


def test_the_platform_page_shows_the_lake(browser, platform, few_digits):
    page = browser.open(platform.base + "/#/datasets/mnist_small")
    assert page.wait_for("document.querySelectorAll('#detail td canvas').length") == 20
    drawn = page.run("Array.from(document.querySelector('#detail td canvas').getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 0)")
    assert drawn == list(few_digits.part("train")[1][:784])
    page.run("document.querySelector('[name=where]').value = \"label = 3 AND split = 'test'\"")
    page.click("form.filter button")
    page.wait_for("(rows => rows.length === 20 && rows.every(row => row.textContent === '3test'))(Array.from(document.querySelectorAll('form.filter + div tbody tr')))")
    page.wait_for("Array.from(document.querySelectorAll('#detail h2')).some(head => head.textContent === 'Versions')")
    page.screenshot(os.path.join(SCREENSHOTS, "platform-dataset.png"))
    page.run("location.hash = '#/models/cnn_small'")
    page.wait_for("document.querySelector('#detail h1') && document.querySelector('#detail h1').textContent === 'cnn_small'")
    assert "206,922 NUMBERS" in page.text().upper()
    page.screenshot(os.path.join(SCREENSHOTS, "platform-model.png"))
    page.look(390, 844, scale=2, mobile=True)
    page.screenshot(os.path.join(SCREENSHOTS, "platform-model-phone.png"))
    assert page.errors == []


def test_a_task_by_the_form_and_a_failure_on_the_page(browser, platform):
    page = browser.open(platform.base + "/#/tasks/new")
    page.wait_for("document.querySelector('form.task')")
    page.run("for (const [name, text] of [['name', 'by form'], ['script', 'mnist/mnist_clean.lua'], ['input', 'no/such/folder'], ['output', 'x']]) document.querySelector(`[name=${name}]`).value = text")
    page.run("document.querySelector('[name=params]').value = '{bad'")
    page.click("form.task button.main")
    assert "not a JSON object" in page.wait_for("document.querySelector('form .fault') && document.querySelector('form .fault').textContent")
    page.run("document.querySelector('[name=params]').value = '{}'")
    page.click("form.task button.main")
    # Either the request is refused at once, or the task fails; both are shown in words.
    page.wait_for("[...document.querySelectorAll('#detail .fault')].some((fault) => !fault.textContent.includes('not a JSON object'))", 20)
    page.screenshot(os.path.join(SCREENSHOTS, "platform-failure.png"))
