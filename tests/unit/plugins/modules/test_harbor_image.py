# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""harbor_image and harbor_image_info against a registry in this process; the real one is for the integration tests."""

from __future__ import annotations

import errno
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_stand_in import Daemon, inspected
from oci_images import DOCKER_LAYOUTS, Layout, image, save, sha256
from oci_registry import PASSWORDS, Fault, MemoryRegistry

from ansible_collections.imagine.platform.plugins.module_utils import images, oci

Result = dict[str, Any]
Push = Callable[..., Result]
SIZE = 40_000


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    registry = MemoryRegistry()
    yield registry
    registry.close()


@pytest.fixture
def push(run_module: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Push:
    """Run a module; expects success unless C(fails) is set, and that nothing temporary is left."""
    monkeypatch.setattr(oci, "RETRY_SECONDS", 0.001)
    for name in ("DOCKER_HOST", "REGISTRY_AUTH_FILE", "REGISTRY_USERNAME", "REGISTRY_PASSWORD", "REGISTRY_CA_CERT"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()

    def call(fails: bool = False, module: str = "harbor_image", **options: Any) -> Result:
        given = {
            "registry_plain_http": True,
            "registry_username": "pusher",
            "registry_password": PASSWORDS["pusher"],
            **({"work_dir": str(work)} if module == "harbor_image" else {}),
            **options,
        }
        result = run_module(module, **{name: value for name, value in given.items() if value is not None})
        assert bool(result.get("failed")) == fails, result.get("msg", result)
        assert list(work.iterdir()) == []
        return result

    return call


def pulled(registry: MemoryRegistry, name: str) -> list[bytes]:
    """The uncompressed layers of what a tag names."""
    manifest = json.loads(registry.manifests[name][1])
    repository = name.rpartition("/")[0]
    assert sha256(registry.blobs[repository, manifest["config"]["digest"]]) == manifest["config"]["digest"]
    layers = [registry.blobs[repository, item["digest"]] for item in manifest["layers"]]
    assert [len(layer) for layer in layers] == [item["size"] for item in manifest["layers"]]
    return [gzip.decompress(layer) for layer in layers]


# Archives


@pytest.mark.parametrize("form", DOCKER_LAYOUTS)
def test_an_archive(push: Push, registry: MemoryRegistry, tmp_path: Path, form: str) -> None:
    registry.login = "bearer"
    first = image("one", "two", "one", size=SIZE)
    path = save(tmp_path / "image.tar", {"app:1": first}, form)
    options = {"name": f"{registry.host}/app:1", "docker_archive": str(path)}
    would = push(**options, check=True)
    assert would["diff"]["after"][options["name"]] == {"digest": "known after the push", "image_id": first.image_id}
    assert registry.blobs == {}
    did = push(**options)
    assert (did["changed"], did["operation"], did["image"]["uploaded"]) == (True, "create", 3)
    assert pulled(registry, "app/1") == first.layers
    assert did["diff"]["after"][options["name"]]["digest"] == did["image"]["digest"]
    registry.requests.clear()
    again = push(**options)
    assert (again["changed"], again["image"]["digest"]) == (False, did["image"]["digest"])
    # Without a token, for one, with it.
    assert [item[:2] for item in registry.requests] == [
        ["GET", "/v2/app/manifests/1"],
        ["GET", "/token?service=s&scope=repository%3Aapp%3Apull&account=pusher"],
        ["GET", "/v2/app/manifests/1"],
    ]
    second = image("one", "three", size=SIZE)
    save(path, {"app:1": second}, form)
    did = push(**options)
    assert (did["operation"], did["image"]["existing"], did["image"]["uploaded"]) == ("update", 1, 2)
    assert pulled(registry, "app/1") == second.layers


@pytest.mark.parametrize("suffix", ["gz", "xz"])
@pytest.mark.parametrize("library", ["isal", "zlib"])
def test_compressed_archives(
    push: Push, registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, library: str
) -> None:
    if library == "zlib":
        monkeypatch.setattr(images, "ISAL", None)
        monkeypatch.setattr(images, "IGZIP", None)
    one = image("one", size=SIZE)
    path = save(tmp_path / f"image.tar.{suffix}", {"app:1": one, "app:2": image("two", size=SIZE)})
    listed = [
        {"name": f"{registry.host}/app:{tag}", "docker_archive": str(path), "source_image": f"app:{tag}"}
        for tag in ("1", "2")
    ]
    assert [item["operation"] for item in push(images=listed)["images"]] == ["create", "create"]
    assert pulled(registry, "app/1") == one.layers
    assert push(name=f"{registry.host}/app:3", docker_archive=str(path), source_image="app:1", compression="small")[
        "changed"
    ]
    assert pulled(registry, "app/3") == one.layers
    assert not push(images=listed)["changed"]


def test_layers_that_are_compressed_already(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    one = image("one", "two", size=SIZE)
    # Two members of gzip after one another are one file, too.
    packed = [
        gzip.compress(one.layers[0], mtime=0),
        b"".join(gzip.compress(part) for part in (one.layers[1][:9000], one.layers[1][9000:])),
    ]

    def write(config: bytes) -> str:
        path = tmp_path / "image.tar"
        with tarfile.open(path, "w") as archive:
            files = {
                "config.json": config,
                **{f"{sha256(layer)[7:]}.tar.gz": layer for layer in packed},
                "manifest.json": json.dumps(
                    [{"Config": "config.json", "Layers": [f"{sha256(layer)[7:]}.tar.gz" for layer in packed]}]
                ).encode(),
            }
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return str(path)

    push(name=f"{registry.host}/app:1", docker_archive=write(one.config))
    manifest = json.loads(registry.manifests["app/1"][1])
    assert [item["digest"] for item in manifest["layers"]] == [sha256(layer) for layer in packed]
    assert [registry.blobs["app", sha256(layer)] for layer in packed] == packed
    wrong = json.loads(one.config)
    wrong["rootfs"]["diff_ids"][0] = sha256(b"something else")
    failed = push(fails=True, name=f"{registry.host}/app:2", docker_archive=write(json.dumps(wrong).encode()))
    assert "where the configuration says" in failed["msg"]


def test_an_archive_with_a_layout_keeps_its_digests(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    one = image("one", size=SIZE)
    layout = Layout(tmp_path / "layout")
    descriptor = layout.image(one)
    layout.name(descriptor, "app:1")
    manifest = json.loads(layout.file(descriptor["digest"]).read_bytes())
    entry = {
        "Config": f"blobs/sha256/{one.image_id[7:]}",
        "RepoTags": ["app:1"],
        "Layers": [f"blobs/sha256/{item['digest'][7:]}" for item in manifest["layers"]],
    }
    (layout.path / "manifest.json").write_text(json.dumps([entry]))
    path = str(layout.tar(tmp_path / "image.tar"))
    did = push(name=f"{registry.host}/app:1", docker_archive=path)
    assert did["image"]["digest"] == descriptor["digest"]
    assert not push(name=f"{registry.host}/app:1", oci_layout=str(layout.path))["changed"]
    assert not push(name=f"{registry.host}/app:1", docker_archive=path, source_image="app:1")["changed"]


def archive_of(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme": b"hello"}, "has neither manifest.json nor index.json"),
        ({"manifest.json": b"{"}, "is not what 'docker save' writes"),
        ({"manifest.json": b'[{"Config": 5, "Layers": []}]'}, "is not what 'docker save' writes"),
        ({"manifest.json": b"[]"}, "has no image 'x'"),
        ({"manifest.json": b'[{"Config": "x.json", "Layers": []}]'}, "lacks x.json"),
        ({"manifest.json": b'[{"Config": "x.json", "Layers": []}]', "x.json": b"[]"}, "is no JSON object"),
        ({"manifest.json": b'[{"Config": "x.json", "Layers": ["l"]}]', "x.json": b"{}"}, "lacks the layer l"),
        ({"manifest.json": b'[{"Config": "x.json", "Layers": ["l"]}]', "x.json": b"{}", "l": b"1234"}, "lists 0"),
        ({"index.json": b'{"manifests": []}'}, "index.json lists none"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:../x"}]}'}, "has no image 'x'"),
    ],
)
def test_archives_that_are_none(
    push: Push, registry: MemoryRegistry, tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    path = archive_of(tmp_path / "image.tar", files)
    failed = push(fails=True, name=f"{registry.host}/app:1", docker_archive=path, source_image="x")
    assert words in failed["msg"]


def test_archives_that_cannot_be_read(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    name = f"{registry.host}/app:1"
    whole = save(tmp_path / "whole.tar", {"": image("one", size=SIZE)}).read_bytes()
    for content, words in (
        (None, "cannot be read (No such file or directory)"),
        (b"", "is no complete tar archive"),
        (b"rubbish" * 1000, "is no complete tar archive"),
        (whole[:30_000], "is no complete tar archive"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 100, "is compressed with zstd: unpack it first"),
        (gzip.compress(whole)[:-2000], "cannot be unpacked"),
        (b"\x1f\x8b" + b"x" * 100, "cannot be unpacked"),
        (b"\xfd7zXZ\x00" + b"x" * 100, "cannot be unpacked"),
    ):
        path = tmp_path / "image.tar"
        if content is not None:
            path.write_bytes(content)
        failed = push(fails=True, name=name, docker_archive=str(path))
        assert words in failed["msg"], failed["msg"]


def test_a_disk_that_is_full(
    push: Push, registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(save(tmp_path / "image.tar", {"": image("one", size=SIZE)}))
    for code, words in ((errno.ENOSPC, "no room left in"), (errno.EIO, "cannot be pushed (Input/output error)")):

        def full(*args: Any, code: int = code, **options: Any) -> Any:
            raise OSError(code, "Input/output error")

        monkeypatch.setattr(images.tempfile, "mkstemp", full)
        failed = push(fails=True, name=f"{registry.host}/app:1", docker_archive=path)
        assert words in failed["msg"]
        assert registry.manifests == {}


# Layouts


def test_a_layout_for_several_platforms(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    parts = [layout.image(image(name, "common", size=SIZE, architecture=name)) for name in ("amd64", "arm64")]
    inner = layout.index(parts)
    layout.name(inner, "all").name(parts[0], "one")
    name = f"{registry.host}/app:1"
    assert "set source_image to one of all, one" in push(fails=True, name=name, oci_layout=str(layout.path))["msg"]
    missing = push(fails=True, name=name, oci_layout=str(layout.path), source_image="none")
    assert "has no image 'none': it has all, one" in missing["msg"]
    options = {"name": name, "oci_layout": str(layout.path)}
    did = push(**options, source_image="all")
    assert (did["image"]["digest"], did["image"]["image_id"], did["image"]["uploaded"]) == (inner["digest"], "", 5)
    assert "size" not in did["image"]
    assert not push(**options, source_image=inner["digest"])["changed"]
    assert not push(**options, source_image="all", check_blobs=True)["changed"]
    registry.manifests.pop(f"app/{parts[1]['digest']}")
    registry.blobs.pop(("app", image("amd64", "common", size=SIZE, architecture="amd64").image_id))
    would = push(**options, source_image="all", check_blobs=True, check=True)
    assert len(would["diff"]["before"][name]["missing_blobs"]) == 2
    assert push(**options, source_image="all", check_blobs=True)["changed"]
    assert not push(**options, source_image="all", check_blobs=True)["changed"]

    info = push(module="harbor_image_info", names=[name, f"{registry.host}/app:2"], list_tags=True)["images"]
    assert [item["exists"] for item in info] == [True, False]
    assert info[0]["tags"] == ["1"]
    assert [item["platform"] for item in info[0]["manifests"]] == ["linux/amd64", "linux/arm64"]
    assert [item["layers"] for item in info[0]["manifests"]] == [2, 2]
    assert info[0]["manifests"][0]["labels"] == {"label": ""}

    arm = {**options, "name": f"{registry.host}/app:arm", "source_image": "all"}
    assert push(**arm, platform="linux/arm64/v8")["image"]["digest"] == parts[1]["digest"]
    assert not push(**arm, platform="linux/arm64")["changed"]
    failed = push(fails=True, **options, source_image="all", platform="linux/s390x")
    assert "it has linux/amd64, linux/arm64" in failed["msg"]
    failed = push(fails=True, **options, source_image="one", platform="linux/arm64")
    assert "has no image for linux/arm64: it has linux/amd64" in failed["msg"]
    assert "write it as linux/amd64" in push(fails=True, **options, source_image="all", platform="arm")["msg"]


def test_indexes_within_an_index(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    part = layout.image(image("one", size=SIZE, architecture="arm64"))
    inner = {**layout.index([part, part]), "platform": {"os": "linux", "architecture": "arm64"}}
    layout.name(layout.index([inner]))
    push(name=f"{registry.host}/app:1", oci_layout=str(layout.path))
    assert f"app/{part['digest']}" in registry.manifests
    assert f"app/{inner['digest']}" in registry.manifests
    did = push(name=f"{registry.host}/app:2", oci_layout=str(layout.path), platform="linux/arm64")
    assert did["image"]["digest"] == part["digest"]


def test_layouts_that_are_none(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    options = {"name": f"{registry.host}/app:1", "oci_layout": str(tmp_path / "layout")}
    assert "is no directory" in push(fails=True, **options)["msg"]
    layout = Layout(tmp_path / "layout")
    one = layout.image(image("one", size=SIZE))
    index = layout.path / "index.json"

    def failure(content: Any = None) -> str:
        if content is not None:
            index.write_text(content if isinstance(content, str) else json.dumps({"manifests": content}))
        message: str = push(fails=True, **options)["msg"]
        return message

    assert "lacks index.json" in failure()
    assert "is no JSON object" in failure("{")
    assert "holds no image" in failure("{}")
    assert "holds no image" in failure([5])
    assert "names something by the digest" in failure([{"digest": "sha256:../../etc/passwd"}])
    assert "lacks blobs/sha256/" in failure([{"digest": f"sha256:{'0' * 64}"}])
    other = layout.blob(b'{"mediaType": "application/vnd.example"}', "application/vnd.example")
    assert "of the type 'application/vnd.example', which is no image" in failure([other])
    assert "is no JSON object" in failure([layout.blob(b"[]", "")])
    layout.name(one)
    manifest = layout.file(one["digest"])
    content = manifest.read_bytes()
    layer = layout.file(json.loads(content)["layers"][0]["digest"])
    held = layer.read_bytes()
    layer.write_bytes(b"\0" * len(held))
    assert "What the source holds as" in failure()
    layer.write_bytes(held[:-1])
    assert "where the manifest says" in failure()
    layer.unlink()
    assert "lacks the blob" in failure()
    manifest.write_bytes(content + b" ")
    assert "holds other content" in failure()
    manifest.write_bytes(b" " * (images.MOST_JSON + 1))
    assert "which is too large" in failure()
    assert registry.manifests == {}
    assert registry.sessions == {}


def test_a_layout_that_cannot_be_read(
    push: Push, registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "layout")
    layout.name(layout.image(image("one", size=SIZE)))

    def refused(path: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(images.os, "stat", refused)
        patched.setattr(images.os.path, "isfile", lambda path: True)
        patched.setattr(images.os.path, "isdir", lambda path: True)
        with pytest.raises(images.SourceError, match=r"Permission denied: index\.json"):
            images.OciLayout(str(layout.path))


# Docker daemons


@pytest.mark.parametrize("form", DOCKER_LAYOUTS)
def test_a_docker_daemon(push: Push, registry: MemoryRegistry, tmp_path: Path, form: str) -> None:
    one = image("one", "two", "one", size=SIZE)
    daemon = Daemon(save(tmp_path / "image.tar", {"": one}, form), inspected(one))
    try:
        options = {"name": f"{registry.host}/app:1", "docker_image": "app:1", "docker_host": daemon.host}
        assert push(**options, check=True)["changed"]
        # What it is tells enough.
        assert daemon.saved == 0
        push(**options)
        assert pulled(registry, "app/1") == one.layers
        assert not push(**options, platform="linux/amd64")["changed"]
        assert daemon.saved == 1
        failed = push(fails=True, **options, platform="linux/arm64")
        assert "has no image for linux/arm64: it has linux/amd64" in failed["msg"]
        # A new tag beside the old one sends only what is new; the layers are found by their content.
        two = image("one", "three", size=SIZE)
        save(daemon.archive, {"": two}, form)
        daemon.inspected = inspected(two)
        did = push(**{**options, "name": f"{registry.host}/app:2"}, mount_from=["app:1"])
        assert (did["image"]["existing"], did["image"]["uploaded"]) == (1, 2)
        assert pulled(registry, "app/2") == two.layers
        failed = push(fails=True, **{**options, "docker_image": "missing"})
        assert "has no image 'missing' (No such image: missing): build or pull it there" in failed["msg"]
        daemon.cut = 60_000
        failed = push(fails=True, **{**options, "name": f"{registry.host}/other:1"})
        assert "cannot be asked for 'app:1'" in failed["msg"]
    finally:
        daemon.close()
    failed = push(fails=True, **options)
    assert "check docker_host" in failed["msg"]


def test_a_docker_daemon_with_the_image_store_of_containerd(
    push: Push, registry: MemoryRegistry, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "layout")
    part = layout.image(image("one", size=SIZE))
    layout.name(part)
    # The daemon names the image by an index, and holds one of its platforms only.
    for image_id in (part["digest"], f"sha256:{'1' * 64}"):
        seen = {"Id": image_id, "Descriptor": part, "Os": "linux", "Architecture": "amd64"}
        daemon = Daemon(layout.tar(tmp_path / "image.tar"), seen)
        try:
            options = {"name": f"{registry.host}/app:1", "docker_image": "app:1", "docker_host": daemon.host}
            did = push(**options)
            assert did["image"]["digest"] == part["digest"]
            assert not push(**options, check=True)["changed"]
            assert not push(**options)["changed"]
        finally:
            daemon.close()


def test_how_a_docker_daemon_is_reached(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    options = {"name": f"{registry.host}/app:1", "docker_image": "app:1"}
    missing = push(fails=True, **options, docker_ca_cert=str(tmp_path / "missing.pem"))
    assert "docker_ca_cert is" in missing["msg"]
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    files = {name: str(rubbish) for name in ("docker_ca_cert", "docker_client_cert", "docker_client_key")}
    failed = push(fails=True, **options, **files, docker_host="tcp://127.0.0.1:1")
    assert "cannot be asked for 'app:1'" in failed["msg"]
    failed = push(fails=True, **options, docker_host="rubbish://")
    assert "cannot be asked for 'app:1'" in failed["msg"]


def test_without_the_docker_library(push: Push, registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)
    failed = push(fails=True, name=f"{registry.host}/app:1", docker_image="app:1")
    assert "Python library (docker)" in failed["msg"]
    assert "\n" not in failed["msg"]


# Blobs that are there


def test_blobs_are_mounted(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    base = str(save(tmp_path / "base.tar", {"": image("one", "two", size=SIZE)}))
    both = str(save(tmp_path / "both.tar", {"": image("one", "two", "three", size=SIZE)}))
    push(name=f"{registry.host}/base:1", docker_archive=base)
    for number, (others, mounted) in enumerate(
        (
            (["base:1"], 2),
            (["base"], 2),
            ([f"{registry.host}/base:1"], 2),
            (["nothing", "base"], 2),
            (["nothing:1"], 0),
            (None, 0),
        )
    ):
        did = push(name=f"{registry.host}/app{number}:1", docker_archive=both, mount_from=others)
        assert did["image"]["mounted"] == mounted, others
        assert did["image"]["uploaded"] == 4 - mounted
    # Who may not read there uploads instead.
    registry.faults = [Fault("POST", "mount=", 401, times=99)]
    did = push(name=f"{registry.host}/app9:1", docker_archive=both, mount_from=["base:1"])
    assert (did["image"]["mounted"], did["image"]["uploaded"]) == (0, 4)
    registry.faults = [Fault("POST", "mount=", 500, times=99)]
    failed = push(fails=True, name=f"{registry.host}/app10:1", docker_archive=both, mount_from=["base:1"])
    assert "while mounting sha256:" in failed["msg"]
    assert registry.sessions == {}


def test_images_of_one_task_share_blobs(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    base = str(save(tmp_path / "base.tar", {"": image("one", "two", size=SIZE)}))
    listed = [{"name": f"{registry.host}/{name}:1", "docker_archive": base} for name in ("a", "b")]
    did = push(images=listed)
    assert [item["uploaded"] for item in did["images"]] == [3, 0]
    assert [item["mounted"] for item in did["images"]] == [0, 3]


def test_an_image_that_says_little_of_itself(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    # Not all that is in a registry has a configuration that can be understood, or one at all.
    layout = Layout(tmp_path / "layout")
    for content in (b"[]", b"\xff", b'{"rootfs": 5}', b'{"config": 7}'):
        document = {"layers": [layout.blob(b"a blob", "text/plain")], "config": layout.blob(content, "text/plain")}
        layout.entries = []
        layout.name(layout.blob(json.dumps(document).encode(), ""))
        push(name=f"{registry.host}/app:1", oci_layout=str(layout.path))
        info = push(module="harbor_image_info", name=f"{registry.host}/app:1")["images"][0]
        assert (info["manifests"][0]["labels"], info["manifests"][0]["platform"]) == ({}, "")
        path = str(save(tmp_path / "image.tar", {"": image(sha256(content)[-8:], size=SIZE)}))
        assert push(name=f"{registry.host}/app:1", docker_archive=path)["operation"] == "update"
        assert push(name=f"{registry.host}/app:1", oci_layout=str(layout.path))["operation"] == "update"


# Absent


def test_absent(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    path = str(save(tmp_path / "image.tar", {"": image("one", size=SIZE)}))
    names = [f"{registry.host}/app:{tag}" for tag in ("1", "2", "3")]
    for name in names[:2]:
        push(name=name, docker_archive=path)
    push(name=names[2], docker_archive=str(save(tmp_path / "other.tar", {"": image("two", size=SIZE)})))
    failed = push(fails=True, name=names[0], state="absent")
    assert "because 2 name the same manifest" in failed["msg"]
    assert push(name=names[2], state="absent", check=True)["operation"] == "delete"
    assert push(name=names[2], state="absent")["operation"] == "delete"
    for check in (False, True):
        again = push(name=names[2], state="absent", check=check)
        assert (again["changed"], again["operation"], again["image"]) == (False, "none", {})
    assert sorted(name for name in registry.manifests if ":" not in name) == ["app/1", "app/2"]


# Failures on the way


def test_what_was_done_before_a_failure_is_told(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    good = str(save(tmp_path / "image.tar", {"": image("one", size=SIZE)}))
    registry.faults = [Fault("PUT", "/v2/b/manifests", 412, {}, b'{"errors": [{"message": "immutable"}]}')]
    failed = push(
        fails=True,
        images=[
            {"name": f"{registry.host}/a:1", "docker_archive": good},
            {"name": f"{registry.host}/b:1", "docker_archive": good},
        ],
    )
    assert "does not let the tag be changed" in failed["msg"]
    assert failed["changed"]
    assert [item["name"] for item in failed["images"]] == [f"{registry.host}/a:1"]


def test_what_was_pushed_is_looked_at(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    options = {
        "name": f"{registry.host}/app:1",
        "docker_archive": str(save(tmp_path / "image.tar", {"": image("one", size=SIZE)})),
    }
    registry.faults = [Fault("GET", "manifests", action=registry.manifests.clear, skip=1)]
    assert "is gone right after" in push(fails=True, **options)["msg"]
    registry.faults = [Fault("HEAD", "blobs", 404, skip=2)]
    assert "does not hold sha256:" in push(fails=True, **options)["msg"]
    registry.faults = []
    assert not push(**options)["changed"]


def test_one_failure_ends_all(push: Push, registry: MemoryRegistry, tmp_path: Path) -> None:
    path = str(save(tmp_path / "image.tar", {"": image(*"abcdefgh", size=400_000)}))
    registry.faults = [Fault("PATCH", "", 403, {}, b"", skip=1), Fault("PATCH", "", delay=0.2, times=99)]
    failed = push(fails=True, name=f"{registry.host}/app:1", docker_archive=path, parallel=2)
    assert "forbids it" in failed["msg"]
    assert registry.count("PATCH") < 6
    assert registry.sessions == {}


def test_progress(push: Push, registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PROGRESS_SECONDS", 0.0)
    progress = tmp_path / "progress"
    name = f"{registry.host}/app:1"
    path = str(save(tmp_path / "image.tar", {"": image("one", "two", size=SIZE)}))
    push(name=name, docker_archive=path, progress_file=str(progress))
    lines = progress.read_text().splitlines()
    assert any(line.startswith(f"{name}: 2 of 2 layers in the registry, 0 MB sent after ") for line in lines)
    assert lines[-1].startswith(f"{name}: done, 0 MB uploaded, after ")
    failed = push(fails=True, name=name, docker_archive=path, progress_file=str(tmp_path / "missing" / "file"))
    assert "progress_file is" in failed["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "app:1"}, "does not begin with a registry"),
        ({"name": f"r.org/app@sha256:{'0' * 64}"}, "leave out the digest"),
        ({"oci_layout": "/x"}, "has docker_archive and oci_layout"),
        ({"docker_archive": None}, "has no source"),
        ({"docker_archive": None, "docker_image": "x", "source_image": "y"}, "leave out source_image"),
        ({"parallel": 0}, "parallel is 0"),
        ({"chunk_size": -1}, "chunk_size is -1"),
        ({"work_dir": "/nowhere"}, "make it first"),
        ({"registry_password": None}, "registry_password is not set"),
        ({"mount_from": ["A"]}, "mount_from is 'r.org/A'"),
        ({"name": None, "images": [{"name": "r.org/a", "docker_archive": "/x"}] * 2}, "is listed twice"),
        (
            {"name": None, "images": [{"name": f"r.org/a{tag}", "docker_archive": "/x"} for tag in ("", ":latest")]},
            "is listed twice",
        ),
        ({"registry_ca_cert": "/nowhere"}, "there is no such file"),
    ],
)
def test_options(push: Push, options: dict[str, Any], words: str) -> None:
    given = {"name": "r.org/app:1", "docker_archive": "/x", **options}
    if given["name"] is None:
        given["docker_archive"] = None
    assert words in push(fails=True, **given)["msg"]


def test_options_of_the_info(push: Push, registry: MemoryRegistry) -> None:
    assert "names is empty" in push(fails=True, module="harbor_image_info", names=[])["msg"]
    assert "does not begin" in push(fails=True, module="harbor_image_info", names=["x"])["msg"]
    registry.faults = [Fault("GET", "manifests", 200, {"Content-Type": "text/html"}, b"<html>Hello</html>")]
    failed = push(fails=True, module="harbor_image_info", name=f"{registry.host}/app:1")
    assert "is no manifest" in failed["msg"]


def test_a_machine_without_requests(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci, "REQUESTS_IMPORT_ERROR", "No module named requests")
    assert "requests" in push(fails=True, name="r.org/app:1", docker_archive="/x")["msg"]
