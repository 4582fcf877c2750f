"""A Moonlake server of one test: own folder, own port, own configuration; and its REST API from a client's side."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOONLAKE = os.environ.get("MOONLAKE", os.path.join(TOP, ".build", "release", "moonlake"))
OVER = ("completed", "failed", "cancelled")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid):
    """Living child processes (zombies left out) as {pid: command line}."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as stat:
                state, parent = stat.read().rsplit(")", 1)[1].split()[:2]
            if int(parent) == pid and state != "Z":
                with open("/proc/%s/cmdline" % name, "rb") as line:
                    found[int(name)] = line.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except (OSError, ValueError, IndexError):
            continue
    return found


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def resident(pid):
    """Resident bytes of a process; 0 when it is gone."""
    try:
        with open("/proc/%d/statm" % pid) as sizes:
            return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def wait_until(check, seconds, what, every=0.02):
    """The first truthy value of check(); an assertion error after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        assert time.monotonic() < end, "not within %g s: %s" % (seconds, what)
        time.sleep(every)


class Service:
    """`moonlake serve` in a folder; start() and stop() as often as wanted, the lake stays."""

    def __init__(self, folder, script_root=TOP, data_roots=(), tasks=None, http_limits=None, upkeep=None):
        self.folder, self.port = str(folder), free_port()
        self.storage = os.path.join(self.folder, "lance_storage")
        self.script_root, self.process = str(script_root), None
        self.config = os.path.join(self.folder, "config.yaml")
        os.makedirs(self.folder, exist_ok=True)
        lines = ["server:", "  host: \"http://127.0.0.1:%d\"" % self.port, "  storage_path: ./lance_storage",
                 "  script_root: %s" % json.dumps(self.script_root),
                 "  data_roots: %s" % json.dumps([str(root) for root in data_roots] or ["./data"]),
                 "  web_path: %s" % json.dumps(os.path.join(TOP, "web")), "  lualib_path: %s" % json.dumps(os.path.join(TOP, "LuaLib"))]
        for section, values in (("tasks", tasks), ("http", http_limits), ("upkeep", upkeep)):
            if values:
                lines += ["%s:" % section] + ["  %s: %s" % pair for pair in values.items()]
        with open(self.config, "w") as text:
            text.write("\n".join(lines) + "\n")

    def start(self):
        self.log = open(os.path.join(self.folder, "server.log"), "ab")
        self.process = subprocess.Popen([MOONLAKE, "serve", "--config", self.config], cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)

        def ready():
            assert self.process.poll() is None, "the server ended with %s:\n%s" % (self.process.returncode, self.output())
            try:
                return self.call("GET", "/healthz")[0] == 200
            except OSError:
                return False
        wait_until(ready, 20, "the server answers; it wrote:\n" + self.output())
        return self

    def output(self):
        with open(os.path.join(self.folder, "server.log"), errors="replace") as text:
            return text.read()[-4000:]

    def kill(self):
        """kill -9, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the server did not end within 10 s of SIGTERM") from None
        if self.process:
            self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        workers = self.workers() if self.process and self.process.poll() is None else {}
        self.stop()
        wait_until(lambda: not any(alive(pid) for pid in workers), 5, "workers end with the server: %s" % workers)

    @property
    def base(self):
        return "http://127.0.0.1:%d" % self.port

    def call(self, method, path, body=None, timeout=20):
        """(status, decoded JSON or text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"} if data is not None else {})
            answer = connection.getresponse()
            text = answer.read()
            kind = answer.headers.get("Content-Type") or ""
            return answer.status, json.loads(text) if kind.startswith("application/json") and text else text.decode(errors="replace")
        finally:
            connection.close()

    def get(self, path):
        status, body = self.call("GET", "/api/v1" + path)
        assert status == 200, "GET %s: %s %s" % (path, status, body)
        return body

    def submit(self, script, input="", output="", name=None, **params):
        status, body = self.call("POST", "/api/v1/tasks", {
            "name": name or os.path.basename(script), "input": str(input), "script": script, "output": output, "params": params})
        assert status == 201, "POST /tasks: %s %s" % (status, body)
        return body["id"]

    def task(self, task):
        return self.get("/tasks/" + task)

    def wait(self, task, states=OVER, seconds=60):
        """The task's view once it is in one of the states."""
        def reached():
            view = self.task(task)
            if view["status"] in OVER and view["status"] not in states:
                raise AssertionError("%s is %s, not %s: %s" % (task, view["status"], "/".join(states), json.dumps(view.get("error"))))
            return view if view["status"] in states else None
        return wait_until(reached, seconds, "%s is %s" % (task, "/".join(states)))

    def run(self, script, input="", output="", seconds=120, **params):
        """Submits, waits until completed; the result."""
        return self.wait(self.submit(script, input, output, **params), ("completed",), seconds)["result"]

    def serve(self, script, input="", seconds=30, **params):
        """Submits a serving script, waits until it listens; (task, endpoint)."""
        task = self.submit(script, input, "", **params)

        def ready():
            view = self.task(task)
            assert view["status"] not in OVER, "it ended: %s" % json.dumps(view)
            return view.get("endpoint")
        return task, wait_until(ready, seconds, "%s listens" % task).rstrip("/")

    def cancel(self, task):
        return self.call("POST", "/api/v1/tasks/%s/cancel" % task)

    def workers(self):
        """Worker processes of this server: {pid: command line}."""
        return {pid: line for pid, line in children(self.process.pid).items() if "worker" in line}

    def clear(self):
        shutil.rmtree(self.storage, ignore_errors=True)
