# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Connection, configuration entries and snapshots against a real Consul."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

KIND = {"kind": "service-defaults"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"consul_token": str(uuid.UUID(int=1))}, "ACL not found"),
        ({"consul_token": ""}, "consul_token is not set"),
        ({"consul_ca_cert": "other-ca.pem"}, "TLS"),
        ({"consul_ca_cert": "missing.pem"}, "no such file"),
        ({"consul_address": "ftp://127.0.0.1"}, "no HTTP address"),
        ({"consul_address": "https://127.0.0.1:99999"}, "no HTTP address"),
        ({"consul_address": "https://127.0.0.1:1"}, "Connection refused"),
        ({"consul_address": "https://consul.invalid:8501"}, "Cannot connect"),
        ({"consul_client_cert": "cert.pem"}, "consul_client_key is not set"),
        ({"consul_timeout": 0}, "consul_timeout is 0"),
        ({"consul_namespace": "team"}, "Enterprise"),
        ({"consul_datacenter": "nowhere"}, "No path to datacenter"),
    ],
)
def test_each_way_not_to_reach_consul_has_its_sentence(
    consul: Any, consul_agent: Any, transport: str, options: dict[str, Any], words: str
) -> None:
    files = {
        name: str(consul_agent.directory / value) if str(value).endswith(".pem") else value
        for name, value in options.items()
    }
    result = consul("consul_config_entry", fails=True, **KIND, name="x", state="present", **files)
    assert words in result["msg"], result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["_output"]
    assert consul_agent.token not in result["_output"]


def test_plain_http_on_a_tls_port(consul: Any, consul_agent: Any, transport: str) -> None:
    address = consul_agent.address.replace("https", "http")
    result = consul("consul_peering_info", fails=True, consul_address=address)
    assert "write it with https://" in result["msg"]


def test_client_certificate_and_environment(
    consul: Any, consul_agent: Any, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory: Path = consul_agent.directory
    consul(
        "consul_peering_info",
        consul_client_cert=str(directory / "cert.pem"),
        consul_client_key=str(directory / "key.pem"),
        consul_address=f"{consul_agent.address}/",
    )


def test_config_entry_life(consul: Any, transport: str) -> None:
    name = f"life-{transport}"
    wanted: dict[str, Any] = {**KIND, "name": name, "config": {"Protocol": "http", "Meta": {"vo": "imagine"}}}
    planned = consul("consul_config_entry", **wanted, check_mode=True)
    assert (planned["changed"], planned["operation"]) == (True, "create")
    made = consul("consul_config_entry", **wanted)
    assert made["operation"] == "create"
    assert made["diff"] == planned["diff"]
    assert made["diff"]["after"][f"service-defaults/{name}"] == {"config": wanted["config"]}
    for check_mode in (True, False):
        again = consul("consul_config_entry", **wanted, check_mode=check_mode)
        assert (again["changed"], again["operation"]) == (False, "none")

    # What is not given is kept; null removes.
    changed = consul("consul_config_entry", **KIND, name=name, config={"MeshGateway": {"Mode": "local"}})
    assert changed["operation"] == "update"
    assert changed["config_entry"]["config"]["Protocol"] == "http"
    assert changed["config_entry"]["config"]["MeshGateway"] == {"Mode": "local"}
    merged = consul("consul_config_entry", **KIND, name=name, config={"Meta": {"site": "ifca", "vo": None}})
    assert merged["config_entry"]["config"]["Meta"] == {"site": "ifca"}
    assert consul("consul_config_entry", **KIND, name=name, config={"Meta": None})["operation"] == "update"
    assert consul("consul_config_entry", **KIND, name=name, config={"Meta": None})["changed"] is False
    assert consul("consul_config_entry", **KIND, name=name, config={"Protocol": "http"})["changed"] is False
    assert consul("consul_config_entry", **KIND, name=name)["changed"] is False

    found = consul("consul_config_entry_info", **KIND, names=[name])["config_entries"]
    assert [(one["name"], one["config"]["Protocol"]) for one in found] == [(name, "http")]
    assert name in [one["name"] for one in consul("consul_config_entry_info", **KIND)["config_entries"]]
    assert consul("consul_config_entry_info", **KIND, names=["ghost"])["config_entries"] == []
    assert consul("consul_config_entry_info", **KIND, names=[])["config_entries"] == []

    assert consul("consul_config_entry", **KIND, name=name, state="absent", check_mode=True)["operation"] == "delete"
    assert consul("consul_config_entry", **KIND, name=name, state="absent")["operation"] == "delete"
    assert consul("consul_config_entry", **KIND, name=name, state="absent")["changed"] is False


def test_config_entries_of_other_kinds(consul: Any) -> None:
    entries: list[dict[str, Any]] = [
        {"kind": "proxy-defaults", "name": "global", "config": {"Config": {"protocol": "http", "x": False}}},
        {"kind": "mesh", "name": "mesh", "config": {"TransparentProxy": {"MeshDestinationsOnly": True}}},
        {"kind": "service-resolver", "name": "web", "config": {"ConnectTimeout": "90s"}},
        {
            "kind": "service-intentions",
            "name": "web",
            "config": {"Sources": [{"Name": "dashboard", "Action": "allow"}, {"Name": "*", "Action": "deny"}]},
        },
        {
            "kind": "jwt-provider",
            "name": "egi",
            "config": {
                "Issuer": "https://aai.egi.eu/auth/realms/egi",
                "JSONWebKeySet": {"Remote": {"URI": "https://x"}},
            },
        },
    ]
    assert {one["operation"] for one in consul("consul_config_entry", config_entries=entries)["config_entries"]} == {
        "create"
    }
    for check_mode in (True, False):
        assert consul("consul_config_entry", config_entries=entries, check_mode=check_mode)["changed"] is False
    entries[3]["config"]["Sources"].pop(0)
    done = consul("consul_config_entry", config_entries=entries)
    assert [one["operation"] for one in done["config_entries"]] == ["none", "none", "none", "update", "none"]
    assert list(done["diff"]["after"]) == ["service-intentions/web"]
    assert consul("consul_config_entry", config_entries=entries)["changed"] is False
    gone = consul("consul_config_entry", config_entries=entries[::-1], state="absent")
    assert {one["operation"] for one in gone["config_entries"]} == {"delete"}
    assert consul("consul_config_entry", config_entries=[])["changed"] is False


def test_private_keys_are_not_shown(consul: Any, consul_agent: Any) -> None:
    key = (consul_agent.directory / "key.pem").read_text()
    certificate = (consul_agent.directory / "cert.pem").read_text()
    wanted = {
        "kind": "inline-certificate",
        "name": "gateway",
        "config": {"Certificate": certificate, "PrivateKey": key},
    }
    done = consul("consul_config_entry", **wanted)
    assert done["operation"] == "create"
    assert done["config_entry"]["config"]["PrivateKey"].startswith("SHA-256 ")
    assert consul("consul_config_entry", **wanted)["changed"] is False
    info = consul("consul_config_entry_info", kind="inline-certificate")
    for result in (done, info):
        assert "PRIVATE KEY" not in result["_output"]
    assert consul("consul_config_entry", **{**wanted, "config": None}, state="absent")["operation"] == "delete"


def test_config_entry_with_an_odd_name(consul: Any, transport: str) -> None:
    wanted = {**KIND, "name": "a b/ü?x=1&%2f#", "config": {"Protocol": "grpc"}}
    assert consul("consul_config_entry", **wanted)["operation"] == "create"
    assert consul("consul_config_entry", **wanted)["changed"] is False
    assert (
        consul("consul_config_entry_info", **KIND, names=[wanted["name"]])["config_entries"][0]["name"]
        == wanted["name"]
    )
    assert consul("consul_config_entry", **{**wanted, "config": None}, state="absent")["operation"] == "delete"


def test_config_entry_mistakes(consul: Any) -> None:
    entry = "consul_config_entry"
    assert "config entry kind" in consul(entry, fails=True, kind="no-kind", name="x")["msg"]
    assert "MeshGateway" in consul(entry, fails=True, **KIND, name="x", config={"mesh_gateway": {}})["msg"]
    assert "leave it out" in consul(entry, fails=True, **KIND, name="x", config={"Kind": "y"})["msg"]
    assert "names no configuration entry" in consul(entry, fails=True, **KIND, name="..")["msg"]
    assert 'key "Protokoll"' in consul(entry, fails=True, **KIND, name="x", config={"Protokoll": "http"})["msg"]
    twice = [{**KIND, "name": "x"}, {**KIND, "name": "x"}]
    assert "listed twice" in consul(entry, fails=True, config_entries=twice)["msg"]
    assert "kind" in consul(entry, fails=True, name="x")["msg"]


def test_config_entry_that_somebody_else_changes(
    consul: Any, consul_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.imagine.platform.plugins.module_utils import consul_config

    consul("consul_config_entry", **KIND, name="shared", config={"Protocol": "http"})
    read = consul_config.ConfigEntries.read
    others = iter([{"Meta": {"by": "somebody else"}}])

    def read_and_be_overtaken(self: Any, items: Any) -> Any:
        found = read(self, items)
        for config in others:
            requests.put(
                f"{consul_agent.address}/v1/config",
                json={"Kind": "service-defaults", "Name": "shared", "Protocol": "http", **config},
                headers={"X-Consul-Token": consul_agent.token},
                verify=str(consul_agent.directory / "ca.pem"),
                timeout=10,
            ).raise_for_status()
        return found

    monkeypatch.setattr(consul_config.ConfigEntries, "read", read_and_be_overtaken)
    done = consul("consul_config_entry", **KIND, name="shared", config={"MaxInboundConnections": 7})
    config = done["config_entry"]["config"]
    assert (config["Meta"], config["MaxInboundConnections"]) == ({"by": "somebody else"}, 7)
    assert done["diff"]["before"]["service-defaults/shared"]["config"]["Meta"] == {"by": "somebody else"}


def test_snapshot(consul: Any, consul_agent: Any, transport: str, tmp_path: Path) -> None:
    path = tmp_path / "state.snap"
    entry = {**KIND, "name": "kept", "config": {"Protocol": "http"}}
    consul("consul_config_entry", **entry)
    planned = consul("consul_snapshot", path=str(path), check_mode=True)
    assert planned["changed"] is True
    assert not path.exists()
    os.umask(0o022)
    saved = consul("consul_snapshot", path=str(path))
    assert saved["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert saved["snapshot"]["size"] == path.stat().st_size
    assert saved["snapshot"]["index"] > 0
    assert [one.name for one in tmp_path.iterdir()] == ["state.snap"]
    verified = consul("consul_snapshot", path=str(path), action="verify")
    assert verified["changed"] is False
    assert verified["snapshot"]["sha256"] == saved["snapshot"]["sha256"]

    for check_mode in (True, False):
        kept = consul("consul_snapshot", path=str(path), max_age=3600, check_mode=check_mode)
        assert (kept["changed"], kept["snapshot"]["id"]) == (False, saved["snapshot"]["id"])
    path.chmod(0o644)
    mended = consul("consul_snapshot", path=str(path), max_age=3600)
    assert mended["diff"] == {"before": {"mode": "0644"}, "after": {"mode": "0600"}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    consul("consul_config_entry", **KIND, name="kept", state="absent")
    consul("consul_snapshot", path=str(path), action="restore", check_mode=True)
    assert consul("consul_config_entry_info", **KIND, names=["kept"])["config_entries"] == []
    assert consul("consul_snapshot", path=str(path), action="restore")["changed"] is True
    assert len(consul("consul_config_entry_info", **KIND, names=["kept"])["config_entries"]) == 1

    assert consul("consul_snapshot", path=str(path), stale=True)["changed"] is True
    os.utime(path, (1, 1))
    assert consul("consul_snapshot", path=str(path), max_age=3600)["changed"] is True


def test_snapshot_that_is_damaged(consul: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.snap"
    consul("consul_snapshot", path=str(path))
    path.write_bytes(path.read_bytes()[:-200])
    for action in ("verify", "restore"):
        assert "is no intact snapshot" in consul("consul_snapshot", fails=True, path=str(path), action=action)["msg"]
    # One that is new enough but damaged is no reason not to save.
    assert consul("consul_snapshot", path=str(path), max_age=3600)["changed"] is True
    consul("consul_snapshot", path=str(path), action="verify")


def test_snapshot_mistakes(consul: Any, tmp_path: Path) -> None:
    snapshot = "consul_snapshot"
    missing = str(tmp_path / "missing" / "state.snap")
    assert "does not exist: make it first" in consul(snapshot, fails=True, path=missing)["msg"]
    for action in ("verify", "restore"):
        assert "There is no snapshot at" in consul(snapshot, fails=True, path=missing, action=action)["msg"]
    assert "not a regular file" in consul(snapshot, fails=True, path=str(tmp_path))["msg"]
    weak = consul(snapshot, fails=True, path=str(tmp_path / "x"), consul_token="")
    assert "give a token that may do this" in weak["msg"]
    assert list(tmp_path.iterdir()) == []
