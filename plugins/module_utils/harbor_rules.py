# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules on the tags of a project, as the modules see them: retention and immutability."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    BY_NAME,
    HarborClient,
    HarborError,
    flag,
    number,
    part,
    parts,
    text,
)
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import (
    check_project_name,
    find_project,
    missing_project,
    project_id,
    project_path,
)

DECORATIONS = ("matches", "excludes")
REPOSITORY_DECORATIONS = {"matches": "repoMatches", "excludes": "repoExcludes"}
TEMPLATES = {
    "latest_pushed": "latestPushedK",
    "latest_pulled": "latestPulledN",
    "pushed_within": "nDaysSinceLastPush",
    "pulled_within": "nDaysSinceLastPull",
    "always": "always",
}
MOST_RULES = 15
SELECTOR_FIELDS: Json = {
    "tags": {"type": "str", "default": "**"},
    "tags_decoration": {"type": "str", "choices": list(DECORATIONS), "default": "matches"},
    "repositories": {"type": "str", "default": "**"},
    "repositories_decoration": {"type": "str", "choices": list(DECORATIONS), "default": "matches"},
}
RETENTION_FIELDS: Json = {
    "project": {"type": "str"},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "keep": {"type": "str", "choices": list(TEMPLATES), "required": True},
            "count": {"type": "int"},
            "untagged": {"type": "bool", "default": True},
            "disabled": {"type": "bool", "default": False},
            **SELECTOR_FIELDS,
        },
    },
    "cron": {"type": "str"},
}
IMMUTABILITY_FIELDS: Json = {
    **SELECTOR_FIELDS,
    "tags": {"type": "str"},
    "disabled": {"type": "bool"},
}


def check_cron(option: str, cron: str) -> None:
    """Refuse the five fields that cron has elsewhere."""
    fields = cron.split()
    if cron and len(fields) != 6:
        raise ObjectError(
            f"{option} is '{cron}', which has {len(fields)} fields: Harbor wants 6, the first for seconds, for example "
            "'0 0 3 * * *'."
        )


def _selector(decoration: str, pattern: str) -> Json:
    return {"kind": "doublestar", "decoration": decoration, "pattern": pattern}


def selectors(rule: Mapping[str, Any]) -> Json:
    """The selectors of a rule as Harbor takes them."""
    repository = _selector(REPOSITORY_DECORATIONS[rule["repositories_decoration"]], rule["repositories"])
    return {
        "tag_selectors": [_selector(rule["tags_decoration"], rule["tags"])],
        "scope_selectors": {"repository": [repository]},
    }


def describe_selectors(raw: Mapping[str, Any]) -> Json:
    """The selectors of a rule as the modules return them; several patterns are shown with commas between them."""
    tags = parts(raw, "tag_selectors")
    repositories = parts(part(raw, "scope_selectors"), "repository")
    decorations = {theirs: ours for ours, theirs in REPOSITORY_DECORATIONS.items()}
    return {
        "tags": ",".join(text(one, "pattern") for one in tags),
        "tags_decoration": ",".join(text(one, "decoration") for one in tags),
        "repositories": ",".join(text(one, "pattern") for one in repositories),
        "repositories_decoration": ",".join(
            decorations.get(text(one, "decoration"), text(one, "decoration")) for one in repositories
        ),
    }


def describe_retention_rule(raw: Mapping[str, Any]) -> Json:
    """A retention rule as the modules return it."""
    template = text(raw, "template")
    names = {theirs: ours for ours, theirs in TEMPLATES.items()}
    count = part(raw, "params").get(template)
    extras = "".join(text(one, "extras") for one in parts(raw, "tag_selectors"))
    return {
        "keep": names.get(template, template),
        "count": int(count) if isinstance(count, (int, float)) else None,
        "untagged": '"untagged":true' in extras.replace(" ", ""),
        "disabled": flag(raw, "disabled"),
        **describe_selectors(raw),
    }


def retention_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a retention policy; the order of its rules means nothing."""
    cron = part(part(raw, "trigger"), "settings").get("cron")
    return {
        "rules": _in_order(describe_retention_rule(rule) for rule in parts(raw, "rules")),
        "cron": cron if isinstance(cron, str) else "",
    }


def _in_order(rules: Any) -> list[Json]:
    return sorted(rules, key=lambda rule: json.dumps(rule, sort_keys=True))


def read_retention(client: HarborClient, project: Mapping[str, Any]) -> Json | None:
    """The retention policy that the metadata of a project name, or None."""
    policy = text(part(project, "metadata"), "retention_id")
    if not policy:
        return None
    name = text(project, "name")
    try:
        return client.find(f"retentions/{policy}", f"reading the retention policy of project '{name}'")
    except HarborError as error:
        if error.status == 500:
            raise HarborError(
                f"{error} Project '{name}' names the retention policy {policy}: if that was deleted, remove the "
                "metadata 'retention_id' of the project.",
                error.kind,
                error.status,
                error.words,
            ) from error
        raise


class RetentionPolicies(ObjectType):
    """Retention policies; a project has at most one, and its metadata say which."""

    key = "project"

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.projects: dict[str, Json] = {}
        self.raw: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        check_project_name(item["project"])
        what = f"of project '{item['project']}'"
        if item["cron"]:
            check_cron(f"cron {what}", item["cron"])
        rules = item["rules"] or []
        if len(rules) > MOST_RULES:
            raise ObjectError(f"rules {what} are {len(rules)}, but Harbor takes {MOST_RULES} at most: leave some out.")
        for rule in rules:
            if (rule["keep"] == "always") != (rule["count"] is None):
                needs = "takes no count: leave it out" if rule["keep"] == "always" else "needs a count: give it"
                raise ObjectError(f"A rule {what} that keeps '{rule['keep']}' {needs}.")
            if rule["count"] is not None and rule["count"] < 1:
                raise ObjectError(f"count of a rule {what} is {rule['count']}: give a number above 0.")
        if len({json.dumps(rule, sort_keys=True) for rule in rules}) < len(rules):
            raise ObjectError(f"rules {what} have one rule twice: leave one of them.")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        states = {}
        for item in items:
            name = item["project"]
            project = find_project(self.client, name)
            if project is None:
                continue
            self.projects[name] = project
            policy = read_retention(self.client, project)
            if policy is not None:
                self.raw[name] = policy
                states[name] = retention_state(policy)
        return states

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or retention_state({}))
        if item["rules"] is not None:
            state["rules"] = _in_order(dict(rule) for rule in item["rules"])
        if item["cron"] is not None:
            state["cron"] = " ".join(item["cron"].split())
        return state

    def _policy(self, name: str, wanted: Json) -> Json:
        return {
            "algorithm": "or",
            "rules": [_retention_rule(rule) for rule in wanted["rules"]],
            "trigger": {"kind": "Schedule", "settings": {"cron": wanted["cron"]}},
            "scope": {"level": "project", "ref": project_id(self.projects[name])},
        }

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        name = item["project"]
        if name not in self.projects:
            raise missing_project(name)
        if text(part(self.projects[name], "metadata"), "retention_id"):
            # The policy that the metadata name is gone, and Harbor makes no other beside it.
            self._forget(name)
        what = f"creating the retention policy of project '{name}'"
        try:
            return {"id": self.client.create("retentions", what, self._policy(name, wanted))[0]}
        except HarborError as error:
            if "already has retention policy" in error.words:
                raise HarborError(str(error), "conflict", error.status, error.words) from error
            raise

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        name = item["project"]
        identifier = number(self.raw[name], "id")
        body = {**self._policy(name, wanted), "id": identifier}
        self.client.put(f"retentions/{identifier}", f"updating the retention policy of project '{name}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        name = item["project"]
        identifier = number(self.raw[name], "id")
        self.client.delete(f"retentions/{identifier}", f"deleting the retention policy of project '{name}'")
        project = find_project(self.client, name) or {}
        if text(part(project, "metadata"), "retention_id") == str(identifier):
            # Not every version of Harbor forgets the policy, and then none can be made again.
            self._forget(name)

    def _forget(self, name: str) -> None:
        path = f"{project_path(name)}/metadatas/retention_id"
        what = f"removing the deleted retention policy from the metadata of project '{name}'"
        try:
            self.client.delete(path, what, headers=BY_NAME)
        except HarborError as error:
            if error.kind != "not_found":
                raise

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["project"])
        return {"id": number(raw, "id")} if raw else {}


def _retention_rule(rule: Mapping[str, Any]) -> Json:
    template = TEMPLATES.get(rule["keep"], rule["keep"])
    chosen = selectors(rule)
    chosen["tag_selectors"][0]["extras"] = json.dumps({"untagged": rule["untagged"]}, separators=(",", ":"))
    return {
        "disabled": rule["disabled"],
        "action": "retain",
        "template": template,
        "params": {} if rule["count"] is None else {template: rule["count"]},
        **chosen,
    }


class ImmutabilityRules(ObjectType):
    """Rules on tags that cannot be moved or deleted; what they select tells them apart."""

    key = "tags"

    def __init__(self, client: HarborClient, project: str) -> None:
        check_project_name(project)
        self.client = client
        self.project = project
        self.path = f"{project_path(project)}/immutabletagrules"
        self.raw: dict[str, Json] = {}

    def identify(self, item: Mapping[str, Any]) -> str:
        return (
            f"tags {item['tags_decoration']} {item['tags']}, "
            f"repositories {item['repositories_decoration']} {item['repositories']}"
        )

    def identity(self, item: Mapping[str, Any]) -> Json:
        return {name: item[name] for name in SELECTOR_FIELDS}

    def validate(self, item: Mapping[str, Any]) -> None:
        for name in ("tags", "repositories"):
            if not item[name].strip():
                raise ObjectError(f"{name} is empty: give a pattern, or ** for all.")

    def listed(self) -> Sequence[Json]:
        """All rules of the project as Harbor returns them."""
        what = f"listing the immutability rules of project '{self.project}'"
        return self.client.list_all(self.path, what, headers=BY_NAME)

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if find_project(self.client, self.project) is None:
            return {}
        self.raw = {self.identify(describe_selectors(raw)): raw for raw in self.listed()}
        return {key: {"disabled": flag(raw, "disabled")} for key, raw in self.raw.items()}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or {"disabled": False})
        if item["disabled"] is not None:
            state["disabled"] = item["disabled"]
        return state

    @staticmethod
    def _rule(item: Mapping[str, Any], wanted: Json) -> Json:
        return {
            "disabled": wanted["disabled"],
            "action": "immutable",
            "template": "immutable_template",
            **selectors(item),
        }

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        if find_project(self.client, self.project) is None:
            raise missing_project(self.project)
        what = f"creating the immutability rule for {self.identify(item)}"
        return {"id": self.client.create(self.path, what, self._rule(item, wanted), headers=BY_NAME)[0]}

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        identifier = number(self.raw[self.identify(item)], "id")
        what = f"updating the immutability rule for {self.identify(item)}"
        body = {**self._rule(item, wanted), "id": identifier}
        self.client.put(f"{self.path}/{identifier}", what, body, headers=BY_NAME)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        identifier = number(self.raw[self.identify(item)], "id")
        what = f"deleting the immutability rule for {self.identify(item)}"
        self.client.delete(f"{self.path}/{identifier}", what, headers=BY_NAME)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(self.identify(item))
        return {"id": number(raw, "id")} if raw else {}
