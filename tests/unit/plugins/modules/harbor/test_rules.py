# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Retention and immutability of tags."""

from __future__ import annotations

from typing import Any

import pytest
from harbor_standin.server import Fault, Standin

TEN = {"keep": "latest_pushed", "count": 10}
MONTH = {"keep": "pulled_within", "count": 30, "tags": "v*", "tags_decoration": "excludes", "untagged": False}
ALL = {"keep": "always", "repositories": "tools/**", "repositories_decoration": "excludes", "disabled": True}


@pytest.mark.parametrize("forgets", [True, False])
def test_retention_life(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any, forgets: bool) -> None:
    standin.forgets_retention = forgets
    made = life("harbor_retention_policy", project="library", rules=[TEN, MONTH], cron="0 0 3 * * *")
    project = standin.project_named("library")
    assert project["metadata"]["retention_id"] == str(made["policy"]["id"])
    assert harbor("harbor_retention_policy", project="library", rules=[MONTH, TEN])["changed"] is False
    before, after = change("harbor_retention_policy", project="library", rules=[TEN, ALL])
    assert set(before) == {"rules"}
    assert {rule["keep"] for rule in after["rules"]} == {"latest_pushed", "always"}
    assert change("harbor_retention_policy", project="library", cron="0 30 1 * * *")[1] == {"cron": "0 30 1 * * *"}
    assert change("harbor_retention_policy", project="library", cron="")[1] == {"cron": ""}
    assert change("harbor_retention_policy", project="library", rules=[])[1] == {"rules": []}
    assert len(standin.retentions) == 1
    shown = harbor("harbor_retention_policy_info", project="library")["policy"]
    assert (shown["rules"], shown["cron"]) == ([], "")
    gone("harbor_retention_policy", project="library")
    assert "retention_id" not in project["metadata"]
    assert harbor("harbor_retention_policy_info", project="library")["policy"] is None
    # And another, which Harbor refuses where the first is remembered.
    life("harbor_retention_policy", project="library", rules=[TEN])


def test_what_harbor_gets(standin: Standin, harbor: Any) -> None:
    harbor("harbor_retention_policy", project="library", rules=[MONTH], cron=" 0  0 3 * *   * ")
    (policy,) = standin.retentions.values()
    assert policy["trigger"] == {"kind": "Schedule", "settings": {"cron": "0 0 3 * * *"}}
    assert policy["rules"] == [
        {
            "disabled": False,
            "action": "retain",
            "template": "nDaysSinceLastPull",
            "params": {"nDaysSinceLastPull": 30},
            "tag_selectors": [
                {"kind": "doublestar", "decoration": "excludes", "pattern": "v*", "extras": '{"untagged":false}'}
            ],
            "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
        }
    ]


def test_policy_that_somebody_else_deleted(standin: Standin, harbor: Any) -> None:
    harbor("harbor_retention_policy", project="library", rules=[TEN])
    standin.retentions.clear()
    message = harbor("harbor_retention_policy", fails=True, project="library", rules=[TEN])["msg"]
    assert "remove the metadata 'retention_id'" in message
    standin.forgets_retention = True
    assert harbor("harbor_retention_policy", project="library", rules=[TEN])["operation"] == "create"
    assert len(standin.retentions) == 1
    standin.faults = [Fault(502, times=9, match="retentions/")]
    assert "failed (502)" in harbor("harbor_retention_policy_info", fails=True, project="library")["msg"]


def test_forgetting_what_is_forgotten(standin: Standin, harbor: Any) -> None:
    harbor("harbor_retention_policy", project="library", rules=[TEN])
    standin.faults = [Fault(404, match="DELETE /api/v2.0/projects")]
    assert harbor("harbor_retention_policy", project="library", state="absent")["operation"] == "delete"
    harbor("harbor_project", name="again")
    harbor("harbor_retention_policy", project="again", rules=[TEN])
    standin.faults = [Fault(403, match="DELETE /api/v2.0/projects")]
    message = harbor("harbor_retention_policy", fails=True, project="again", state="absent")["msg"]
    assert "removing the deleted retention policy" in message


def test_policy_made_in_the_meantime(standin: Standin, harbor: Any) -> None:
    project = standin.project_named("library")

    def meanwhile(name: str) -> None:
        if name == "createRetention":
            standin.meanwhile = None
            standin.retentions[7] = {
                "id": 7,
                "algorithm": "or",
                "rules": [],
                "trigger": {"kind": "Schedule", "settings": {"cron": ""}},
                "scope": {"level": "project", "ref": project["project_id"]},
            }
            project["metadata"]["retention_id"] = "7"

    standin.meanwhile = meanwhile
    assert harbor("harbor_retention_policy", project="library", rules=[TEN])["operation"] == "update"
    assert list(standin.retentions) == [7]
    standin.retentions.clear()
    project["metadata"].pop("retention_id")
    standin.faults = [Fault(400, body=b'{"errors":[{"code":"BAD_REQUEST","message":"other"}]}', match="POST")]
    assert "refused (400 other)" in harbor("harbor_retention_policy", fails=True, project="library", rules=[TEN])["msg"]


def test_many_policies(standin: Standin, harbor: Any) -> None:
    standin.make_project("second")
    both = [{"project": name, "rules": [TEN]} for name in ("library", "second")]
    assert harbor("harbor_retention_policy", policies=both)["changed"] is True
    assert harbor("harbor_retention_policy", policies=both)["changed"] is False
    mixed = [{"project": "library", "state": "absent"}, {"project": "second", "cron": "0 0 0 * * *"}]
    result = harbor("harbor_retention_policy", policies=mixed)["policies"]
    assert [one["operation"] for one in result] == ["delete", "update"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cron": "0 3 * * *"}, "has 5 fields"),
        ({"rules": [{"keep": "latest_pushed"}]}, "needs a count"),
        ({"rules": [{"keep": "always", "count": 3}]}, "takes no count"),
        ({"rules": [{"keep": "latest_pushed", "count": 0}]}, "a number above 0"),
        ({"rules": [TEN, TEN]}, "one rule twice"),
        ({"rules": [{**TEN, "count": number + 1} for number in range(16)]}, "takes 15 at most"),
        ({"project": "Nowhere!"}, "cannot be the name of a project"),
        ({"project": "nowhere", "rules": [TEN]}, "Project 'nowhere' does not exist"),
    ],
)
def test_retention_that_cannot_be(harbor: Any, options: dict[str, Any], words: str) -> None:
    assert words in harbor("harbor_retention_policy", fails=True, **{"project": "library", **options})["msg"]


def test_retention_of_a_project_that_is_to_come(harbor: Any) -> None:
    assert harbor("harbor_retention_policy", check=True, project="nowhere", rules=[TEN])["operation"] == "create"
    assert harbor("harbor_retention_policy", project="nowhere", state="absent")["changed"] is False


def test_template_that_the_module_does_not_know(standin: Standin, harbor: Any) -> None:
    harbor("harbor_retention_policy", project="library", rules=[TEN])
    (policy,) = standin.retentions.values()
    policy["rules"][0].update(template="nothing", params={})
    policy["trigger"] = {"kind": "Schedule", "settings": {}}
    shown = harbor("harbor_retention_policy_info", project="library")["policy"]
    assert (shown["rules"][0]["keep"], shown["rules"][0]["count"], shown["cron"]) == ("nothing", None, "")


def test_immutability_life(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any) -> None:
    rule = {"project": "library", "tags": "v*"}
    made = life("harbor_tag_immutability_rule", **rule)
    assert made["diff"]["after"] == {"tags matches v*, repositories matches **": {"disabled": False}}
    assert change("harbor_tag_immutability_rule", **rule, disabled=True)[1] == {"disabled": True}
    assert harbor("harbor_tag_immutability_rule", **rule)["rule"]["disabled"] is True
    # The same tags elsewhere are another rule.
    other = {**rule, "repositories": "tools/**", "repositories_decoration": "excludes", "tags_decoration": "excludes"}
    life("harbor_tag_immutability_rule", **other)
    listed = harbor("harbor_tag_immutability_rule_info", project="library")["rules"]
    assert [one["repositories"] for one in listed] == ["**", "tools/**"]
    assert [one["repositories_decoration"] for one in listed] == ["matches", "excludes"]
    gone("harbor_tag_immutability_rule", **rule)
    assert len(standin.rules) == 1


def test_many_rules(standin: Standin, harbor: Any) -> None:
    rules: list[dict[str, Any]] = [{"tags": f"{number}*"} for number in range(30)]
    assert harbor("harbor_tag_immutability_rule", project="library", rules=rules)["changed"] is True
    assert harbor("harbor_tag_immutability_rule", project="library", rules=rules)["changed"] is False
    mixed = [{**rules[0], "state": "absent"}, {**rules[1], "disabled": True}]
    result = harbor("harbor_tag_immutability_rule", project="library", rules=mixed)["rules"]
    assert [one["operation"] for one in result] == ["delete", "update"]
    assert len(standin.rules) == 29


def test_rule_made_or_deleted_in_the_meantime(standin: Standin, harbor: Any) -> None:
    harbor("harbor_tag_immutability_rule", project="library", tags="v*")
    kept = dict(standin.rules)
    standin.rules.clear()
    standin.meanwhile = lambda name: standin.rules.update(kept) if name == "CreateImmuRule" else None
    assert harbor("harbor_tag_immutability_rule", project="library", tags="v*")["operation"] == "none"
    standin.meanwhile = lambda name: standin.rules.clear() if name == "DeleteImmuRule" else None
    harbor("harbor_tag_immutability_rule", project="library", tags="v*", state="absent")


def test_rules_that_cannot_be(harbor: Any) -> None:
    def message(**options: Any) -> str:
        return str(harbor("harbor_tag_immutability_rule", fails=True, **{"project": "library", **options})["msg"])

    assert "tags is empty" in message(tags="")
    assert "repositories is empty" in message(tags="v*", repositories=" ")
    assert "does not exist" in message(project="nowhere", tags="v*")
    assert "cannot be the name" in message(project="a/b", tags="v*")
    options = {"project": "nowhere", "tags": "v*"}
    assert harbor("harbor_tag_immutability_rule", check=True, **options)["operation"] == "create"
    assert harbor("harbor_tag_immutability_rule", state="absent", **options)["changed"] is False
    assert "does not exist" in harbor("harbor_tag_immutability_rule_info", fails=True, project="nowhere")["msg"]


def test_rule_with_several_patterns_is_left_alone(standin: Standin, harbor: Any) -> None:
    harbor("harbor_tag_immutability_rule", project="library", tags="v*")
    (rule,) = standin.rules.values()
    rule["tag_selectors"].append({"kind": "doublestar", "decoration": "excludes", "pattern": "rc"})
    rule["scope_selectors"]["repository"][0]["decoration"] = "other"
    shown = harbor("harbor_tag_immutability_rule_info", project="library")["rules"][0]
    assert (shown["tags"], shown["tags_decoration"]) == ("v*,rc", "matches,excludes")
    assert shown["repositories_decoration"] == "other"
    assert harbor("harbor_tag_immutability_rule", project="library", tags="v*")["operation"] == "create"
