# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""harbor_image against a real registry with TLS and token authentication."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import requests
from docker_stand_in import Daemon, inspected
from oci_images import DOCKER_LAYOUTS, Image, Layout, image, save, sha256
from oci_registry import (
    PASSWORDS,
    Fault,
    FaultProxy,
    Registry,
    ResumingProxy,
    TokenServer,
    binary,
    start_registry,
)
from throwaway import free_ports, write_certificates

Result = dict[str, Any]
Push = RunModule = Callable[..., Result]
PUSHER = {"registry_username": "pusher", "registry_password": PASSWORDS["pusher"]}
LOGIN = base64.b64encode(f"pusher:{PASSWORDS['pusher']}".encode()).decode()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    write_certificates(directory)
    return directory


@pytest.fixture(scope="session")
def tokens(certificates: Path) -> Iterator[TokenServer]:
    server = TokenServer(certificates)
    yield server
    server.close()


@pytest.fixture(scope="session")
def registry(certificates: Path, tokens: TokenServer) -> Iterator[Registry]:
    if binary() is None:
        pytest.skip("docker-registry is not installed")
    registry = start_registry(certificates, free_ports(1)[0], tokens)
    yield registry
    registry.close()


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    proxy = FaultProxy(registry)
    yield proxy
    proxy.close()


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository for each test."""
    return "imagine/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture
def push(registry: Registry, tmp_path: Path, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> Push:
    """Run the module; expects success unless C(fails) is set, and that nothing temporary is left."""
    for name in [name for name in os.environ if name.startswith(("REGISTRY_", "DOCKER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("ansible_collections.imagine.platform.plugins.module_utils.oci.RETRY_SECONDS", 0.02)
    work = tmp_path / "work"
    work.mkdir()

    def call(fails: bool = False, module: str = "harbor_image", **options: Any) -> Result:
        given = {"registry_ca_cert": registry.ca, **PUSHER, **options}
        if module == "harbor_image":
            given.setdefault("work_dir", str(work))
        result = run_module(module, **{name: value for name, value in given.items() if value is not None})
        assert bool(result.get("failed")) == fails, result.get("msg", result)
        assert PASSWORDS["pusher"] not in result["_output"]
        assert LOGIN not in result["_output"]
        assert "Traceback" not in result["_output"]
        assert list(work.iterdir()) == []
        return result

    return call


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return save(tmp_path / "image.tar", {"app:1": image("one", "two", "three")})


def pull(registry: Registry, tokens: TokenServer, repository: str, tag: str) -> tuple[str, dict[str, Any], list[bytes]]:
    """Read an image back with nothing of ours: digest, manifest and the uncompressed layers."""
    query = urllib.parse.urlencode({"service": "test registry", "scope": f"repository:{repository}:pull"})
    token = requests.get(
        f"{tokens.address}?{query}",
        auth=("pusher", PASSWORDS["pusher"].encode()),
        verify=registry.ca,
        timeout=10,
    ).json()["token"]
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.oci.image.index.v1+json",
    }
    base = f"https://{registry.host}/v2/{repository}"
    answer = requests.get(f"{base}/manifests/{tag}", headers=headers, verify=registry.ca, timeout=10)
    answer.raise_for_status()
    manifest = answer.json()
    layers = []
    for item in manifest.get("layers", []):
        blob = requests.get(f"{base}/blobs/{item['digest']}", headers=headers, verify=registry.ca, timeout=10).content
        assert sha256(blob) == item["digest"]
        assert len(blob) == item["size"]
        gzip = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, check=True)
        layers.append(gzip.stdout)
    return sha256(answer.content), manifest, layers


# Each source


@pytest.mark.parametrize("form", DOCKER_LAYOUTS)
def test_an_archive_is_created_unchanged_and_updated(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path, form: str
) -> None:
    first = image("one", "two", "one")
    name = f"{proxy.host}/{repository}:1.0"
    path = str(save(tmp_path / "a.tar", {"app:1": first}, form))

    would = push(name=name, docker_archive=path, check_mode=True)
    assert (would["changed"], would["operation"]) == (True, "create")
    assert would["diff"]["after"] == {name: {"digest": "known after the push", "image_id": first.image_id}}
    assert proxy.count("POST") == proxy.count("PUT") == proxy.count("PATCH") == 0

    did = push(name=name, docker_archive=path)
    assert (did["changed"], did["operation"]) == (True, "create")
    digest, manifest, layers = pull(registry, tokens, repository, "1.0")
    assert layers == first.layers
    assert manifest["config"]["digest"] == first.image_id
    assert did["image"]["digest"] == digest
    assert did["diff"] == {"before": {name: {}}, "after": {name: {"digest": digest, "image_id": first.image_id}}}
    # The layer that is there twice is sent once.
    assert did["image"]["uploaded"] == 3
    assert did["image"]["size"] == sum(item["size"] for item in [manifest["config"], *manifest["layers"]])
    assert registry.uploads(repository) == []

    proxy.requests.clear()
    for check_mode in (True, False):
        again = push(name=name, docker_archive=path, check_mode=check_mode)
        assert (again["changed"], again["operation"]) == (False, "none")
        assert again["diff"] == {"before": {}, "after": {}}
        assert again["image"]["digest"] == digest
    # One without and one with a token.
    assert [item[:2] for item in proxy.requests] == [["GET", f"/v2/{repository}/manifests/1.0"]] * 4

    second = image("one", "four")
    save(tmp_path / "a.tar", {"app:1": second}, form)
    proxy.requests.clear()
    would = push(name=name, docker_archive=path, check_mode=True)
    assert would["diff"]["before"] == {name: {"digest": digest, "image_id": first.image_id}}
    did = push(name=name, docker_archive=path)
    assert did["operation"] == "update"
    assert pull(registry, tokens, repository, "1.0")[2] == second.layers
    # The layer that the old image has is not even compressed.
    assert (did["image"]["uploaded"], did["image"]["existing"]) == (2, 1)


def test_a_daemons_archive_may_be_compressed_and_hold_several_images(
    push: Push, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path
) -> None:
    images = {"app:1": image("one"), "app:2": image("two"), "lib:latest": image("three")}
    packed = save(tmp_path / "several.tar.gz", images)
    name = f"{registry.host}/{repository}"
    failed = push(fails=True, name=name, docker_archive=str(packed))
    assert "set source_image to one of app:1, app:2, lib:latest" in failed["msg"]
    failed = push(fails=True, name=name, docker_archive=str(packed), source_image="app:3")
    assert "has no image 'app:3': it has app:1, app:2, lib:latest" in failed["msg"]
    assert push(name=name, docker_archive=str(packed), source_image="app:2")["changed"]
    assert pull(registry, tokens, repository, "latest")[2] == images["app:2"].layers
    assert not push(name=name, docker_archive=str(packed), source_image="app:2")["changed"]
    other = save(tmp_path / "several.tar.xz", images)
    assert (
        push(name=name, docker_archive=str(other), source_image="lib")["image"]["image_id"]
        == images["lib:latest"].image_id
    )


def test_the_same_layer_gives_the_same_digest(
    push: Push, registry: Registry, repository: str, tmp_path: Path, archive: Path
) -> None:
    digests = {
        push(name=f"{registry.host}/{repository}-{number}:1", docker_archive=str(archive), parallel=number)["image"][
            "digest"
        ]
        for number in (1, 3)
    }
    assert len(digests) == 1
    small = push(name=f"{registry.host}/{repository}-3:2", docker_archive=str(archive), compression="small")
    assert small["image"]["size"] > 0


def test_a_layout_keeps_its_digests(
    push: Push,
    registry: Registry,
    tokens: TokenServer,
    repository: str,
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "layout")
    one = image("one", "two")
    descriptor = layout.image(one)
    layout.name(descriptor, "app:1")
    name = f"{registry.host}/{repository}:1"
    would = push(name=name, oci_layout=str(layout.path), check_mode=True)
    did = push(name=name, oci_layout=str(layout.path))
    assert would["diff"] == did["diff"]
    assert did["image"]["digest"] == descriptor["digest"] == pull(registry, tokens, repository, "1")[0]
    assert pull(registry, tokens, repository, "1")[2] == one.layers
    assert not push(name=name, oci_layout=str(layout.path))["changed"]
    assert not push(name=name, docker_archive=str(layout.tar(tmp_path / "layout.tar")))["changed"]


def test_an_index_is_pushed_with_all_platforms_or_one(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "layout")
    parts = [layout.image(image(name, "common", architecture=name)) for name in ("amd64", "arm64")]
    index = layout.index(parts)
    layout.name(index)
    name = f"{proxy.host}/{repository}:1"
    did = push(name=name, oci_layout=str(layout.path))
    assert did["image"]["digest"] == index["digest"]
    assert did["image"]["image_id"] == ""
    digest, manifest, _ = pull(registry, tokens, repository, "1")
    assert digest == index["digest"]
    for part, seed in zip(manifest["manifests"], ("amd64", "arm64"), strict=True):
        assert pull(registry, tokens, repository, part["digest"])[2] == image(seed, "common").layers
    # Two configurations and three layers.
    assert did["image"]["uploaded"] == 5
    proxy.requests.clear()
    assert not push(name=name, oci_layout=str(layout.path))["changed"]
    assert len(proxy.requests) == 2

    only = push(name=f"{proxy.host}/{repository}:arm", oci_layout=str(layout.path), platform="linux/arm64")
    assert only["image"]["digest"] == parts[1]["digest"]
    assert only["image"]["uploaded"] == 0
    failed = push(fails=True, name=name, oci_layout=str(layout.path), platform="linux/s390x")
    assert "has no image for linux/s390x: it has linux/amd64, linux/arm64" in failed["msg"]
    failed = push(fails=True, name=name, oci_layout=str(layout.path), platform="arm")
    assert "platform is 'arm': write it as linux/amd64" in failed["msg"]

    info = push(module="harbor_image_info", name=name)["images"][0]
    assert info["digest"] == index["digest"]
    assert [item["platform"] for item in info["manifests"]] == ["linux/amd64", "linux/arm64"]


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[str]:
    """The address of a Docker daemon that has C(classifier:1.0): a real one, or what answers as it does."""
    path = save(tmp_path / "classifier.tar", {"classifier:1.0": image("classifier", "base")})
    host = os.environ.get("TEST_DOCKER_HOST", "")
    command = ["docker", "--host", host]
    taken = [*command, "image", "inspect", "classifier:1.0"]
    # Whoever has an image of this name keeps it.
    if not host or subprocess.run(taken, check=False, capture_output=True).returncode == 0:
        daemon = Daemon(path, inspected(image("classifier", "base")))
        yield daemon.host
        daemon.close()
        return
    subprocess.run([*command, "load", "--quiet", "--input", path], check=True, capture_output=True)
    yield host
    subprocess.run([*command, "rmi", "classifier:1.0"], check=True, capture_output=True)


@pytest.mark.examples("harbor_image", "harbor_image_info")
def test_examples(push: Push, registry: Registry, docker: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("caddy.tar", "rclone.tar.gz"):
        save(tmp_path / "images" / name, {"": image(name)})
    base = Layout(tmp_path / "base")
    base.name(base.image(image("base")))
    for name in ("base:12", "storage:0.9"):
        push(name=f"{registry.host}/imagine/{name}", oci_layout=str(base.path))
    layout = Layout(tmp_path / "classifier")
    layout.name(layout.index([layout.image(image("new", "base", architecture=one)) for one in ("amd64", "arm64")]))
    logins = tmp_path / "config.json"
    logins.write_text(json.dumps({"auths": {registry.host: {"auth": LOGIN}}}))
    names = {
        "harbor.example.org": registry.host,
        "robot$imagine+ci": "pusher",
        "~/.docker/config.json": str(logins),
        "/srv/images/classifier": str(layout.path),
    }
    tasks = [task for module in ("harbor_image", "harbor_image_info") for task in example_playbook.examples(module)]
    tasks = example_playbook.replaced(tasks, names)
    # Who may pull needs a login here.
    tasks[-2]["imagine.platform.harbor_image_info"]["registry_auth_file"] = str(logins)
    done = example_playbook.twice(
        tmp_path,
        {"REGISTRY_CA_CERT": registry.ca, "DOCKER_HOST": docker},
        tasks,
        (),
        (PASSWORDS["pusher"], LOGIN),
        vars={"vault_harbor_robot_secret": PASSWORDS["pusher"]},
    )
    (found,) = done[tasks[-2]["name"]][0]["images"][0]["manifests"]
    assert found["image_id"] == image("classifier", "base").image_id
    # The layer of the base image was there.
    assert done[tasks[1]["name"]][0]["image"]["mounted"] == 1
    assert [one["operation"] for one in done[tasks[2]["name"]][0]["images"]] == ["create", "create", "delete"]


def test_an_image_of_a_docker_daemon(
    push: Push, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path
) -> None:
    host = os.environ.get("TEST_DOCKER_HOST", "")
    if not host:
        pytest.skip("TEST_DOCKER_HOST is not set")
    one = image("daemon one", "daemon two", "daemon one", label=repository)
    path = save(tmp_path / "image.tar", {"imagine-test/harbor-image:1": one})
    docker = ["docker", "--host", host]
    subprocess.run([*docker, "load", "--quiet", "--input", path], check=True, capture_output=True)
    try:
        options = {"name": f"{registry.host}/{repository}:1", "docker_image": one.image_id, "docker_host": host}
        assert push(**options, check_mode=True)["changed"]
        did = push(**options)
        assert did["image"]["image_id"] == one.image_id
        assert pull(registry, tokens, repository, "1")[2] == one.layers
        assert not push(**options)["changed"]
        assert not push(**options, platform="linux/amd64")["changed"]
        failed = push(fails=True, **options, platform="linux/arm64")
        assert "has no image for linux/arm64: it has linux/amd64" in failed["msg"]
        missing = push(fails=True, **{**options, "docker_image": "imagine-test/missing:1"})
        assert "has no image 'imagine-test/missing:1'" in missing["msg"]
    finally:
        subprocess.run([*docker, "rmi", "imagine-test/harbor-image:1"], check=False, capture_output=True)
    gone = push(fails=True, **{**options, "docker_host": f"unix://{tmp_path}/nothing.sock"})
    assert "cannot be asked for" in gone["msg"]
    assert "check docker_host" in gone["msg"]


# Blobs that need not be sent


def test_blobs_of_another_repository_are_mounted(
    push: Push, proxy: FaultProxy, registry: Registry, repository: str, tmp_path: Path
) -> None:
    base = save(tmp_path / "base.tar", {"": image("one", "two")})
    both = save(tmp_path / "both.tar", {"": image("one", "two", "three")})
    push(name=f"{registry.host}/{repository}/base:1", docker_archive=str(base))

    options = {"docker_archive": str(both)}
    did = push(name=f"{proxy.host}/{repository}/tagged:1", **options, mount_from=[f"{repository}/base:1"])
    assert (did["image"]["mounted"], did["image"]["uploaded"]) == (2, 2)
    # The layers were not compressed to find that out; a repository without tag says less, and mounts as well.
    did = push(name=f"{proxy.host}/{repository}/plain:1", **options, mount_from=[f"{repository}/base"])
    assert (did["image"]["mounted"], did["image"]["uploaded"]) == (2, 2)
    did = push(name=f"{proxy.host}/{repository}/nothing:1", **options, mount_from=[f"{repository}/other:1"])
    assert (did["image"]["mounted"], did["image"]["uploaded"]) == (0, 4)
    for name in ("tagged", "plain", "nothing"):
        assert registry.uploads(f"{repository}/{name}") == []


def test_images_of_one_task_share_their_blobs(push: Push, registry: Registry, repository: str, tmp_path: Path) -> None:
    base = save(tmp_path / "base.tar", {"": image("one", "two")})
    both = save(tmp_path / "both.tar", {"": image("one", "two", "three")})
    images = [
        {"name": f"{registry.host}/{repository}/base:1", "docker_archive": str(base)},
        {"name": f"{registry.host}/{repository}/both:1", "docker_archive": str(both)},
        {"name": f"{registry.host}/{repository}/gone:1", "state": "absent"},
    ]
    did = push(images=images)
    assert [item["operation"] for item in did["images"]] == ["create", "create", "none"]
    assert did["images"][1]["mounted"] == 2
    assert not push(images=images)["changed"]


def test_a_lost_blob_is_found_and_sent_again(
    push: Push, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path
) -> None:
    one = image("lost one", "lost two", label=repository)
    path = str(save(tmp_path / "image.tar", {"": one}))
    name = f"{registry.host}/{repository}:1"
    push(name=name, docker_archive=path)
    lost = pull(registry, tokens, repository, "1")[1]["layers"][0]["digest"]
    registry.lose(lost)
    assert not push(name=name, docker_archive=path)["changed"]
    would = push(name=name, docker_archive=path, check_blobs=True, check_mode=True)
    assert would["diff"]["before"][name]["missing_blobs"] == [lost]
    assert would["diff"]["after"][name]["missing_blobs"] == []
    assert push(name=name, docker_archive=path, check_blobs=True)["image"]["uploaded"] == 1
    assert not push(name=name, docker_archive=path, check_blobs=True)["changed"]
    assert pull(registry, tokens, repository, "1")[2] == one.layers


# Absent


def test_a_tag_is_removed_unless_others_share_its_manifest(
    push: Push, registry: Registry, repository: str, archive: Path
) -> None:
    names = [f"{registry.host}/{repository}:{tag}" for tag in ("1", "2")]
    for name in names:
        push(name=name, docker_archive=str(archive))
    failed = push(fails=True, name=names[0], state="absent")
    assert f"'{names[0]}' cannot be removed alone, because 2 name the same manifest" in failed["msg"]
    push(name=names[1], docker_archive=str(save(archive.parent / "other.tar", {"": image("other")})))
    would = push(name=names[0], state="absent", check_mode=True)
    assert would["operation"] == "delete"
    assert would["diff"]["after"] == {names[0]: {}}
    assert push(name=names[0], state="absent")["operation"] == "delete"
    for check_mode in (True, False):
        again = push(name=names[0], state="absent", check_mode=check_mode)
        assert (again["changed"], again["image"]) == (False, {})
    assert push(name=names[1], state="absent")["changed"]


# Broken connections


@pytest.mark.parametrize("chunk", [0, 1])
def test_an_upload_goes_on_where_the_connection_broke(
    push: Push, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path, chunk: int
) -> None:
    big = image("big", size=8_000_000)
    path = str(save(tmp_path / "image.tar", {"": big}))
    proxy = ResumingProxy(registry)
    try:
        proxy.faults = [
            Fault("PATCH", "uploads", cut_after=800_000, least=10_000),
            Fault("PATCH", "uploads", cut_after=10_000, least=10_000, skip=1),
        ]
        did = push(name=f"{proxy.host}/{repository}:1", docker_archive=path, chunk_size=chunk)
        assert pull(registry, tokens, repository, "1")[2] == big.layers
        assert proxy.sessions == {}
        # What had arrived was not sent again.
        assert proxy.uploaded == did["image"]["uploaded_bytes"] > 4_000_000

        proxy.faults = [Fault("PATCH", "uploads", cut_after=0, times=1000)]
        push(fails=True, name=f"{proxy.host}/{repository}-other:1", docker_archive=path, registry_retries=2)
        assert proxy.sessions == {}
    finally:
        proxy.close()


def test_a_layer_is_sent_again_where_the_registry_kept_nothing(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, tmp_path: Path
) -> None:
    images = image("big", "small", size=2_000_000)
    path = str(save(tmp_path / "image.tar", {"": images}))
    proxy.faults = [Fault("PATCH", "uploads", cut_after=800_000, least=10_000)]
    did = push(name=f"{proxy.host}/{repository}:1", docker_archive=path)
    assert pull(registry, tokens, repository, "1")[2] == images.layers
    assert did["image"]["uploaded_bytes"] < proxy.uploaded < did["image"]["uploaded_bytes"] + 1_000_000


def test_answers_that_are_lost(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, archive: Path
) -> None:
    proxy.faults = [
        Fault("POST", "uploads", lose_answer=True),
        Fault("PATCH", "uploads", lose_answer=True),
        Fault("PUT", "uploads", lose_answer=True),
        Fault("PUT", "manifests", lose_answer=True),
        Fault("HEAD", "blobs", lose_answer=True),
        Fault("GET", "manifests", lose_answer=True, skip=2),
    ]
    push(name=f"{proxy.host}/{repository}:1", docker_archive=str(archive), parallel=1)
    assert pull(registry, tokens, repository, "1")[2] == image("one", "two", "three").layers


def test_a_connection_that_breaks_for_good_leaves_nothing(
    push: Push, proxy: FaultProxy, registry: Registry, repository: str, archive: Path
) -> None:
    name = f"{proxy.host}/{repository}:1"
    proxy.faults = [Fault("PATCH", "uploads", cut_after=0, times=1000)]
    failed = push(fails=True, name=name, docker_archive=str(archive), registry_retries=2)
    assert re.search(r"The connection to 127\.0\.0\.1:\d+ failed while uploading sha256:", failed["msg"])
    assert failed["changed"] is False
    assert push(name=name, state="absent", check_mode=True)["operation"] == "none"
    proxy.faults = []
    assert push(name=name, docker_archive=str(archive))["operation"] == "create"


def test_the_upload_is_forgotten_by_the_registry(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, archive: Path
) -> None:
    def forget() -> None:
        for upload in registry.uploads(repository):
            shutil.rmtree(upload)

    proxy.faults = [Fault("PATCH", "uploads", action=forget)]
    push(name=f"{proxy.host}/{repository}:1", docker_archive=str(archive))
    assert pull(registry, tokens, repository, "1")[2] == image("one", "two", "three").layers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(
    push: Push, proxy: FaultProxy, registry: Registry, tokens: TokenServer, repository: str, archive: Path, status: int
) -> None:
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    html = b"<html><body><h1>Busy</h1></body></html>"
    faults = [("GET", "manifests"), ("HEAD", "blobs"), ("POST", "uploads"), ("PATCH", "uploads"), ("PUT", "")]
    proxy.faults = [Fault(method, path, status, headers, html, times=2) for method, path in faults]
    name = f"{proxy.host}/{repository}:1"
    push(name=name, docker_archive=str(archive))
    assert pull(registry, tokens, repository, "1")[2] == image("one", "two", "three").layers
    proxy.faults = [Fault("GET", "manifests", status, headers, html, times=1000)]
    failed = push(fails=True, name=name, docker_archive=str(archive), registry_retries=1)
    assert f"({status} Busy)" in failed["msg"]
    assert proxy.faults[0].seen == 2


def test_a_slow_registry_is_given_up_in_time(push: Push, proxy: FaultProxy, repository: str, archive: Path) -> None:
    options = {"name": f"{proxy.host}/{repository}:1", "docker_archive": str(archive), "registry_timeout": 1}
    proxy.faults = [Fault("GET", "manifests", delay=3, times=1000)]
    failed = push(fails=True, **options)
    assert "did not answer within 1.0 s while reading" in failed["msg"] or "did not answer within 1 s" in failed["msg"]
    # Never having answered, it is not asked again.
    assert len(proxy.requests) == 1
    proxy.faults = [Fault("PATCH", "uploads", delay=3)]
    assert push(**options)["changed"]


def test_a_token_that_ends_is_renewed(
    push: Push, proxy: FaultProxy, tokens: TokenServer, repository: str, archive: Path
) -> None:
    name = f"{proxy.host}/{repository}:1"
    refusal = {"WWW-Authenticate": f'Bearer realm="{tokens.address}",service="test registry",scope="x"'}
    proxy.faults = [Fault("PATCH|PUT|HEAD", "blobs", 401, refusal, times=1, skip=count) for count in (0, 5)]
    tokens.asked.clear()
    push(name=name, docker_archive=str(archive))
    asked = [scopes for _, scopes in tokens.asked]
    assert len(asked) == 4
    assert set(map(tuple, asked)) == {(f"repository:{repository}:pull",), (f"repository:{repository}:pull,push",)}


def test_requests_run_in_parallel_and_no_more_than_asked(
    push: Push, proxy: FaultProxy, repository: str, tmp_path: Path
) -> None:
    path = str(save(tmp_path / "image.tar", {"": image(*"abcdefgh")}))
    proxy.faults = [Fault("PATCH", "uploads", delay=0.3, times=1000)]
    push(name=f"{proxy.host}/{repository}:1", docker_archive=path, parallel=3)
    assert proxy.most_at_once == 3


# Two at once


def test_somebody_else_pushes_the_same_tag(
    push: Push, proxy: FaultProxy, registry: Registry, run_module: RunModule, repository: str, tmp_path: Path
) -> None:
    name = f"{proxy.host}/{repository}:1"
    path = str(save(tmp_path / "image.tar", {"": image("ours")}))
    theirs = Layout(tmp_path / "theirs")
    theirs.name(theirs.image(image("theirs")))
    push(name=f"{registry.host}/{repository}:2", oci_layout=str(theirs.path))

    def interfere() -> None:
        # A plain request: the module itself cannot run twice in one process.
        shutil.copytree(
            registry.storage / f"repositories/{repository}/_manifests/tags/2",
            registry.storage / f"repositories/{repository}/_manifests/tags/1",
            dirs_exist_ok=True,
        )

    proxy.faults = [Fault("GET", "manifests/1$", action=interfere, skip=2)]
    failed = push(fails=True, name=name, docker_archive=path)
    assert "something else pushes to this tag at the same time" in failed["msg"]
    proxy.faults = []
    assert push(name=name, docker_archive=path)["operation"] == "update"


def playbook(directory: Path, options: dict[str, Any]) -> subprocess.Popen[str]:
    """Start Ansible with one task."""
    path, config = directory / "play.json", directory / "ansible.cfg"
    path.write_text(
        json.dumps(
            [{"hosts": "localhost", "gather_facts": False, "tasks": [{"imagine.platform.harbor_image": options}]}]
        )
    )
    config.write_text("")
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", path]
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).resolve().parents[2] / ".collections"),
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
    )


def test_two_processes_push_the_same_image_and_show_how_far_they_are(
    registry: Registry, proxy: FaultProxy, repository: str, archive: Path, tmp_path: Path
) -> None:
    name = f"{proxy.host}/{repository}:1"
    options = {"name": name, "docker_archive": str(archive), "registry_ca_cert": registry.ca, **PUSHER}
    proxy.faults = [Fault("PATCH", "uploads", delay=7)]
    running = [playbook(tmp_path, options) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert any(
        re.search(rf"^{re.escape(name)}: \d of 3 layers in the registry", text, re.MULTILINE) for text in said
    ), said
    assert PASSWORDS["pusher"] not in "".join(said)


def test_a_push_that_was_killed_is_taken_up(
    push: Push, registry: Registry, proxy: FaultProxy, repository: str, archive: Path, tmp_path: Path
) -> None:
    name = f"{proxy.host}/{repository}:1"
    options = {"name": name, "docker_archive": str(archive), "registry_ca_cert": registry.ca, **PUSHER, "parallel": 1}
    proxy.faults = [Fault("PATCH", "uploads", delay=60, skip=2)]
    process = playbook(tmp_path, options)
    deadline = time.monotonic() + 60
    while proxy.count("PATCH") < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    proxy.faults = []
    did = push(name=name, docker_archive=str(archive))
    assert (did["image"]["existing"], did["image"]["uploaded"]) == (2, 2)


# Logins


def test_logins(push: Push, registry: Registry, repository: str, archive: Path, tmp_path: Path) -> None:
    options = {"name": f"{registry.host}/{repository}:1", "docker_archive": str(archive)}
    nobody = {"registry_username": None, "registry_password": None}
    failed = push(fails=True, **options, registry_password="not it")
    assert "refused (401 wrong user or password)" in failed["msg"]
    assert "registry_username with registry_password is not accepted" in failed["msg"]
    failed = push(fails=True, **options, **nobody)
    assert "registry_password is not set" in failed["msg"]
    failed = push(fails=True, **options, registry_password=None)
    assert "registry_password is not set, but registry_username is: give both" in failed["msg"]
    reader = {"registry_username": "reader", "registry_password": PASSWORDS["reader"]}
    # Reading is enough to see that there is something to do, not for doing it.
    assert push(**options, **reader, check_mode=True)["changed"]
    failed = push(fails=True, **options, **reader)
    assert "is not accepted or lacks the right" in failed["msg"]
    assert registry.uploads(repository) == []

    logins = tmp_path / "config.json"
    logins.write_text(json.dumps({"auths": {registry.host: {"auth": LOGIN}}}))
    assert push(**options, **nobody, registry_auth_file=str(logins))["changed"]
    assert not push(**options, **reader)["changed"]
    logins.write_text(json.dumps({"auths": {registry.host: {"auth": "not base64"}}}))
    failed = push(fails=True, **options, **nobody, registry_auth_file=str(logins))
    assert "cannot be read" in failed["msg"]
    assert "not base64" not in failed["msg"]


def test_the_token_server_answers_rubbish(
    push: Push, registry: Registry, tokens: TokenServer, repository: str, archive: Path
) -> None:
    options = {"name": f"{registry.host}/{repository}:1", "docker_archive": str(archive)}
    try:
        for answer in (b"<html>maintenance</html>", b"[]", b'{"token": 5}', b'{"token": "x", "expires_in": "soon"}'):
            tokens.answer = (200, answer)
            failed = push(fails=True, **options)
            assert "answered with something that is no token" in failed["msg"]
        tokens.answer = (200, b'{"token": "made up"}')
        assert "401" in push(fails=True, **options)["msg"]
    finally:
        tokens.answer = None


def test_basic_authentication_and_none(push: Push, tmp_path: Path, archive: Path) -> None:
    directory = tmp_path / "basic"
    directory.mkdir()
    write_certificates(directory)
    passwords = directory / "htpasswd"
    # bcrypt of "secret": the only form that the registry takes.
    passwords.write_text("user:$2b$04$S.WuldsMhgKA5T5N1hdeNezhm8QCNBo4E.UgykSn21c3p47S64Bua\n")
    registry = start_registry(directory, free_ports(1)[0], None, passwords)
    options = {"name": f"{registry.host}/app:1", "docker_archive": str(archive), "registry_ca_cert": registry.ca}
    try:
        login = {"registry_username": "user", "registry_password": "secret"}
        assert push(**options, **login)["changed"]
        assert not push(**options, **login)["changed"]
        failed = push(fails=True, **options, **{**login, "registry_password": "wrong"})
        assert "is not accepted" in failed["msg"]
    finally:
        registry.close()
    registry = start_registry(directory, free_ports(1)[0], None)
    try:
        nobody = {"registry_username": None, "registry_password": None}
        assert push(**{**options, "name": f"{registry.host}/app:2"}, **nobody)["changed"]
        # A password does no harm where none is asked for.
        assert not push(**{**options, "name": f"{registry.host}/app:2"})["changed"]
    finally:
        registry.close()


# Servers that are not what they should be


def test_servers_that_cannot_be_reached(push: Push, registry: Registry, certificates: Path, archive: Path) -> None:
    options: dict[str, Any] = {"docker_archive": str(archive)}
    closed = free_ports(1)[0]
    failed = push(fails=True, name=f"127.0.0.1:{closed}/app:1", **options)
    assert "Connection refused" in failed["msg"]
    failed = push(
        fails=True, name=f"{registry.host}/app:1", **options, registry_ca_cert=str(certificates / "other-ca.pem")
    )
    assert "check registry_ca_cert" in failed["msg"]
    failed = push(fails=True, name=f"{registry.host}/app:1", **options, registry_plain_http=True)
    assert "speaks TLS: leave out registry_plain_http" in failed["msg"]
    failed = push(fails=True, name="nothing.invalid/app:1", **options)
    assert "check the name of the registry" in failed["msg"]


@pytest.mark.parametrize(
    ("status", "content_type", "body", "words"),
    [
        (200, "text/html", b"<html>Welcome</html>", "something that is no manifest"),
        (200, "application/vnd.oci.image.manifest.v1+json", b'{"layers": ', "something that is no manifest"),
        (200, "application/vnd.oci.image.manifest.v1+json", b'{"layers": [5]}', "something that is no manifest"),
        (200, "application/vnd.oci.image.index.v1+json", b'{"manifests": {}}', "something that is no manifest"),
        (200, "application/json", b'{"layers": []}', "of the type 'application/json'"),
        (301, "text/html", b"", "redirects"),
        (403, "text/html", b"<h1>Forbidden</h1>", "forbids it (403 Forbidden)"),
        (418, "text/plain", b"I am a teapot", "failed (418 I am a teapot)"),
    ],
)
def test_servers_that_answer_rubbish(
    push: Push,
    proxy: FaultProxy,
    repository: str,
    archive: Path,
    status: int,
    content_type: str,
    body: bytes,
    words: str,
) -> None:
    headers = {"Content-Type": content_type, "Location": f"https://{proxy.host}/v2/{repository}/manifests/1"}
    proxy.faults = [Fault("GET", "manifests", status, headers, body, times=1000)]
    failed = push(fails=True, name=f"{proxy.host}/{repository}:1", docker_archive=str(archive), registry_retries=0)
    assert words in failed["msg"]


@pytest.mark.parametrize(
    ("method", "path", "status", "document", "words"),
    [
        (
            "PUT",
            "manifests",
            412,
            {"code": "PRECONDITION", "message": "configured as immutable"},
            "does not let the tag be changed (412 configured as immutable)",
        ),
        (
            "PATCH",
            "uploads",
            403,
            {"code": "DENIED", "message": "adding 1 MiB of storage resource will exceed the configured upper limit"},
            "has no room left for this project",
        ),
        ("POST", "uploads", 403, {"code": "DENIED", "message": "no right"}, "lacks the right"),
        ("POST", "uploads", 404, {"code": "NAME_UNKNOWN", "detail": "no such project"}, "does not have it"),
        ("PATCH", "uploads", 413, {}, "refuses so much in one request"),
        ("POST", "uploads", 202, {}, "did not say where to upload to"),
    ],
)
def test_what_harbor_refuses(
    push: Push,
    proxy: FaultProxy,
    repository: str,
    archive: Path,
    method: str,
    path: str,
    status: int,
    document: Any,
    words: str,
) -> None:
    proxy.faults = [Fault(method, path, status, {}, json.dumps({"errors": [document]}).encode(), times=1000)]
    failed = push(fails=True, name=f"{proxy.host}/{repository}:1", docker_archive=str(archive))
    assert words in failed["msg"]
    for value in document.values():
        if value.islower():
            assert value in failed["msg"]


def test_a_proxy_that_limits_requests(
    push: Push,
    proxy: FaultProxy,
    registry: Registry,
    repository: str,
    tmp_path: Path,
) -> None:
    path = str(save(tmp_path / "image.tar", {"": image("big", size=8_000_000)}))
    push(name=f"{proxy.host}/{repository}:1", docker_archive=path, chunk_size=1)
    assert max(item[2] for item in proxy.requests) == 2**20


# Sources that are not what they should be


def damage(archive: Path, *, cut: int = 0, flip: bytes = b"") -> str:
    content = archive.read_bytes()
    if cut:
        content = content[:cut]
    if flip:
        assert flip in content
        content = content.replace(flip, flip[::-1], 1)
    path = archive.with_name(f"damaged{cut}.tar")
    path.write_bytes(content)
    return str(path)


def test_damaged_archives(push: Push, registry: Registry, repository: str, archive: Path, tmp_path: Path) -> None:
    name = f"{registry.host}/{repository}:1"
    for options, words in (
        ({"docker_archive": str(tmp_path / "missing.tar")}, "cannot be read (No such file or directory)"),
        ({"docker_archive": damage(archive, cut=400_000)}, "is no complete tar archive"),
        ({"docker_archive": damage(archive, flip=b"one says the same")}, "where the configuration says"),
        ({"docker_archive": str(Path(__file__))}, "is no complete tar archive"),
    ):
        failed = push(fails=True, name=name, **options)
        assert words in failed["msg"], failed["msg"]
    packed = save(tmp_path / "image.tar.gz", {"": image("one")})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(packed.read_bytes()[:-1000])
    assert "cannot be unpacked" in push(fails=True, name=name, docker_archive=str(cut))["msg"]


def test_damaged_layouts(push: Push, registry: Registry, repository: str, tmp_path: Path) -> None:
    name = f"{registry.host}/{repository}:1"
    layout = Layout(tmp_path / "layout")
    assert "lacks index.json" in push(fails=True, name=name, oci_layout=str(layout.path))["msg"]
    descriptor = layout.image(image("damaged one", "damaged two"))
    layout.name(descriptor)
    manifest = json.loads(layout.file(descriptor["digest"]).read_bytes())
    blob = layout.file(manifest["layers"][0]["digest"])
    content = blob.read_bytes()
    blob.write_bytes(b"\0" * len(content))
    failed = push(fails=True, name=name, oci_layout=str(layout.path))
    assert f"What the source holds as {manifest['layers'][0]['digest']} is damaged" in failed["msg"]
    blob.write_bytes(content[:-1])
    assert "where the manifest says" in push(fails=True, name=name, oci_layout=str(layout.path))["msg"]
    blob.unlink()
    assert "lacks the blob" in push(fails=True, name=name, oci_layout=str(layout.path))["msg"]
    blob.write_bytes(content)
    layout.file(descriptor["digest"]).write_text("{}")
    assert "holds other content" in push(fails=True, name=name, oci_layout=str(layout.path))["msg"]


def test_options_that_cannot_be_right(push: Push, registry: Registry, tmp_path: Path, archive: Path) -> None:
    good = {"name": f"{registry.host}/app:1", "docker_archive": str(archive)}
    for options, words in (
        ({"name": "app:1"}, "does not begin with a registry"),
        ({"name": f"{registry.host}/App:1"}, "'App' cannot be a repository"),
        ({"name": f"{registry.host}/app:a b"}, "'a b' cannot be a tag"),
        ({"name": f"{registry.host}/äpp:1"}, "cannot be a repository"),
        ({"name": f"{registry.host}/../app:1"}, "cannot be a repository"),
        ({"name": f"{registry.host}/app@sha256:{'0' * 64}"}, "leave out the digest"),
        ({"name": f"{registry.host}/app@sha256:0"}, "is no digest"),
        ({"docker_image": "app"}, "has docker_image and docker_archive"),
        ({"docker_archive": None}, "has no source"),
        ({"parallel": 0}, "parallel is 0"),
        ({"chunk_size": -1}, "chunk_size is -1"),
        ({"work_dir": str(tmp_path / "missing")}, "which is no directory"),
        ({"registry_ca_cert": str(tmp_path / "missing")}, "there is no such file"),
        ({"registry_timeout": 0}, "registry_timeout is 0"),
        ({"registry_retries": -1}, "registry_retries is -1"),
        ({"mount_from": ["Base"]}, "mount_from is"),
        ({"progress_file": str(tmp_path / "missing" / "file")}, "progress_file is"),
        ({"oci_layout": str(archive), "docker_archive": None}, "is no directory"),
        ({"docker_archive": None, "docker_image": "x", "source_image": "y"}, "leave out source_image"),
    ):
        failed = push(fails=True, **{**good, **options})
        assert words in failed["msg"], failed["msg"]
    twice = [{"name": f"{registry.host}/app{tag}", "docker_archive": str(archive)} for tag in ("", ":latest")]
    assert "is listed twice" in push(fails=True, images=twice)["msg"]


def test_progress_is_written(
    push: Push, registry: Registry, proxy: FaultProxy, repository: str, tmp_path: Path
) -> None:
    path = str(save(tmp_path / "image.tar", {"": image(*"abcd")}))
    proxy.faults = [Fault("PATCH", "uploads", delay=0.6, times=1000)]
    progress = tmp_path / "progress"
    name = f"{proxy.host}/{repository}:1"
    push(name=name, docker_archive=path, parallel=1, progress_file=str(progress))
    lines = progress.read_text().splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"{name}: ") for line in lines)
    assert any(re.search(r"[1-3] of 4 layers in the registry, \d+ MB sent after \d+\.\d s", line) for line in lines)
    assert lines[-1].startswith(f"{name}: done, ")


def test_no_more_memory_than_a_few_blocks(registry: Registry, repository: str, tmp_path: Path) -> None:
    big = Image([os.urandom(60_000_000)])
    path = save(tmp_path / "image.tar", {"": big})
    program = (
        "import json, resource, sys\n"
        "from ansible_collections.imagine.platform.plugins.module_utils.images import *\n"
        "from ansible_collections.imagine.platform.plugins.module_utils.oci import *\n"
        "o = json.loads(sys.argv[1])\n"
        "client = RegistryClient(o['host'], Access('pusher', o['password'], ca_cert=o['ca']))\n"
        "pusher = Pusher(client, PushOptions(work_dir=o['work']), Progress(None))\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "pusher.push(parse_reference(o['name']), Archive(o['path'], None, None, o['work']), None, [])\n"
        "print(peak() - before)\n"
    )
    options = {
        "host": registry.host,
        "password": PASSWORDS["pusher"],
        "ca": registry.ca,
        "work": str(tmp_path),
        "name": f"{registry.host}/{repository}:1",
        "path": str(path),
    }
    collections = Path(__file__).resolve().parents[2] / ".collections"
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(collections)},
    )
    assert int(done.stdout) < 24 * 1024, "KiB more than before the push"
