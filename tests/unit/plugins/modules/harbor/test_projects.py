# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Projects, their members and quotas."""

from __future__ import annotations

from typing import Any

import pytest
from harbor_standin.server import Fault, Standin


def test_project_life(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any) -> None:
    made = life("harbor_project", name="user-snapshots", auto_scan=True, severity="high", cve_allowlist=["CVE-2"])
    assert made["diff"]["before"] == {"user-snapshots": {}}
    assert made["diff"]["after"]["user-snapshots"]["auto_scan"] is True
    project = standin.project_named("user-snapshots")
    assert made["project"]["project_id"] == project["project_id"]
    assert project["metadata"] == {"public": "false", "auto_scan": "true", "severity": "high"}
    for option, value in {
        "public": True,
        "auto_scan": False,
        "auto_sbom_generation": True,
        "prevent_vul": True,
        "severity": "critical",
        "enable_content_trust": True,
        "enable_content_trust_cosign": True,
        "reuse_sys_cve_allowlist": False,
        "cve_allowlist": ["CVE-1", "CVE-2"],
    }.items():
        before, after = change("harbor_project", name="user-snapshots", **{option: value})
        assert after == {option: value}
        assert set(before) == {option}
    assert all(isinstance(value, str) for value in project["metadata"].values())
    assert harbor("harbor_project", name="user-snapshots")["changed"] is False
    gone("harbor_project", name="user-snapshots")


def test_update_writes_only_what_changes_and_keeps_the_expiry(standin: Standin, harbor: Any) -> None:
    project = standin.make_project("p", auto_scan="true")
    project["cve_allowlist"]["expires_at"] = 1900000000
    project["metadata"]["retention_id"] = "7"
    standin.meanwhile = lambda name: project["metadata"].update(prevent_vul="true") if name == "updateProject" else None
    harbor("harbor_project", name="p", public=True, cve_allowlist=["CVE-1"])
    assert project["metadata"] == {
        "public": "true",
        "auto_scan": "true",
        "prevent_vul": "true",
        "retention_id": "7",
    }
    assert project["cve_allowlist"]["expires_at"] == 1900000000


def test_many_projects_cost_few_requests(standin: Standin, harbor: Any) -> None:
    wanted = [{"name": f"p{number}", "public": number % 2 == 0} for number in range(120)]
    for project in wanted[:-1]:
        standin.make_project(project["name"], public=str(project["public"]).lower())
    assert harbor("harbor_project", projects=wanted)["changed"] is True
    standin.asked.clear()
    again = harbor("harbor_project", projects=wanted)
    assert again["changed"] is False
    # The credentials, and two pages.
    assert len(standin.asked) == 3
    assert len(again["projects"]) == 120
    mixed = [{"name": "p1", "state": "absent"}, {"name": "p2", "public": False}, {"name": "new"}, {"name": "p4"}]
    result = harbor("harbor_project", projects=mixed)
    assert [one["operation"] for one in result["projects"]] == ["delete", "update", "create", "none"]


def test_proxy_cache(standin: Standin, harbor: Any, life: Any, change: Any) -> None:
    harbor("harbor_registry", name="hub", type="docker-hub", url="https://hub.docker.com")
    life("harbor_project", name="cache", registry="hub", proxy_speed_kb=1000)
    assert change("harbor_project", name="cache", proxy_speed_kb=-1)[1] == {"proxy_speed_kb": -1}
    assert harbor("harbor_project_info", names=["cache"])["projects"][0]["registry"] == "hub"
    assert "cannot be changed" in harbor("harbor_project", fails=True, name="library", registry="hub")["msg"]
    assert "no effect" in harbor("harbor_project", fails=True, name="library", proxy_speed_kb=5)["msg"]
    assert "proxy cache" in harbor("harbor_project", fails=True, name="cache", enable_content_trust=True)["msg"]
    missing = harbor("harbor_project", fails=True, name="other", registry="nowhere")
    assert "create it with harbor_registry" in missing["msg"]
    assert harbor("harbor_project", check=True, name="other", registry="nowhere")["operation"] == "create"


def test_registry_of_a_project_may_be_hidden(standin: Standin, harbor: Any) -> None:
    harbor("harbor_registry", name="hub", type="docker-hub", url="https://hub.docker.com")
    harbor("harbor_project", name="cache", public=True, registry="hub")
    identifier = str(next(iter(standin.registries)))
    alice = {"harbor_username": "alice", "harbor_password": "Alice12345"}
    listed = harbor("harbor_project_info", **alice)["projects"]
    assert {project["name"]: project["registry"] for project in listed} == {"cache": identifier, "library": ""}
    standin.faults = [Fault(500, times=9, match=f"registries/{identifier}")]
    assert "reading registry" in harbor("harbor_project_info", fails=True)["msg"]


def test_project_that_is_not_empty(standin: Standin, harbor: Any) -> None:
    standin.push("library", "a/b", "sha256:" + "a" * 64)
    message = harbor("harbor_project", fails=True, name="library", state="absent")["msg"]
    assert "the project contains repositories" in message
    assert "deleting project 'library'" in message


@pytest.mark.parametrize("name", ["", "Upper", "täst / odd", "../robots", "a/b", "x" * 256, "-a", "a\n"])
def test_names_that_cannot_be(harbor: Any, standin: Standin, name: str) -> None:
    assert "cannot be the name of a project" in harbor("harbor_project", fails=True, name=name)["msg"]
    assert standin.asked == []


def test_name_that_looks_like_an_id(standin: Standin, harbor: Any, life: Any, gone: Any) -> None:
    first = standin.make_project("first")
    name = str(first["project_id"])
    life("harbor_project", name=name, public=True)
    assert first["metadata"]["public"] == "false"
    gone("harbor_project", name=name)
    assert first["project_id"] in standin.projects


def test_created_by_somebody_else_in_the_meantime(standin: Standin, harbor: Any) -> None:
    def meanwhile(name: str) -> None:
        if name == "createProject" and not any(one["name"] == "p" for one in standin.projects.values()):
            standin.make_project("p", auto_scan="true")

    standin.meanwhile = meanwhile
    result = harbor("harbor_project", name="p", public=True)
    assert result["operation"] == "update"
    assert standin.project_named("p")["metadata"] == {"public": "true", "auto_scan": "true"}


def test_deleted_by_somebody_else_in_the_meantime(standin: Standin, harbor: Any) -> None:
    project = standin.make_project("p")
    standin.meanwhile = lambda name: (
        standin.projects.pop(project["project_id"], None) if name == "deleteProject" else None
    )
    assert harbor("harbor_project", name="p", state="absent")["operation"] in ("none", "delete")


def test_what_was_done_before_a_failure_is_said(standin: Standin, harbor: Any) -> None:
    standin.push("library", "a", "sha256:" + "a" * 64)
    result = harbor("harbor_project", fails=True, projects=[{"name": "a"}, {"name": "library", "state": "absent"}])
    assert result["changed"] is True
    assert [one["name"] for one in result["projects"]] == ["a"]


def test_info(standin: Standin, harbor: Any) -> None:
    for name in ("b", "a"):
        standin.make_project(name)
    listed = harbor("harbor_project_info")
    assert listed["changed"] is False
    assert [project["name"] for project in listed["projects"]] == ["a", "b", "library"]
    assert listed["projects"][2]["public"] is True
    assert listed["projects"][0]["owner"] == "admin"
    some = harbor("harbor_project_info", names=["b", "b", "missing"])["projects"]
    assert [project["name"] for project in some] == ["b"]
    assert "cannot be the name" in harbor("harbor_project_info", fails=True, names=["/"])["msg"]


def test_members_of_all_kinds(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any) -> None:
    entitlement = "urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu"
    standin.configuration["auth_mode"] = "oidc_auth"
    group: dict[str, Any] = {"project": "library", "name": entitlement, "type": "group"}
    made = life("harbor_project_member", **group, role="maintainer")
    assert made["diff"]["after"] == {f"group {entitlement}": {"role": "maintainer"}}
    assert made["member"]["id"] in standin.members
    life("harbor_project_member", project="library", name="alice", role="guest")
    for role in ("project_admin", "developer", "limited_guest", "maintainer"):
        assert change("harbor_project_member", project="library", name="alice", role=role)[1] == {"role": role}
    assert harbor("harbor_project_member", project="library", name="alice")["member"]["role"] == "maintainer"
    listed = harbor("harbor_project_member_info", project="library")["members"]
    assert [(member["type"], member["name"]) for member in listed] == [("group", entitlement), ("user", "alice")]
    gone("harbor_project_member", **group)
    mixed = [{"name": "alice", "state": "absent"}, {"name": entitlement, "type": "group", "role": "guest"}]
    result = harbor("harbor_project_member", project="library", members=mixed)
    assert [one["operation"] for one in result["members"]] == ["delete", "create"]


def test_many_members(standin: Standin, harbor: Any) -> None:
    project = standin.project_named("library")["project_id"]
    for number in range(150):
        standin.members[number + 1] = {
            "id": number + 1,
            "project_id": project,
            "entity_name": f"user-{number}",
            "entity_type": "u",
            "role_id": 3,
        }
    members = [{"name": f"user-{number}", "role": "guest"} for number in range(150)]
    assert harbor("harbor_project_member", project="library", members=members)["changed"] is False
    # The project, the credentials, and two pages.
    assert len(standin.asked) == 4
    members[149]["role"] = "developer"
    assert harbor("harbor_project_member", project="library", members=members)["changed"] is True
    assert standin.members[150]["role_id"] == 2


def test_role_that_the_module_does_not_know(standin: Standin, harbor: Any) -> None:
    harbor("harbor_project_member", project="library", name="alice", role="guest")
    member = next(iter(standin.members.values()))
    member.update(role_id=17, role_name="curator")
    assert harbor("harbor_project_member_info", project="library")["members"][0]["role"] == "curator"
    member["role_name"] = ""
    assert harbor("harbor_project_member_info", project="library")["members"][0]["role"] == "17"


def test_members_that_cannot_be(standin: Standin, harbor: Any) -> None:
    def message(**options: Any) -> str:
        return str(harbor("harbor_project_member", fails=True, **{"project": "library", **options})["msg"])

    assert "user bob is not found" in message(name="bob", role="guest")
    assert "needs one: give role" in message(name="alice")
    assert "name of a member is empty" in message(name=" ")
    assert "Project 'nowhere' does not exist" in message(project="nowhere", name="alice", role="guest")
    assert "cannot be the name of a project" in message(project="../x", name="alice")
    options: dict[str, Any] = {"project": "nowhere", "name": "alice"}
    assert harbor("harbor_project_member", check=True, role="guest", **options)["operation"] == "create"
    assert harbor("harbor_project_member", state="absent", **options)["changed"] is False
    assert "does not exist" in harbor("harbor_project_member_info", fails=True, project="nowhere")["msg"]


def test_member_removed_in_the_meantime(standin: Standin, harbor: Any) -> None:
    harbor("harbor_project_member", project="library", name="alice", role="guest")
    standin.meanwhile = lambda name: standin.members.clear() if name == "updateProjectMember" else None
    assert harbor("harbor_project_member", project="library", name="alice", role="developer")["operation"] == "create"


def test_quota(standin: Standin, harbor: Any, change: Any) -> None:
    standin.make_project("p")
    before, after = change("harbor_quota", project="p", storage_limit="50GB")
    assert (before, after) == ({"storage_limit": -1}, {"storage_limit": 50 * 1024**3})
    change("harbor_quota", project="p", storage_limit="1000")
    standin.quotas[standin.project_named("p")["project_id"]]["used"] = {"storage": 77}
    shown = harbor("harbor_quota", project="p")
    assert (shown["quota"]["storage_limit"], shown["quota"]["storage_used"]) == (1000, 77)
    change("harbor_quota", project="p", storage_limit="unlimited")
    many = [{"project": name, "storage_limit": "1GB"} for name in ("p", "library")]
    assert harbor("harbor_quota", quotas=many)["changed"] is True
    assert harbor("harbor_quota", quotas=many)["changed"] is False


def test_quotas_of_many_projects_cost_few_requests(standin: Standin, harbor: Any) -> None:
    names = [f"p{number}" for number in range(110)]
    for name in names:
        standin.make_project(name)
    many = [{"project": name, "storage_limit": "-1"} for name in names]
    assert harbor("harbor_quota", quotas=many)["changed"] is False
    assert len(standin.asked) == 2
    assert len(harbor("harbor_quota_info")["quotas"]) == 111
    some = harbor("harbor_quota_info", projects=["p3", "missing"])["quotas"]
    assert [quota["project"] for quota in some] == ["p3"]


def test_quotas_that_cannot_be(standin: Standin, harbor: Any) -> None:
    for value in ("0", "much", "-5", "0.2B"):
        message = harbor("harbor_quota", fails=True, project="library", storage_limit=value)["msg"]
        assert f"storage_limit is '{value}'" in message
    assert "does not exist" in harbor("harbor_quota", fails=True, project="nowhere", storage_limit="1GB")["msg"]
    standin.quota_enabled = False
    standin.make_project("free")
    standin.quota_enabled = True
    assert "quota_per_project_enable" in harbor("harbor_quota", fails=True, project="free", storage_limit="1GB")["msg"]
