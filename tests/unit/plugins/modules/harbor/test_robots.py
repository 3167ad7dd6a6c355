# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Robot accounts, and where their secrets go."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from harbor_standin.server import Fault, Standin

PULL = [{"access": ["repository:pull"]}]
SECRET = "Correct-Horse-7"


def only(standin: Standin) -> dict[str, Any]:
    (robot,) = standin.robots.values()
    return robot


def test_life_in_a_project(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any) -> None:
    robot = {"project": "library", "name": "nodes"}
    made = life("harbor_robot_account", **robot, permissions=PULL, description="first")
    assert made["robot"]["full_name"] == "robot$library+nodes"
    assert made["robot"]["secret"] == only(standin)["secret"]
    assert made["robot"]["secret"] not in json.dumps(made["diff"])
    assert made["robot"]["permissions"] == [{"kind": "project", "namespace": "library", "access": ["repository:pull"]}]
    for option, value in {
        "description": "second",
        "duration": 30,
        "disabled": True,
        "permissions": [{"kind": "project", "namespace": "library", "access": ["repository:pull", "repository:push"]}],
    }.items():
        assert change("harbor_robot_account", **robot, **{option: value})[1] == {option: value}
    again = harbor("harbor_robot_account", **robot)
    assert "secret" not in again["robot"]
    assert again["robot"]["expires_at"] > time.time()
    listed = harbor("harbor_robot_account_info", project="library")["robots"]
    assert [(one["name"], one["duration"], one["disabled"]) for one in listed] == [("nodes", 30, True)]
    assert "secret" not in listed[0]
    gone("harbor_robot_account", **robot)


def test_life_in_the_system(standin: Standin, harbor: Any, life: Any, gone: Any) -> None:
    permissions = [
        {"access": ["repository:pull:allow", "artifact:read"]},
        {"namespace": "library", "access": ["repository:push"]},
        {"kind": "system", "access": ["project:list"]},
    ]
    made = life("harbor_robot_account", name="mirror", permissions=permissions, duration=90)
    assert made["robot"]["full_name"] == "robot$mirror"
    assert {(one["kind"], one["namespace"]) for one in made["robot"]["permissions"]} == {
        ("project", "*"),
        ("project", "library"),
        ("system", "/"),
    }
    assert [one["name"] for one in harbor("harbor_robot_account_info")["robots"]] == ["mirror"]
    assert harbor("harbor_robot_account_info", project="library")["robots"] == []
    gone("harbor_robot_account", name="mirror")


def test_secret_of_ones_own(standin: Standin, harbor: Any, change: Any) -> None:
    robot: dict[str, Any] = {"project": "library", "name": "nodes", "permissions": PULL, "secret": SECRET}
    made = harbor("harbor_robot_account", **robot)
    # What Harbor made at the creation is not what counts.
    assert only(standin)["secret"] == SECRET
    assert "secret" not in made["robot"]
    assert SECRET not in json.dumps(made)
    assert harbor("harbor_robot_account", **robot)["changed"] is False
    only(standin)["secret"] = "Somebody-Else-1"
    assert harbor("harbor_robot_account", check=True, **robot)["operation"] == "update"
    assert only(standin)["secret"] == "Somebody-Else-1"
    before, after = change("harbor_robot_account", **robot)
    assert (before, after) == ({"secret_changed": False}, {"secret_changed": True})
    assert only(standin)["secret"] == SECRET
    # One that cannot log in keeps what it has.
    only(standin).update(secret="Somebody-Else-1", disable=True)
    assert harbor("harbor_robot_account", **robot)["changed"] is False
    only(standin).update(disable=False, expires_at=1)
    assert harbor("harbor_robot_account", **robot)["changed"] is False


def test_rotation(standin: Standin, harbor: Any, change: Any) -> None:
    robot: dict[str, Any] = {"project": "library", "name": "nodes"}
    first = harbor("harbor_robot_account", **robot, permissions=PULL)["robot"]["secret"]
    planned = harbor("harbor_robot_account", check=True, **robot, rotate=True)
    assert planned["changed"] is True
    assert "secret" not in planned["robot"]
    assert only(standin)["secret"] == first
    second = harbor("harbor_robot_account", **robot, rotate=True)["robot"]["secret"]
    assert second == only(standin)["secret"] != first
    third = harbor("harbor_robot_account", **robot, rotate=True, description="with a change")
    assert third["robot"]["secret"] == only(standin)["secret"] != second
    assert third["robot"]["description"] == "with a change"
    assert "secret" not in harbor("harbor_robot_account", **robot, rotate=True, secret=SECRET)["robot"]
    assert only(standin)["secret"] == SECRET


def test_disabled_from_the_start(standin: Standin, life: Any) -> None:
    life("harbor_robot_account", project="library", name="later", permissions=PULL, disabled=True, secret=SECRET)
    assert only(standin)["disable"] is True
    assert only(standin)["secret"] == SECRET


def test_secret_that_could_not_be_set_is_set_by_the_next_run(standin: Standin, harbor: Any) -> None:
    robot: dict[str, Any] = {"project": "library", "name": "nodes", "permissions": PULL, "secret": SECRET}
    standin.faults = [Fault(502, match="PATCH")]
    assert "it may have been done all the same" in harbor("harbor_robot_account", fails=True, **robot)["msg"]
    assert only(standin)["secret"] != SECRET
    assert harbor("harbor_robot_account", **robot)["operation"] == "update"
    assert only(standin)["secret"] == SECRET


def test_many_robots_of_several_projects(standin: Standin, harbor: Any) -> None:
    standin.make_project("second")
    robots = [
        {"project": project, "name": f"robot-{number}", "permissions": PULL}
        for project in ("library", "second")
        for number in range(8)
    ]
    made = harbor("harbor_robot_account", robots=robots)
    assert len({one["secret"] for one in made["robots"]}) == 16
    standin.asked.clear()
    again = harbor("harbor_robot_account", robots=robots)
    assert again["changed"] is False
    # For each project, and for the credentials.
    assert len(standin.asked) == 5
    twice = [robots[0], robots[0]]
    assert "listed twice" in harbor("harbor_robot_account", fails=True, robots=twice)["msg"]
    mixed = [{**robots[0], "state": "absent"}, {"project": "second", "name": "robot-1", "rotate": True}]
    result = harbor("harbor_robot_account", robots=mixed)["robots"]
    assert [one["operation"] for one in result] == ["delete", "update"]
    assert result[1]["secret"]


def test_prefix_of_ones_own(standin: Standin, harbor: Any, life: Any) -> None:
    standin.configuration["robot_name_prefix"] = "bot-"
    life("harbor_robot_account", name="bot-x", permissions=PULL)
    assert harbor("harbor_robot_account", name="x", check=True, permissions=PULL)["operation"] == "create"
    life("harbor_robot_account", name="x", permissions=PULL)
    life("harbor_robot_account", project="library", name="x", permissions=PULL)
    assert [one["name"] for one in harbor("harbor_robot_account_info")["robots"]] == ["bot-x", "x"]
    standin.faults = [Fault(403, match="configurations")]
    assert [one["name"] for one in harbor("harbor_robot_account_info")["robots"]] == ["bot-bot-x", "bot-x"]
    standin.faults = [Fault(500, times=9, match="configurations")]
    assert "reading the prefix" in harbor("harbor_robot_account_info", fails=True)["msg"]


def test_access_that_is_denied_is_shown(standin: Standin, harbor: Any) -> None:
    harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)
    only(standin)["permissions"][0]["access"][0]["effect"] = "deny"
    shown = harbor("harbor_robot_account_info", project="library")["robots"][0]
    assert shown["permissions"][0]["access"] == ["repository:pull:deny"]
    assert harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)["operation"] == "update"
    denied = [{"access": ["repository:pull:deny"]}]
    harbor("harbor_robot_account", project="library", name="nodes", permissions=denied)
    assert only(standin)["permissions"][0]["access"][0]["effect"] == "deny"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "robot$x"}, "leave out the prefix"),
        ({"name": "täst / odd"}, "cannot be the name of a robot account"),
        ({"project": "../x"}, "cannot be the name of a project"),
        ({"duration": 0}, "give days, or -1"),
        ({"secret": "weak"}, "8 to 128 characters"),
        ({"secret": "alllowercase1"}, "a capital"),
        ({"permissions": []}, "are empty"),
        ({"permissions": [{"access": []}]}, "are empty"),
        ({"permissions": [{"access": ["pull"]}]}, "write it as RESOURCE:ACTION"),
        ({"permissions": [{"namespace": "other", "access": ["repository:pull"]}]}, "reach beyond project 'library'"),
        ({"permissions": [{"kind": "system", "access": ["project:list"]}]}, "reach beyond project 'library'"),
        ({"permissions": [*PULL, *PULL]}, "reach beyond project 'library'"),
        ({"permissions": None}, "a new one needs some"),
        ({"permissions": [{"access": ["rocket:launch"]}]}, "bad request permission: rocket:launch"),
        ({"project": "nowhere"}, "Project 'nowhere' does not exist"),
    ],
)
def test_what_cannot_be(standin: Standin, harbor: Any, options: dict[str, Any], words: str) -> None:
    given = {"project": "library", "name": "nodes", "permissions": PULL, **options}
    result = harbor("harbor_robot_account", fails=True, **{key: one for key, one in given.items() if one is not None})
    assert words in result["msg"]
    assert standin.robots == {}
    if "secret" in options:
        assert options["secret"] not in result["msg"]


def test_project_that_is_to_come(harbor: Any) -> None:
    robot: dict[str, Any] = {"project": "nowhere", "name": "nodes"}
    assert harbor("harbor_robot_account", check=True, permissions=PULL, **robot)["operation"] == "create"
    assert harbor("harbor_robot_account", state="absent", **robot)["changed"] is False
    assert "does not exist" in harbor("harbor_robot_account_info", fails=True, project="nowhere")["msg"]


def test_deleted_in_the_meantime(standin: Standin, harbor: Any) -> None:
    harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)
    standin.meanwhile = lambda name: standin.robots.clear() if name == "DeleteRobot" else None
    harbor("harbor_robot_account", project="library", name="nodes", state="absent")
    standin.meanwhile = None
    harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)
    standin.meanwhile = lambda name: standin.robots.clear() if name == "UpdateRobot" else None
    result = harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL, duration=5)
    assert result["operation"] == "create"
    assert result["robot"]["secret"] == only(standin)["secret"]


def test_answers_without_what_they_should_have(standin: Standin, harbor: Any) -> None:
    location = {"Location": "/api/v2.0/robots/1"}
    standin.faults = [Fault(201, headers=location, match="POST")]
    made = harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)
    assert made["robot"]["secret"] == ""
    assert made["robot"]["id"] == 1
    harbor("harbor_robot_account", project="library", name="nodes", permissions=PULL)
    standin.faults = [Fault(200, body=b"[]", match="PATCH")]
    rotated = harbor("harbor_robot_account", project="library", name="nodes", rotate=True)
    assert rotated["robot"]["secret"] == ""
