"""A REPL session through a pseudo-terminal, as a person types it."""
import os
import pty
import re
import select
import signal
import time

import pytest

from service import MOONLAKE, TOP


class Terminal:
    """A program on a pseudo-terminal of 100 x 40."""

    def __init__(self, command, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(TERM="xterm", HOME=str(folder))
            os.execv(command[0], command)
        self.text = ""

    def read_until(self, pattern, seconds=15):
        """Text up to and with the pattern, counted from what was read before."""
        start, end = len(self.text), time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.text[start:], re.S)
            if found:
                return self.text[start:]
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    part = os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    break
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part)
        raise AssertionError("%r was not shown; the terminal showed:\n%s" % (pattern, self.text[start:]))

    def type(self, text):
        time.sleep(0.1)  # a person is never faster; the editor takes the keyboard just after it shows its prompt
        os.write(self.fd, text.encode())

    def enter(self, line, pattern, seconds=15):
        """Types a line; what is shown after its echo, up to the pattern."""
        self.type(line + "\r")
        return self.read_until(pattern, seconds)

    def close(self):
        """The exit status."""
        for _ in range(100):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("the program did not end; the terminal showed:\n" + self.text)


@pytest.fixture
def repl(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "server:\n  storage_path: ./lake\n  lualib_path: %s/LuaLib\n  data_roots: [.]\n" % TOP)
    (tmp_path / "people.csv").write_text("name,age\nAda,36\nGrace,85\n")
    terminal = Terminal([MOONLAKE, "repl"], tmp_path)
    terminal.read_until(r"Ctrl-D to leave\..*> ")
    yield terminal
    try:
        os.kill(terminal.pid, signal.SIGKILL)
        os.waitpid(terminal.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_session(repl, tmp_path):
    assert "\n42\r" in repl.enter("x = 41", "> $") + repl.enter("x + 1", r"42\r\n> $")
    repl.enter("for i = 1, 2 do", r">> $")
    repl.enter("  print(i * 10)", r">> $")
    repl.enter("end", r"10\r\n20\r\n> $")
    repl.enter('p = df.read_csv "people.csv"', r"\n> $")
    table = repl.enter("p", r"Grace.*> $")
    assert "name" in table and "Ada" in table and "36" in table
    assert "(2, 3)" in repl.enter("tensor.zeros(2, 3)", r"\]\r\n> $")
    repl.enter("?df.read_csv", r"df\.read_csv: fun\(.*> $")
    repl.enter("p:gruop_by()", r"error: .*(near|'gruop_by').*> $")
    repl.enter('df.col "age', r">> $")  # a string that is not closed goes on
    repl.type("\x03")
    repl.read_until(r"\^C\r\n> $")
    repl.type("\x04")
    assert repl.close() == 0
    assert "x + 1" in (tmp_path / ".moonlake_history").read_text().replace("\\040", " ")


def test_completion(repl):
    repl.enter('p = df.read_csv "people.csv"', r"\n> $")
    # What was completed shows in what it does: the editor redraws only parts of a line.
    for start, rest, shown in (
            ("ten\t", ".zeros(2)\r", r"\(2\)"),
            ("p:gro\t", ' { "age" }:count()\r', r"2 rows"),
            ("df.read_c\t", ' "people.csv"\r', r"Grace"),
            ('p:select { "na\t', '" }:count()\r', r"\n2\r")):
        repl.type(start)
        time.sleep(0.7)
        repl.enter(rest.rstrip("\r"), shown + r".*> $")


def test_an_interrupt_stops_the_expression_only(repl):
    repl.enter("kept = 'still here'", r"\n> $")
    repl.type("while true do pcall(error) end\r")
    time.sleep(0.5)
    repl.type("\x03")
    repl.read_until(r"interrupted\r\n> $", seconds=5)
    repl.enter("kept", r"still here.*> $")
    repl.type("\x03")  # nor does one on an empty line leave
    repl.read_until(r"\^C\r\n> $")
    repl.enter("kept", r"still here.*> $")
    repl.type("\x04")
    assert repl.close() == 0
