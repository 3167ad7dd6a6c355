# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.release import ReleaseError, identity
from ansible_collections.imagine.platform.plugins.modules import release_install


class Node:
    """A node in a directory, with the two calls that the action plugin makes."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.directory = path / "opt"
        self.link = path / "bin" / "consul"
        self.processes: dict[str, set[str]] = {}
        monkeypatch.setattr(release_install, "processes_below", lambda _directory: self.processes)

    def artifact(self, version: str, says: str | None = None) -> dict[str, Any]:
        content = f"#!/bin/sh\necho Consul v{says or version}\n"
        files = [{"name": "consul", "sha256": hashlib.sha256(content.encode()).hexdigest()}]
        (self.path / f"staged-{version}").write_text(content)
        return {
            "version": version,
            "identity": identity(version, files),
            "files": files,
            "links": {str(self.link): "consul"},
            "version_arguments": ["version"],
            "service_argument": "agent",
        }

    def call(self, artifact: dict[str, Any], staged: Any = None, check: bool = False) -> dict[str, Any]:
        params = {"artifacts": {"consul": artifact}, "directory": str(self.directory), "keep": 2, "staged": staged}
        module: Any = SimpleNamespace(params=params, check_mode=check)
        return release_install.run(module)

    def install(self, artifact: dict[str, Any]) -> dict[str, Any]:
        answer = self.call(artifact)
        if answer.get("missing"):
            answer = self.call(artifact, {"consul": {"consul": str(self.path / f"staged-{artifact['version']}")}})
        return answer


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_a_node_asks_first_and_then_installs(node: Node) -> None:
    artifact = node.artifact("1.22.6")
    assert node.call(artifact) == {"changed": False, "missing": ["consul"]}
    assert not node.directory.exists()
    answer = node.install(artifact)
    assert answer["changed"]
    assert answer["installed"] == [{"product": "consul", "version": "1.22.6", "previous": None}]
    assert node.link.resolve() == node.directory / "consul" / artifact["identity"] / "consul"
    again = node.call(artifact)
    assert not again["changed"]
    assert "missing" not in again
    assert again["ansible_facts"]["imagine_release"]["consul"]["changed"] is False


def test_check_mode_tells_the_change_and_makes_none(node: Node) -> None:
    artifact = node.artifact("1.22.6")
    answer = node.call(artifact, check=True)
    assert answer["changed"]
    assert answer["diff"] == {"before": "consul absent\n", "after": f"consul {artifact['identity']}\n"}
    assert not node.directory.exists()
    node.install(artifact)
    assert not node.call(artifact, check=True)["changed"]


def test_check_mode_without_files_compares_the_version(node: Node) -> None:
    node.install(node.artifact("1.22.6"))
    unknown = {**node.artifact("1.22.6"), "identity": None, "files": []}
    assert not node.call(unknown, check=True)["changed"]
    assert node.call({**unknown, "version": "1.22.7"}, check=True)["changed"]


def test_an_upgrade_keeps_what_was_there(node: Node) -> None:
    old, new = node.artifact("1.22.5"), node.artifact("1.22.6")
    node.install(old)
    answer = node.install(new)
    assert answer["installed"] == [{"product": "consul", "version": "1.22.6", "previous": "1.22.5"}]
    assert (node.directory / "consul" / old["identity"] / "consul").exists()
    # Back again: nothing is missing, the link alone changes.
    back = node.call(old)
    assert back["changed"]
    assert "missing" not in back
    assert old["identity"] in os.readlink(node.link)


def test_old_sets_are_pruned_except_those_in_use(node: Node) -> None:
    made = [node.artifact(f"1.22.{patch}") for patch in range(6)]
    first = node.directory / "consul" / made[0]["identity"]
    node.processes = {str(first / "consul"): {"logmon"}}
    for number, artifact in enumerate(made):
        node.install(artifact)
        os.utime(node.directory / "consul" / artifact["identity"], (number, number))
    names = {name for name in os.listdir(node.directory / "consul") if not name.startswith(".")}
    assert names == {made[number]["identity"] for number in (0, 3, 4, 5)}
    records = {name for name in os.listdir(node.directory / "consul") if name.endswith(".json")}
    assert records == {f".{name}.json" for name in names}


def test_restart_is_needed_until_the_service_runs_what_is_installed(node: Node) -> None:
    old, new = node.artifact("1.22.5"), node.artifact("1.22.6")
    node.install(old)

    def restart_needed(artifact: dict[str, Any]) -> bool:
        return bool(node.install(artifact)["ansible_facts"]["imagine_release"]["consul"]["restart_needed"])

    assert restart_needed(new) is False, "nothing runs"
    node.processes = {str(node.directory / "consul" / old["identity"] / "consul"): {"agent"}}
    assert restart_needed(new) is True
    assert restart_needed(new) is True, "also in a later run that changes nothing"
    node.processes = {str(node.directory / "consul" / old["identity"] / "consul"): {"docker_logger"}}
    assert restart_needed(new) is False, "helpers outlive the agent on purpose"
    node.processes = {str(node.directory / "consul" / new["identity"] / "consul"): {"agent"}}
    assert restart_needed(new) is False


def test_damaged_files_are_repaired_in_place(node: Node) -> None:
    artifact = node.artifact("1.22.6")
    node.install(artifact)
    path = node.directory / "consul" / artifact["identity"] / "consul"
    path.write_text("damaged")
    node.artifact("1.22.6")
    assert node.call(artifact)["missing"] == ["consul"]
    assert node.install(artifact)["changed"]
    assert path.read_text().startswith("#!/bin/sh")
    assert not node.call(artifact)["changed"]


def test_a_directory_without_record_is_installed_again(node: Node) -> None:
    artifact = node.artifact("1.22.6")
    node.install(artifact)
    (node.directory / "consul" / f".{artifact['identity']}.json").unlink()  # the run was killed before it was written
    node.artifact("1.22.6")
    assert node.install(artifact)["changed"]
    assert not node.call(artifact)["changed"]


@pytest.mark.parametrize("wrong", ["version", "content"])
def test_a_wrong_file_changes_nothing(node: Node, wrong: str) -> None:
    good = node.artifact("1.22.5")
    node.install(good)
    bad = node.artifact("1.22.6", says="1.22.7" if wrong == "version" else None)
    if wrong == "content":
        (node.path / "staged-1.22.6").write_text("something else")
    with pytest.raises(ReleaseError, match="instead of"):
        node.install(bad)
    assert good["identity"] in os.readlink(node.link)
    assert [name for name in os.listdir(node.directory / "consul") if "1.22.6" in name or "partial" in name] == []


def test_what_a_killed_run_left_is_cleared(node: Node) -> None:
    left = node.directory / "consul" / ".partial-abc"
    left.mkdir(parents=True)
    node.install(node.artifact("1.22.6"))
    assert not left.exists()


def test_a_foreign_directory_is_not_replaced(node: Node) -> None:
    node.link.mkdir(parents=True)
    artifact = node.artifact("1.22.6")
    (node.link / "mine").touch()
    with pytest.raises(ReleaseError, match="is a directory with files that this collection did not install"):
        node.call(artifact)
    (node.link / "mine").unlink()
    assert node.install(artifact)["changed"]
    assert node.link.is_symlink()


def test_processes_below_reads_executable_and_first_argument(tmp_path: Path) -> None:
    for pid, target, arguments in (
        ("10", "/opt/imagine/nomad/1.10.5-abc/nomad (deleted)", b"/usr/local/bin/nomad\0agent\0-config\0"),
        ("11", "/opt/imagine/traefik/3.7.15-abc/traefik", b"traefik\0"),
        ("12", "/usr/bin/python3", b"python3\0agent\0"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "exe").symlink_to(target)
        (tmp_path / pid / "cmdline").write_bytes(arguments)
    (tmp_path / "13").mkdir()
    (tmp_path / "self").mkdir()
    assert release_install.processes_below("/opt/imagine", str(tmp_path)) == {
        "/opt/imagine/nomad/1.10.5-abc/nomad": {"agent"},
        "/opt/imagine/traefik/3.7.15-abc/traefik": {""},
    }
