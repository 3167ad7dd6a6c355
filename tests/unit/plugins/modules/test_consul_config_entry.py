# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Comparison and writing of Consul's configuration entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.consul_config import hide, merged, same, without_nulls

Result = dict[str, Any]
PATH = "/v1/config/service-defaults/web"
RAW = {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "MeshGateway": {}, "ModifyIndex": 9, "Hash": 7}


@pytest.mark.parametrize(
    ("have", "given", "equal"),
    [
        ({"A": 1, "B": 2}, {"A": 1}, True),
        ({"A": 1}, {"A": 2}, False),
        ({}, {"A": False, "B": "", "C": [], "D": {}, "E": 0}, True),
        ({}, {"A": True}, False),
        ({}, {"A": {"B": False}}, False),
        ({"A": []}, {"A": None}, True),
        ({"A": "1m30s"}, {"A": "90s"}, True),
        ({"A": "1m30s"}, {"A": "80s"}, False),
        ({"A": "x"}, {"A": "y"}, False),
        ({"A": 1}, {"A": 1.0}, True),
        ({"A": [{"Name": "x", "Type": "consul"}]}, {"A": [{"Name": "x"}]}, True),
        ({"A": [{"Name": "x"}, {"Name": "y"}]}, {"A": [{"Name": "x"}]}, False),
        ({"A": "x"}, {"A": ["x"]}, False),
        ({"A": "x"}, {"A": {"B": "x"}}, False),
        # Consul hands these on as they are.
        ({"Config": {}}, {"Config": {"x": False}}, False),
        ({"Config": {"x": "1m30s"}}, {"Config": {"x": "90s"}}, False),
        ({"Meta": {"x": ""}}, {"Meta": {"x": ""}}, True),
    ],
)
def test_same(have: Any, given: Any, equal: bool) -> None:
    assert same(have, given) is equal
    assert (merged(have, given) == have) is equal or None in given.values()


def test_merged() -> None:
    have = {"A": {"x": 1, "y": 2}, "B": [1], "C": 3, "Config": {"a": 1}}
    given = {"A": {"y": 3, "z": 4}, "B": [1, 2], "C": None, "D": {"e": None, "f": 5}, "Config": {"b": False}}
    assert merged(have, given) == {
        "A": {"x": 1, "y": 3, "z": 4},
        "B": [1, 2],
        "D": {"f": 5},
        "Config": {"a": 1, "b": False},
    }
    assert have["A"] == {"x": 1, "y": 2}
    assert without_nulls({"A": None, "B": [{"C": None, "D": 0}], "E": {}}) == {"B": [{"D": 0}], "E": {}}


def test_hide() -> None:
    config = {"Certificate": "c", "PrivateKey": "k", "List": [{"PrivateKey": "l"}], "Other": {"PrivateKey": ""}}
    hidden = hide(config)
    assert hidden["Certificate"] == "c"
    assert hidden["PrivateKey"].startswith("SHA-256 ")
    assert hidden["List"][0]["PrivateKey"] != hidden["PrivateKey"]
    assert hidden["Other"] == {"PrivateKey": ""}


@pytest.fixture
def entry(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    def run(module: str = "consul_config_entry", **options: Any) -> Result:
        return run_module(module, consul_address=stub.address, consul_token="0d9bf5d4", consul_timeout=1, **options)

    return run


def test_create_is_check_and_set(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("PUT", "/v1/config", True)
    wanted = {"kind": "service-defaults", "name": "web", "config": {"Protocol": "http", "Meta": None}}
    assert entry(**wanted, check=True)["operation"] == "create"
    assert stub.written() == []
    made = entry(**wanted)
    assert made["config_entry"] == {"kind": "service-defaults", "name": "web", "config": {"Protocol": "http"}}
    body = {"Protocol": "http", "Kind": "service-defaults", "Name": "web"}
    assert stub.written() == [("PUT", "/v1/config?cas=0", body)]


def test_update_and_delete_are_check_and_set(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, RAW)
    stub.on("PUT", "/v1/config", True)
    stub.on("DELETE", PATH, True)
    wanted: dict[str, Any] = {"kind": "service-defaults", "name": "web"}
    assert entry(**wanted, config={"Protocol": "http"})["changed"] is False
    done = entry(**wanted, config={"Protocol": "grpc"})
    assert done["diff"]["before"] == {"service-defaults/web": {"config": {"Protocol": "http", "MeshGateway": {}}}}
    assert entry(**wanted, state="absent")["operation"] == "delete"
    body = {"Protocol": "grpc", "MeshGateway": {}, "Kind": "service-defaults", "Name": "web"}
    assert stub.written() == [("PUT", "/v1/config?cas=9", body), ("DELETE", f"{PATH}?cas=9", None)]


def test_somebody_else_is_faster(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, RAW, {**RAW, "ModifyIndex": 10, "Meta": {"by": "else"}})
    stub.on("PUT", "/v1/config", False, True)
    assert entry(kind="service-defaults", name="web", config={"Protocol": "grpc"})["operation"] == "update"
    assert [target for _method, target, _body in stub.written()] == ["/v1/config?cas=9", "/v1/config?cas=10"]
    assert stub.written()[1][2]["Meta"] == {"by": "else"}
    stub.on("PUT", "/v1/config", False)
    result = entry(kind="service-defaults", name="web", config={"Protocol": "grpc"})
    assert "Something else changed it at the same time" in result["msg"]


def test_several_of_one_kind_are_one_request(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/config/service-defaults", [RAW, {**RAW, "Name": "other"}])
    stub.on("GET", "/v1/config/mesh/mesh", {"Kind": "mesh", "ModifyIndex": 3, "TransparentProxy": {}})
    stub.on("PUT", "/v1/config", True)
    entries = [
        {"kind": "service-defaults", "name": "web", "config": {"Protocol": "http"}},
        {"kind": "service-defaults", "name": "gone", "state": "absent"},
        {"kind": "mesh", "name": "mesh", "config": {"HTTP": {"SanitizeXForwardedClientCert": True}}},
    ]
    done = entry(config_entries=entries)
    assert [one["operation"] for one in done["config_entries"]] == ["none", "none", "update"]
    assert stub.asked[0].target == "/v1/config/service-defaults"
    # A mesh has no name, and Consul refuses one.
    assert "Name" not in stub.written()[0][2]


def test_failure_in_the_middle(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("PUT", "/v1/config", True)
    stub.then("PUT", "/v1/config", "invalid config key", status=400)
    stub.on("GET", "/v1/config/service-defaults", [])
    names = [{"kind": "service-defaults", "name": name, "config": {"Protocol": "http"}} for name in ("a", "b", "c")]
    result = entry(config_entries=names)
    assert "creating configuration entry service-defaults/b" in result["msg"]
    assert [one["name"] for one in result["config_entries"]] == ["a"]
    assert result["changed"] is True


@pytest.mark.parametrize(
    ("answer", "words"),
    [("[]", "no object"), ('{"Kind": 1}', "KeyError"), ("<html>", "not JSON"), ('{"Name": ', "an incomplete object")],
)
def test_rubbish(entry: Callable[..., Result], stub: Any, answer: str, words: str) -> None:
    stub.on("GET", PATH, answer)
    stub.on("PUT", "/v1/config", True)
    result = entry(kind="service-defaults", name="web", config={"Protocol": "grpc"})
    assert result["failed"]
    assert words in result["msg"]
    assert "\n" not in result["msg"]


def test_rubbish_after_a_write(entry: Callable[..., Result], stub: Any) -> None:
    stub.on("PUT", "/v1/config", {"done": "perhaps"})
    assert "neither true nor false" in entry(kind="service-defaults", name="web", config={})["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "mesh", "name": ".."}, "name is '..'"),
        ({"kind": " ", "name": "x"}, "kind is ' '"),
        ({"kind": "mesh", "name": "a\nb"}, "names no configuration entry"),
        ({"kind": "mesh", "name": "x", "config": {"Name": "y"}}, "leave it out"),
        ({"kind": "mesh", "name": "x", "config": {"mesh_gateway": {}}}, "write it as the API does"),
        ({"name": "x"}, "missing parameter(s) required by 'name': kind"),
    ],
)
def test_mistakes(entry: Callable[..., Result], stub: Any, options: dict[str, Any], words: str) -> None:
    assert words in entry(**options)["msg"]
    assert stub.asked == []


def test_private_key_in_an_answer_is_hidden(entry: Callable[..., Result], stub: Any) -> None:
    raw = {"Kind": "inline-certificate", "Name": "gw", "Certificate": "c", "PrivateKey": "k3y-old", "ModifyIndex": 4}
    stub.on("GET", "/v1/config/inline-certificate/gw", raw)
    stub.on("GET", "/v1/config/inline-certificate", [raw])
    stub.on("PUT", "/v1/config", True)
    done = entry(kind="inline-certificate", name="gw", config={"PrivateKey": "k3y-new"})
    assert done["operation"] == "update"
    assert stub.written()[0][2]["PrivateKey"] == "k3y-new"
    info = entry("consul_config_entry_info", kind="inline-certificate")
    assert info["config_entries"][0]["modify_index"] == 4
    for result in (done, info):
        assert "k3y" not in str({name: value for name, value in result.items() if name != "invocation"})
    assert "k3y" not in str(done)


def test_info(entry: Callable[..., Result], stub: Any) -> None:
    info = "consul_config_entry_info"
    stub.on("GET", "/v1/config/service-defaults", [RAW, {**RAW, "Name": "a"}])
    stub.on("GET", PATH, RAW)
    listed = entry(info, kind="service-defaults")["config_entries"]
    assert [one["name"] for one in listed] == ["a", "web"]
    assert entry(info, kind="service-defaults", names=["web"])["config_entries"] == [
        {
            "kind": "service-defaults",
            "name": "web",
            "config": {"Protocol": "http", "MeshGateway": {}},
            "modify_index": 9,
        }
    ]
    assert entry(info, kind="service-defaults", names=["ghost"])["config_entries"] == []
    assert len(entry(info, kind="service-defaults", names=["ghost", "a"])["config_entries"]) == 1
    assert "names no configuration entry" in entry(info, kind="..")["msg"]
