# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Raft, autopilot, gossip keys and snapshots of three real servers."""

from __future__ import annotations

import base64
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def healthy(cluster: Any, servers: Any, eventually: Any) -> Iterator[Any]:
    """Run a module against servers that are all there; whatever a test kills is started again."""

    def restore() -> None:
        for server in cluster.servers:
            if server.process is None:
                server.start()
        eventually(lambda: servers("nomad_server_info")["failure_tolerance"] == 1, 90)

    restore()
    yield servers
    restore()


@pytest.fixture
def patient(healthy: Any) -> Iterator[Any]:
    """Autopilot leaves dead servers alone."""
    healthy("nomad_autopilot_config", cleanup_dead_servers=False)
    yield healthy
    healthy("nomad_autopilot_config", server=1, cleanup_dead_servers=True)


def new_key(size: int = 32) -> str:
    return base64.b64encode(os.urandom(size)).decode()


def fingerprints(result: dict[str, Any]) -> dict[str, int]:
    return {one["fingerprint"]: one["servers"] for one in result["keys"]}


def index_of_leader(servers: Any) -> int:
    leader = next(one for one in servers("nomad_server_info")["servers"] if one["leader"])
    return int(leader["name"].partition(".")[0].rpartition("-")[2])


def test_info(healthy: Any) -> None:
    result = healthy("nomad_server_info")
    assert (result["healthy"], result["failure_tolerance"], result["voters"]) == (True, 1, 3)
    assert [one["name"] for one in result["servers"]] == [f"server-{number}.global" for number in range(3)]
    assert sum(one["leader"] for one in result["servers"]) == 1
    assert result["leader"] in [one["name"] for one in result["servers"]]
    for one in result["servers"]:
        assert (one["voter"], one["in_raft"], one["gossip"], one["healthy"]) == (True, True, "alive", True)
        assert one["datacenter"] == "ifca"
        assert one["version"].startswith("1.")
        assert one["last_contact"].endswith("s")
    assert result["autopilot"]["max_trailing_logs"] == 250


def test_autopilot_configuration(healthy: Any) -> None:
    before = healthy("nomad_autopilot_config")
    assert before["changed"] is False
    for option, value, other, shown in (
        ("cleanup_dead_servers", False, True, False),
        ("last_contact_threshold", "1500ms", "2s", "1s500ms"),
        ("max_trailing_logs", 500, 250, 500),
        ("min_quorum", 3, 0, 3),
        ("server_stabilization_time", "1m", "10s", "1m"),
    ):
        planned = healthy("nomad_autopilot_config", **{option: value}, check_mode=True)
        assert healthy("nomad_autopilot_config")["autopilot_config"] == before["autopilot_config"]
        done = healthy("nomad_autopilot_config", **{option: value})
        assert (planned["changed"], planned["diff"]) == (True, done["diff"])
        assert done["diff"]["after"] == {**before["autopilot_config"], option: shown}
        assert healthy("nomad_autopilot_config", **{option: value})["changed"] is False
        assert healthy("nomad_server_info")["autopilot"][option] == shown
        assert healthy("nomad_autopilot_config", **{option: other})["changed"] is True
    for options, words in (
        ({"last_contact_threshold": "fast"}, "is no duration"),
        ({"server_stabilization_time": "0s"}, "is no duration"),
        ({"min_quorum": -1}, "not negative"),
        ({"min_quorum": 1, "nomad_token": str(uuid.uuid4())}, "give a token that may do this"),
    ):
        assert words in healthy("nomad_autopilot_config", fails=True, **options)["msg"]


def test_autopilot_configuration_that_others_write(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imagine.platform.plugins.modules import nomad_autopilot_config as module

    original: Callable[[Any], Any] = module.read_autopilot
    rivals = [1, 2]

    def read(client: Any) -> Any:
        found = original(client)
        if rivals:
            body = {**found, "MaxTrailingLogs": 300 + rivals.pop()}
            client.put(module.AUTOPILOT_PATH, "writing as somebody else", body)
        return found

    monkeypatch.setattr(module, "read_autopilot", read)
    done = healthy("nomad_autopilot_config", min_quorum=2)
    assert done["diff"]["before"]["max_trailing_logs"] == 301
    assert done["autopilot_config"]["max_trailing_logs"] == 301
    rivals[:] = [1, 2, 3]
    assert "changed by somebody else 3 times" in healthy("nomad_autopilot_config", fails=True, min_quorum=1)["msg"]
    monkeypatch.undo()
    healthy("nomad_autopilot_config", min_quorum=0, max_trailing_logs=250)


def test_transfer_of_leadership(healthy: Any) -> None:
    for _attempt in range(2):
        old = index_of_leader(healthy)
        target = (old + 1) % 3
        options = {"name": f"server-{target}", "state": "leader"}
        planned = healthy("nomad_server", **options, check_mode=True)
        assert index_of_leader(healthy) == old
        done = healthy("nomad_server", **options)
        assert (planned["operation"], done["operation"], planned["diff"]) == ("transfer", "transfer", done["diff"])
        assert done["diff"] == {
            "before": {"leader": f"server-{old}.global"},
            "after": {"leader": f"server-{target}.global"},
        }
        assert index_of_leader(healthy) == target
        for check_mode in (True, False):
            assert healthy("nomad_server", **options, check_mode=check_mode)["changed"] is False
    unknown = healthy("nomad_server", fails=True, name="größe/1 ?&", state="leader")
    assert "There is no server 'größe/1 ?&' (known: server-0.global" in unknown["msg"]


def test_removal_of_what_is_needed(healthy: Any) -> None:
    leader = index_of_leader(healthy)
    other = (leader + 1) % 3
    for name, words in ((f"server-{leader}", "it is the leader"), (f"server-{other}.global", "it is alive")):
        for check_mode in (True, False):
            result = healthy("nomad_server", fails=True, name=name, state="absent", check_mode=check_mode)
            assert words in result["msg"]
    assert healthy("nomad_server", name="server-9", state="absent")["changed"] is False
    assert healthy("nomad_server_info")["voters"] == 3


def test_removal_of_a_dead_server(patient: Any, cluster: Any, eventually: Any) -> None:
    leader = index_of_leader(patient)
    dead, left = (leader + 1) % 3, (leader + 2) % 3
    cluster.servers[dead].kill()

    def ask(module: str, /, **options: Any) -> Any:
        return patient(module, server=leader, **options)

    def seen(number: int) -> Any:
        return next(one for one in ask("nomad_server_info")["servers"] if one["name"] == f"server-{number}.global")

    eventually(lambda: seen(dead)["gossip"] == "failed", 60)
    eventually(lambda: not seen(dead)["healthy"], 60)
    info = ask("nomad_server_info")
    assert (info["healthy"], info["failure_tolerance"], info["voters"]) == (False, 0, 3)
    assert "is not alive (failed)" in ask("nomad_server", fails=True, name=f"server-{dead}", state="leader")["msg"]
    # A living one may not go either: half of what is left would be dead.
    risky = ask("nomad_server", fails=True, name=f"server-{left}", state="absent")
    assert "1 of the 2 voters left would be alive, fewer than the 2 of a majority" in risky["msg"]
    # Nor do the gossip keys change without it.
    refused = ask("nomad_gossip_keyring", fails=True, key=new_key())
    assert f"not all servers are alive (server-{dead}.global)" in refused["msg"]

    planned = ask("nomad_server", name=seen(dead)["address"], state="absent", check_mode=True)
    assert (planned["operation"], ask("nomad_server_info")["voters"]) == ("delete", 3)
    done = ask("nomad_server", name=seen(dead)["id"], state="absent")
    assert (done["operation"], done["server"]["gossip"], done["diff"]["after"]) == ("delete", "failed", {})
    assert done["diff"] == planned["diff"]
    info = ask("nomad_server_info")
    assert info["voters"] == 2
    for check_mode in (True, False):
        again = ask("nomad_server", name=f"server-{dead}", state="absent", check_mode=check_mode)
        assert (again["changed"], again["operation"]) == (False, "none")

    # It joins again when it starts.
    cluster.servers[dead].start()
    eventually(lambda: ask("nomad_server_info")["failure_tolerance"] == 1, 90)


def test_gossip_keys_step_by_step(healthy: Any) -> None:
    (old,) = healthy("nomad_gossip_keyring_info", return_keys=True)["keys"]
    key = new_key(16)
    planned = healthy("nomad_gossip_keyring", key=key, check_mode=True)
    assert healthy("nomad_gossip_keyring_info")["keys"] == [{"fingerprint": old["fingerprint"], "servers": 3}]
    done = healthy("nomad_gossip_keyring", key=key)
    assert [step["action"] for step in done["steps"]] == ["install"]
    assert (planned["steps"], planned["diff"], planned["keys"]) == (done["steps"], done["diff"], done["keys"])
    assert set(fingerprints(done).values()) == {3}
    assert len(done["keys"]) == 2
    for secret in (key, old["key"]):
        assert secret not in done["_output"]
    for check_mode in (True, False):
        assert healthy("nomad_gossip_keyring", key=key, check_mode=check_mode)["changed"] is False

    refused = healthy("nomad_gossip_keyring", fails=True, key=old["key"], state="absent")
    assert "it is the primary key" in refused["msg"]
    used = healthy("nomad_gossip_keyring", key=key, state="primary", server=1)
    assert [step["action"] for step in used["steps"]] == ["use"]
    removed = healthy("nomad_gossip_keyring", key=old["key"], state="absent", server=2)
    assert (removed["changed"], len(removed["keys"])) == (True, 1)
    assert healthy("nomad_gossip_keyring", key=old["key"], state="absent")["changed"] is False
    assert healthy("nomad_gossip_keyring", key=key, state="primary")["changed"] is False
    only = healthy("nomad_gossip_keyring_info", compare=key)
    assert (only["installed"], only["only"], only["servers"]) == (True, True, 3)
    assert healthy("nomad_gossip_keyring_info", compare=old["key"])["installed"] is False
    alone = healthy("nomad_gossip_keyring", fails=True, key=key, state="absent")
    assert "it is the only one" in alone["msg"]


def test_rotation_of_gossip_keys_goes_on_where_it_stopped(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imagine.platform.plugins.module_utils import nomad_servers

    key = new_key()
    planned = healthy("nomad_gossip_keyring", key=key, state="only", check_mode=True)
    assert [step["action"] for step in planned["steps"]] == ["install", "use", "remove"]

    def fail(self: Any, key: str) -> None:
        raise nomad_servers.NomadError("The connection broke.")

    for method, done in (("use", ["install"]), ("remove", ["use"])):
        with monkeypatch.context() as patch:
            patch.setattr(nomad_servers.Keyring, method, fail)
            result = healthy("nomad_gossip_keyring", fails=True, key=key, state="only")
        assert [step["action"] for step in result["steps"]] == done
        assert result["changed"] is True
    rest = healthy("nomad_gossip_keyring", key=key, state="only")
    assert [step["action"] for step in rest["steps"]] == ["use", "remove"]
    assert len(rest["keys"]) == 1
    for check_mode in (True, False):
        assert healthy("nomad_gossip_keyring", key=key, state="only", check_mode=check_mode)["changed"] is False
    assert healthy("nomad_server_info")["healthy"] is True


def test_mistakes_with_gossip_keys(healthy: Any, nomad_agent: Any) -> None:
    for key in ("hunter2", "", "größe", base64.b64encode(b"short").decode()):
        assert "is no gossip key" in healthy("nomad_gossip_keyring", fails=True, key=key)["msg"]
    for options, words in (
        ({"nomad_token": str(uuid.uuid4())}, "give a token that may do this"),
        ({"nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
    ):
        assert words in healthy("nomad_gossip_keyring", fails=True, key=new_key(), **options)["msg"]
        assert words in healthy("nomad_gossip_keyring_info", fails=True, **options)["msg"]


def test_snapshots(healthy: Any, tmp_path: Path) -> None:
    path = tmp_path / "größe 1.snap"
    options = {"path": str(path)}
    healthy("nomad_namespace", name="before")
    planned = healthy("nomad_snapshot", **options, check_mode=True)
    assert (planned["changed"], planned["snapshot"], path.exists()) == (True, {}, False)
    saved = healthy("nomad_snapshot", **options)
    assert saved["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert saved["snapshot"]["size"] == path.stat().st_size
    assert saved["snapshot"]["index"] > 0
    assert list(tmp_path.iterdir()) == [path]
    kept = healthy("nomad_snapshot", **options, overwrite=False)
    assert (kept["changed"], kept["snapshot"]) == (False, saved["snapshot"])
    path.chmod(0o644)
    again = healthy("nomad_snapshot", **options)
    assert (again["changed"], stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)
    assert again["diff"]["before"] == {"sha256": saved["snapshot"]["sha256"]}

    healthy("nomad_namespace", name="after")
    refused = healthy("nomad_snapshot", fails=True, action="restore", **options)
    assert "confirm is not set" in refused["msg"]
    restore = {"action": "restore", "confirm": True, **options}
    planned = healthy("nomad_snapshot", **restore, check_mode=True)
    assert planned["changed"] is True
    assert healthy("nomad_namespace", name="after", check_mode=True)["changed"] is False
    done = healthy("nomad_snapshot", **restore)
    assert done["diff"] == planned["diff"]
    assert done["snapshot"]["index"] == again["snapshot"]["index"]
    assert healthy("nomad_namespace", name="before", check_mode=True)["changed"] is False
    assert healthy("nomad_namespace", name="after", check_mode=True)["changed"] is True


def test_damaged_snapshots_never_reach_the_servers(healthy: Any, tmp_path: Path) -> None:
    whole = tmp_path / "whole.snap"
    healthy("nomad_snapshot", path=str(whole))
    content = whole.read_bytes()
    for number, (damaged, words) in enumerate(
        [
            (content[: len(content) // 2], "no undamaged snapshot"),
            (b"<html>", "no undamaged snapshot"),
            (b"", "no undamaged snapshot"),
        ]
    ):
        path = tmp_path / f"damaged-{number}"
        path.write_bytes(damaged)
        for options in ({"action": "restore", "confirm": True}, {"overwrite": False}):
            assert words in healthy("nomad_snapshot", fails=True, path=str(path), **options)["msg"]
    for options, words in (
        ({"path": "relative"}, "is not absolute"),
        ({"path": str(tmp_path)}, "which is a directory"),
        ({"path": str(tmp_path / "no" / "x")}, "there is no directory"),
        ({"path": str(tmp_path / "missing"), "action": "restore", "confirm": True}, "No such file"),
        ({"path": str(whole), "timeout": 0}, "timeout is 0"),
        ({"path": str(whole), "nomad_token": str(uuid.uuid4())}, "give a token that may do this"),
        ({"path": str(whole), "nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
    ):
        result = healthy("nomad_snapshot", fails=True, **options)
        assert words in result["msg"] or words in result["msg"].replace(str(tmp_path), "")
        assert "Traceback" not in result["_output"]
    # What was there stays until something better is complete.
    assert whole.read_bytes() == content
