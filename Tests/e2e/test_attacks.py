"""Scripts that do not want to end. Each is cancelled or limited within two seconds, and nothing of it stays."""
import time

import pytest

from service import OVER, Service, alive, resident, wait_until

TWO_SECONDS = 2.0

ENDLESS = {
    "plain": "while true do end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "xpcall handler": "while true do xpcall(error, function() while true do end end) end",
    "coroutine": "while true do local co = coroutine.create(function() while true do end end) coroutine.resume(co) end",
    "coroutine and pcall": "local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) while true do co() end",
    "goto": "::again:: goto again",
    "close": "while true do local t <close> = setmetatable({}, { __close = function() while true do end end }) end",
    "sort comparator": "while true do pcall(table.sort, { 3, 2, 1 }, function() while true do end end) end",
    "gsub callback": "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
    "pattern": "local s = ('x'):rep(30):find(('x?'):rep(30) .. ('x'):rep(30)) return { s = s }",
    "pattern in pcall": "while true do pcall(string.find, ('x'):rep(30), ('x?'):rep(30) .. ('x'):rep(30)) end",
    "wait in a loop": "local t = {} while true do t[1] = ('x'):rep(1000000) end",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_cancel_of_an_endless_script(bench, name):
    script = bench.script("endless.lua", "function run()\n%s\nend\n" % ENDLESS[name])
    task = bench.submit(script)
    bench.wait(task, ("running",), 10)
    worker = wait_until(bench.workers, 5, "a worker runs")
    time.sleep(0.25)                                    # well inside the script
    assert bench.task(task)["status"] == "running", bench.task(task)
    asked = time.monotonic()
    status, _ = bench.cancel(task)
    assert status in (200, 202)
    view = bench.wait(task, ("cancelled",), TWO_SECONDS)
    took = time.monotonic() - asked
    assert took <= TWO_SECONDS and view["completed_at"]
    assert not [pid for pid in worker if alive(pid)], "the worker lives on"
    assert bench.call("GET", "/healthz")[0] == 200
    assert bench.run("fine.lua", seconds=10) == {"fine": True}


HUNGRY = {
    "table": "local t = {} for i = 1, math.huge do t[i] = { i } end",
    "string": "local s = 'x' while true do s = s .. s end",
    "rep": "return { s = #('x'):rep(1 << 28) }",
    "in pcall": "local t = {} while true do pcall(function() for i = 1, math.huge do t[#t + 1] = ('x'):rep(1000) .. i end end) end",
    "in coroutine": "local t = {} while true do coroutine.wrap(function() for i = 1, math.huge do t[#t + 1] = { i } end end)() end",
    "concat": "local t = {} for i = 1, 1000000 do t[i] = ('x'):rep(100) end while true do t[1] = table.concat(t) end",
}


def limited(folder, **tasks):
    """A server over a script folder of its own with limits for tasks."""
    (folder / "scripts").mkdir()
    (folder / "scripts" / "fine.lua").write_text("function run() return { fine = true } end\n")
    service = Service(folder, script_root=folder / "scripts", tasks=tasks)
    service.root = folder / "scripts"
    return service


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Tasks may use 128 MiB."""
    with limited(tmp_path_factory.mktemp("small"), memory_limit="128MiB", wall_limit="20s") as service:
        yield service


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Tasks may take one and a half seconds."""
    with limited(tmp_path_factory.mktemp("short"), wall_limit="1.5s") as service:
        yield service


@pytest.mark.parametrize("name", HUNGRY)
def test_memory_limit(small, name):
    (small.root / "hungry.lua").write_text("function run()\n%s\nend\n" % HUNGRY[name])
    task = small.submit("hungry.lua")
    if name == "in pcall":
        # A script may catch the error and try again for ever: it stays below the limit, and can be cancelled.
        small.wait(task, ("running",), 10)
        worker = wait_until(small.workers, 5, "a worker runs")
        time.sleep(1.5)
        assert all(resident(pid) < (128 + 64) << 20 for pid in worker)
        small.cancel(task)
        small.wait(task, ("cancelled",), TWO_SECONDS)
    else:
        view = small.wait(task, ("failed",), 20)
        assert view["error"]["code"] == "MEMORY_LIMIT", view["error"]
        # In seconds of its own: other programs on the machine do not count.
        assert view["usage"]["cpu_s"] <= TWO_SECONDS and view["usage"]["peak_rss_bytes"] < (128 + 64) << 20, view["usage"]
    assert small.run("fine.lua", seconds=10) == {"fine": True}
    assert not small.workers()


@pytest.mark.parametrize("name", ["plain", "pcall", "coroutine", "pattern"])
def test_wall_limit(short, name):
    (short.root / "endless.lua").write_text("function run()\n%s\nend\n" % ENDLESS[name])
    task = short.submit("endless.lua")
    view = short.wait(task, ("failed",), 1.5 + TWO_SECONDS)
    assert view["error"]["code"] == "TIMEOUT" and "1.5 s" in view["error"]["message"], view["error"]
    assert short.run("fine.lua", seconds=10) == {"fine": True}


def test_cancel_of_a_waiting_task_and_the_order_of_the_queue(bench):
    bench.script("endless.lua", "function run() while true do end end\n")
    first = bench.submit("endless.lua")
    second, third = bench.submit("endless.lua"), bench.submit("fine.lua")
    bench.wait(first, ("running",), 10)
    assert bench.task(second)["status"] == "pending" and bench.task(third)["status"] == "pending"
    bench.cancel(second)
    assert bench.wait(second, ("cancelled",), 1)
    assert bench.task(first)["status"] == "running"
    bench.cancel(first)
    assert bench.wait(third, ("completed",), 10)["result"] == {"fine": True}
    status, body = bench.cancel(third)
    assert status == 409 and body["error"]["code"] == "TASK_NOT_CANCELLABLE", (status, body)
    assert bench.task(third)["status"] == "completed"


ESCAPES = {
    "io": "return { x = io.open('/etc/passwd') }",
    "os.execute": "return { x = os.execute('id') }",
    "debug": "return { x = debug.getregistry() }",
    "loadlib": "return { x = package.loadlib('libc.so.6', 'system') }",
    "bytecode": "return { x = load(string.dump(function() end), 'x', 'b') and 1 }",
    "require above the root": "return { x = require '../../../etc/passwd' }",
    "string metatable": "getmetatable('').__index = nil return { x = 1 }",
    "undeclared global": "return { x = surely_not_there }",
    "gc of a script": "setmetatable({}, { __gc = function() end }) return { x = 1 }",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_what_a_script_may_not_do(bench, name):
    bench.script("escape.lua", "function run()\n%s\nend\n" % ESCAPES[name])
    view = bench.wait(bench.submit("escape.lua"), ("failed",), 10)
    assert view["error"]["code"] and view["error"]["message"], view
    assert view["error"].get("line") == 2 or "escape.lua:2" in view["error"]["message"], view["error"]


@pytest.mark.parametrize("path", ["../outside.lua", "/etc/passwd", "scripts/../../x.lua", "missing.lua", "fine.py"])
def test_scripts_outside_the_root_are_refused(bench, path):
    status, body = bench.call("POST", "/api/v1/tasks", {"name": "x", "input": "", "script": path, "output": "", "params": {}})
    assert status in (400, 403) and set(body["error"]) >= {"code", "message"}, (status, body)


@pytest.mark.parametrize("path", ["../../etc", "/etc/passwd", "data/../../../../etc"])
def test_inputs_outside_the_roots_are_refused(bench, path):
    bench.script("reads.lua", "local fs = require 'fs'\nfunction run(input) return { x = fs.read(input) } end\n")
    status, body = bench.call("POST", "/api/v1/tasks", {"name": "x", "input": path, "script": "reads.lua", "output": "", "params": {}})
    if status == 201:
        view = bench.wait(body["id"], ("failed",), 10)
        assert "root:" not in str(view), view
    else:
        assert status in (400, 403) and body["error"]["code"], (status, body)


def test_long_and_odd_texts_are_what_they_are(bench):
    bench.script("long.lua", "function run()\n  print(('z'):rep(9 << 20))\n  print('bin \\0 end')\n  return { ok = true }\nend\n")
    task = bench.submit("long.lua")
    assert bench.wait(task, OVER, 20)["result"] == {"ok": True}
    log = bench.call("GET", "/api/v1/tasks/%s/logs" % task)[1]
    assert log.count("z") == 9 << 20 and "bin \ufffd end" in log
    bench.script("flood.lua", "function run()\n  print(('z'):rep(20 << 20))\n  return {}\nend\n")
    assert bench.wait(bench.submit("flood.lua"), OVER, 20)["error"]["code"] == "LOG_LIMIT"
    bench.script("scream.lua", "function run() error(('y'):rep(20 << 20)) end\n")
    error = bench.wait(bench.submit("scream.lua"), OVER, 20)["error"]
    assert error["code"] == "SCRIPT_ERROR" and "more bytes" in error["message"] and len(error["message"]) < 2 << 20
