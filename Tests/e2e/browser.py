"""Headless Chromium, driven over its DevTools protocol with the standard library alone.

    with Browser() as browser:
        page = browser.open("http://127.0.0.1:8000/")
        page.wait_for("document.querySelector('.item')")
        page.screenshot(".build/screenshots/tasks.png")

The protocol: https://chromedevtools.github.io/devtools-protocol/ ; frames of the WebSocket: RFC 6455.
"""
import base64
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def executable():
    """Path of a Chromium, or None."""
    return os.environ.get("MOONLAKE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class BrowserError(Exception):
    pass


class WebSocket:
    """A client's end of one WebSocket: text messages out and in."""

    def __init__(self, url, timeout):
        host, path = url.removeprefix("ws://").split("/", 1)
        name, port = host.rsplit(":", 1)
        self.stream = socket.create_connection((name, int(port)), timeout)
        self.buffer = b""
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.stream.sendall(("GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (path, host, key)).encode())
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise BrowserError("no WebSocket: " + head.decode(errors="replace"))

    def _fill(self):
        part = self.stream.recv(1 << 16)
        if not part:
            raise BrowserError("the browser closed the connection")
        self.buffer += part

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, text):
        body, mask = text.encode(), secrets.token_bytes(4)
        size = len(body)
        head = bytes([0x81, 0x80 | size]) if size < 126 else \
            bytes([0x81, 0xFE]) + struct.pack(">H", size) if size < 1 << 16 else bytes([0x81, 0xFF]) + struct.pack(">Q", size)
        repeated = (mask * (size // 4 + 1))[:size]
        self.stream.sendall(head + mask + (int.from_bytes(body, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big"))

    def receive(self):
        message = b""
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            body, kind = self._take(size), first & 0x0F
            if kind == 8:
                raise BrowserError("the browser closed the WebSocket")
            if kind in (0, 1, 2):
                message += body
                if first & 0x80:
                    return message.decode()

    def close(self):
        self.stream.close()


class Page:
    """One tab."""

    def __init__(self, url, timeout=30):
        self.socket, self.count, self.timeout = WebSocket(url, timeout), 0, timeout
        self.errors = []            # exceptions and console errors of the page
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.count += 1
        number = self.count
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.receive())
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError("%s: %s" % (method, message["error"].get("message")))
                return message["result"]
            self._note(message)

    def _note(self, message):
        details = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            thrown = details["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description") or thrown.get("text"))
        elif message.get("method") == "Runtime.consoleAPICalled" and details.get("type") == "error":
            self.errors.append(" ".join(str(argument.get("value")) for argument in details["args"]))
        elif message.get("method") == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append("%s %s" % (details["entry"]["text"], details["entry"].get("url", "")))

    def goto(self, url):
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError("%s: %s" % (url, answer["errorText"]))
        self.wait_for("document.readyState === 'complete'")

    def run(self, script):
        """The value of a JavaScript expression (promises are awaited)."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise BrowserError(thrown.get("exception", {}).get("description") or thrown["text"])
        return answer["result"].get("value")

    def wait_for(self, script, seconds=20):
        """Waits until the expression is truthy; its value."""
        end = time.monotonic() + seconds
        while True:
            got = self.run("(() => { try { const v = (%s); return v instanceof Node ? true : v } catch { return null } })()" % script)
            if got:
                return got
            if time.monotonic() > end:
                raise BrowserError("not so within %g s: %s; page: %s; errors: %s"
                                   % (seconds, script, self.run("document.body.innerText.slice(0, 600)"), self.errors))
            time.sleep(0.05)

    def text(self):
        return self.run("document.body.innerText")

    def box(self, selector):
        """(left, top, width, height) of the first match, in CSS pixels of the window."""
        return self.run("(() => { const b = document.querySelector(%s).getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })()"
                        % json.dumps(selector))

    def mouse(self, kind, x, y, buttons=1):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if buttons or kind == "mouseReleased" else "none",
                  buttons=buttons, clickCount=1, pointerType="mouse")

    def draw(self, points):
        """Presses at the first point, moves through the others and lets go."""
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point)
        self.mouse("mouseReleased", *points[-1], buttons=0)

    def touch(self, points):
        """The same with a finger."""
        for i, (x, y) in enumerate(points):
            self.call("Input.dispatchTouchEvent", type="touchMove" if i else "touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def click(self, selector):
        self.run("document.querySelector(%s).scrollIntoView({block: 'center'})" % json.dumps(selector))
        x, y, width, height = self.box(selector)
        self.draw([(x + width / 2, y + height / 2)])

    def key(self, key, text=""):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, width=1280, height=860, dark=False, scale=1, mobile=False):
        """Window size and colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(picture))

    def close(self):
        self.socket.close()


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="moonlake-chromium-")
        self.process = None
        self.pages = []

    def __enter__(self):
        path = executable()
        if path is None:
            raise BrowserError("no Chromium found; scripts/setup test installs it")
        command = [path, "--headless=new", "--remote-debugging-port=0", "--user-data-dir=" + self.folder, "--no-first-run",
                   "--no-default-browser-check", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
                   "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars", "about:blank"]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")       # Chromium refuses its sandbox to root
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end, port_file = time.monotonic() + 30, os.path.join(self.folder, "DevToolsActivePort")
        while True:
            try:
                with open(port_file) as stream:
                    self.port = int(stream.readline())
                break
            except (OSError, ValueError):
                if self.process.poll() is not None:
                    raise BrowserError("Chromium ended with status %s" % self.process.returncode) from None
                if time.monotonic() > end:
                    self.__exit__()
                    raise BrowserError("Chromium did not start within 30 s") from None
                time.sleep(0.05)
        return self

    def open(self, url, **look):
        request = urllib.request.Request("http://127.0.0.1:%d/json/new?about:blank" % self.port, method="PUT")
        with urllib.request.urlopen(request, timeout=20) as answer:
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        self.pages.append(page)
        page.look(**look)
        page.goto(url)
        return page

    def __exit__(self, *_):
        for page in self.pages:
            page.close()
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
