"""The program at a terminal: exit codes, JSON on stdout and everything else on stderr, and a REPL session on a pseudo-terminal."""
import json
import os
import signal
import subprocess
import time

import pytest

from service import MOONLAKE, TOP, wait_until


def moonlake(*arguments, cwd, timeout=60):
    return subprocess.run([MOONLAKE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.yaml").write_text("server:\n  lualib_path: %s\n" % json.dumps(os.path.join(TOP, "LuaLib")))
    return tmp_path


def write(folder, name, text):
    (folder / name).write_text(text)
    return name


def test_version(tmp_path):
    ended = moonlake("version", cwd=tmp_path)
    assert ended.returncode == 0 and ended.stdout.startswith("moonlake ")


def test_run_prints_the_result_alone(folder):
    script = write(folder, "add.lua", "local task = require 'task'\nfunction run(input, output, p)\n  task.log('adding')\n  print('aside')\n"
                   "  return { sum = p.a + p.b, input = input, output = output }\nend\n")
    ended = moonlake("run", script, "--input", "in", "--output", "out", "--params", '{"a": 1, "b": 2}', cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"sum": 3, "input": "in", "output": "out"}
    assert "adding" in ended.stderr and "aside" in ended.stderr


@pytest.mark.parametrize("text, words", [
    ("function run()\n  error('no luck')\nend\n", "error: no luck [SCRIPT_ERROR]\n  at bad.lua:2"),
    ("function run()\n  return nil + 1\nend\n", "error: attempt to perform arithmetic on a nil value [SCRIPT_ERROR]\n  at bad.lua:2"),
    ("function run()\n", "error: 'end' expected (to close 'function' at line 1) near <eof> [INVALID_SCRIPT]\n  at bad.lua:2"),
    ("return {}\n", "no function run(input, output, params)"),
    ("function run() return 7 end\n", "run must return a table, got"),
])
def test_a_script_that_fails(folder, text, words):
    ended = moonlake("run", write(folder, "bad.lua", text), cwd=folder)
    assert ended.returncode == 1 and words in ended.stderr and ended.stdout == "", (ended.returncode, ended.stdout, ended.stderr)


def test_errors_of_scripts_cannot_steer_the_terminal(folder):
    ended = moonlake("run", write(folder, "red.lua", "function run() error('a\\27[31mred') end\n"), cwd=folder)
    assert ended.returncode == 1 and "\x1b" not in ended.stderr and "red" in ended.stderr


def test_serve_names_a_missing_folder(folder):
    (folder / "config.yaml").write_text("server:\n  script_root: ./nowhere\n")
    ended = moonlake("serve", "--port", "0", cwd=folder)
    assert ended.returncode == 2 and "server.script_root: the folder" in ended.stderr, ended.stderr


@pytest.mark.parametrize("stop", ["time limit", "SIGINT", "SIGINT twice", "SIGTERM"])
def test_a_script_in_one_long_c_call_is_ended(folder, stop):
    script = write(folder, "pattern.lua", "function run()\n  print(('a'):rep(40):find(('a*'):rep(20) .. 'b'))\n  return {}\nend\n")
    limit = ["--time-limit", "1s"] if stop == "time limit" else []
    process = subprocess.Popen([MOONLAKE, "run", script, *limit], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    time.sleep(0.5)
    if stop.startswith("SIG"):
        process.send_signal(getattr(signal, stop.split()[0]))
    if stop.endswith("twice"):
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (1 if limit else 130), errors
    assert "did not end by itself" in errors
    assert time.monotonic() - began < (3 if stop.endswith("twice") else 10)


def test_a_missing_script_and_wrong_usage(folder):
    ended = moonlake("run", "nowhere.lua", cwd=folder)
    assert ended.returncode in (1, 2) and "nowhere.lua" in ended.stderr
    assert moonlake("run", "--no-such-option", cwd=folder).returncode == 64
    assert moonlake("tasks", "--server", "http://127.0.0.1:9", cwd=folder).returncode == 3


def test_interrupt_of_a_run(folder):
    script = write(folder, "endless.lua", "function run() while true do pcall(function() while true do end end) end end\n")
    process = subprocess.Popen([MOONLAKE, "run", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.7)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=2.5)
    assert process.returncode == 130


def test_client_commands_against_a_server(bench):
    at = ["--server", bench.base]
    ended = moonlake("submit", "fine.lua", "--wait", "--json", *at, cwd=bench.folder)
    assert ended.returncode == 0 and '"fine":true' in ended.stdout.replace(" ", ""), ended.stdout + ended.stderr
    listed = json.loads(moonlake("tasks", "--json", *at, cwd=bench.folder).stdout)
    assert [task["status"] for task in listed if task["script"] == "fine.lua"][0] == "completed"
    bench.script("endless.lua", "function run() print('working') while true do end end\n")
    task = bench.submit("endless.lua")
    bench.wait(task, ("running",), 10)
    wait_until(lambda: "working" in moonlake("logs", task, *at, cwd=bench.folder).stdout, 5, "the log holds what was printed")
    assert moonlake("cancel", task, *at, cwd=bench.folder).returncode == 0
    assert bench.wait(task, ("cancelled",), 3)
    assert json.loads(moonlake("datasets", "--json", *at, cwd=bench.folder).stdout) == []


def test_a_repl_session(folder):
    pexpect = pytest.importorskip("pexpect")
    session = pexpect.spawn(MOONLAKE, ["repl"], cwd=str(folder), encoding="utf-8", timeout=10, dimensions=(40, 120),
                            env={**os.environ, "TERM": "xterm", "HOME": str(folder), "NO_COLOR": "1"})
    try:
        session.expect("> ")
        session.sendline("1 + 2")
        session.expect(r"\n3\s")
        session.sendline("x = 20")
        session.sendline("x * 2 + 2")
        session.expect(r"\n42\s")
        session.sendline("for i = 1, 2 do")           # goes on on the next line
        session.sendline("print('turn ' .. i) end")
        session.expect("turn 1")
        session.expect("turn 2")
        session.sendline("nothing_here + 1")
        session.expect("nothing_here")
        session.sendline("while true do end")
        time.sleep(0.5)
        session.sendintr()                            # stops the expression only
        session.sendline("'still ' .. 'here'")
        session.expect("still here")
        session.sendline("local tensor = require 'tensor'")
        session.sendline("require('tensor').zeros(2, 3)")
        session.expect(r"\(2, 3\)")
        session.expect(r"\n> ")
        session.sendeof()
        session.expect(pexpect.EOF)
        session.wait()
        assert session.exitstatus == 0
    finally:
        session.close(force=True)
