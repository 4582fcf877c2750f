"""What the tests from outside share: the digits, whole and a small part of them, and servers."""
import os
import shutil
import signal
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from service import MOONLAKE, TOP, Service  # noqa: E402

# A shell without job control starts what is in its background with SIGINT ignored, and children would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SCREENSHOTS = os.path.join(TOP, ".build", "screenshots")


def pytest_configure(config):
    if not os.access(MOONLAKE, os.X_OK):
        pytest.exit("%s is not there: run 'make build' first" % MOONLAKE, returncode=2)


class Digits:
    """The four IDX files of a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def part(self, prefix):
        """(count, image bytes, label bytes) of "train" or "t10k"."""
        with open(os.path.join(self.folder, prefix + "-images-idx3-ubyte"), "rb") as images, \
                open(os.path.join(self.folder, prefix + "-labels-idx1-ubyte"), "rb") as labels:
            count = struct.unpack(">4I", images.read(16))[1]
            labels.read(8)
            return count, images.read(), labels.read()


@pytest.fixture(scope="session")
def digits():
    """All 70,000 of them."""
    folder = os.path.join(TOP, "data", "mnist")
    if not os.path.exists(os.path.join(folder, "t10k-labels-idx1-ubyte")):
        pytest.fail("%s does not hold MNIST: run scripts/get_mnist.py" % folder)
    return Digits(folder)


@pytest.fixture(scope="session")
def few_digits(digits, tmp_path_factory):
    """The first 3,000 and 500, as IDX files of their own."""
    folder = tmp_path_factory.mktemp("few") / "mnist"
    folder.mkdir()
    for prefix, count in (("train", 3000), ("t10k", 500)):
        _, images, labels = digits.part(prefix)
        (folder / (prefix + "-images-idx3-ubyte")).write_bytes(struct.pack(">4I", 2051, count, 28, 28) + images[:784 * count])
        (folder / (prefix + "-labels-idx1-ubyte")).write_bytes(struct.pack(">2I", 2049, count) + labels[:count])
    return Digits(folder)


@pytest.fixture(scope="session")
def platform(few_digits, tmp_path_factory):
    """A server over the repository's scripts, with the few digits cleaned (mnist_small) and a network trained on them (cnn_small)."""
    with Service(tmp_path_factory.mktemp("platform"), data_roots=[few_digits.folder]) as service:
        service.run("mnist/mnist_clean.lua", few_digits.folder, "mnist_small")
        service.trained = service.run("mnist/mnist_cnn.lua", "mnist_small", "cnn_small", epochs=4, seconds=300)
        yield service


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A server over a script folder of its own: bench.script("name.lua", text) writes one."""
    folder = tmp_path_factory.mktemp("bench")
    root = folder / "scripts"
    root.mkdir()
    (root / "fine.lua").write_text("function run() return { fine = true } end\n")
    with Service(folder, script_root=root, data_roots=[folder]) as service:
        def script(name, text):
            (root / name).write_text(text)
            return name
        service.script = script
        yield service


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """kill_at.c, compiled: to be preloaded into a program that is to die at its n-th change of a folder."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler for kill_at.c")
    path = tmp_path_factory.mktemp("shim") / "kill_at.so"
    source = os.path.join(TOP, "Tests", "e2e", "kill_at.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(path), source, "-ldl"], check=True)
    return str(path)
