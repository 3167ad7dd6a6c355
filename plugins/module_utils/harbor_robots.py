# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Robot accounts of Harbor, as the modules see them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
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
)

FOREVER = -1
ROBOT_NAME = r"^[a-z0-9]+(?:[._-][a-z0-9]+)*\Z"
PERMISSION_FIELDS: Json = {
    "kind": {"type": "str", "choices": ["project", "system"], "default": "project"},
    "namespace": {"type": "str"},
    "access": {"type": "list", "elements": "str", "required": True},
}
ROBOT_FIELDS: Json = {
    "name": {"type": "str"},
    "project": {"type": "str"},
    "description": {"type": "str"},
    "permissions": {"type": "list", "elements": "dict", "options": PERMISSION_FIELDS},
    "duration": {"type": "int"},
    "disabled": {"type": "bool"},
    "secret": {"type": "str", "no_log": True},
    "rotate": {"type": "bool", "default": False},
}


def robot_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a robot account as Harbor returns it."""
    return {
        "description": text(raw, "description"),
        "duration": number(raw, "duration"),
        "disabled": flag(raw, "disable"),
        "permissions": _sorted(_permission(one) for one in parts(raw, "permissions")),
    }


def robot_details(raw: Mapping[str, Any]) -> Json:
    """What Harbor says of a robot account and nobody sets."""
    return {"id": number(raw, "id"), "full_name": text(raw, "name"), "expires_at": number(raw, "expires_at", FOREVER)}


def _permission(raw: Mapping[str, Any]) -> Json:
    access = {
        ":".join([text(one, "resource"), text(one, "action"), *_effect(text(one, "effect"))])
        for one in parts(raw, "access")
    }
    return {"kind": text(raw, "kind"), "namespace": text(raw, "namespace"), "access": sorted(access)}


def _effect(effect: str) -> list[str]:
    return [effect] if effect not in ("", "allow") else []


def _sorted(permissions: Any) -> list[Json]:
    return sorted(permissions, key=lambda one: (one["kind"], one["namespace"]))


def _access(written: str) -> Json:
    resource, action, *effect = written.split(":")
    return {"resource": resource, "action": action, **({"effect": effect[0]} if effect else {})}


def list_robots(client: HarborClient, project: str | None) -> list[Json]:
    """The robot accounts of a project, none where the project does not exist, or those of the system."""
    if project is None:
        return client.list_all("robots", "listing the robot accounts of the system")
    found = find_project(client, project)
    if found is None:
        return []
    query = {"q": f"Level=project,ProjectID={project_id(found)}"}
    return client.list_all("robots", f"listing the robot accounts of project '{project}'", params=query)


class Robots(ObjectType):
    """Robot accounts of projects and of the system; one list is read for each project that is named."""

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.raw: dict[str, Json] = {}
        #: robots that do not know the secret that was given
        self.stale: set[str] = set()
        self._name_prefix: str | None = None

    def identify(self, item: Mapping[str, Any]) -> str:
        return f"{item['project']}+{item['name']}" if item["project"] else str(item["name"])

    def identity(self, item: Mapping[str, Any]) -> Json:
        return {"name": item["name"], "project": item["project"]}

    def validate(self, item: Mapping[str, Any]) -> None:
        what = f"robot account '{item['name']}'"
        if not re.match(ROBOT_NAME, item["name"]):
            raise ObjectError(
                f"'{item['name']}' cannot be the name of a robot account: use lower-case letters and digits with one "
                "'.', '_' or '-' between them, and leave out the prefix and the project."
            )
        if item["project"]:
            check_project_name(item["project"])
        if item["duration"] is not None and item["duration"] != FOREVER and item["duration"] < 1:
            raise ObjectError(f"duration of {what} is {item['duration']}: give days, or -1 for ever.")
        self._validate_secret(what, item["secret"])
        self._validate_permissions(what, item)

    @staticmethod
    def _validate_secret(what: str, secret: str | None) -> None:
        if secret is None:
            return
        if not 8 <= len(secret) <= 128 or not all(re.search(f"[{part}]", secret) for part in ("a-z", "A-Z", "0-9")):
            raise ObjectError(
                f"secret of {what} is too weak: use 8 to 128 characters with a capital, a small letter and a digit."
            )

    @staticmethod
    def _validate_permissions(what: str, item: Mapping[str, Any]) -> None:
        permissions = item["permissions"]
        if permissions is None:
            return
        for permission in permissions:
            for access in permission["access"]:
                if not re.match(r"^[a-z*-]+:[a-z*-]+(?::(?:allow|deny))?\Z", access):
                    raise ObjectError(
                        f"access of {what} has '{access}': write it as RESOURCE:ACTION, for instance repository:pull."
                    )
        if not permissions or not all(permission["access"] for permission in permissions):
            raise ObjectError(
                f"permissions of {what} are empty, which Harbor does not take: give some, or state: absent."
            )
        if item["project"] and (
            len(permissions) > 1
            or permissions[0]["kind"] != "project"
            or permissions[0]["namespace"] not in (None, item["project"])
        ):
            raise ObjectError(
                f"permissions of {what} reach beyond project '{item['project']}': give one, for this project, or leave "
                "out project to make a robot account of the system."
            )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        states: dict[str, Json] = {}
        for project in dict.fromkeys(item["project"] or None for item in items):
            for raw in list_robots(self.client, project):
                name = self.short_name(raw, project)
                key = self.identify({"project": project, "name": name})
                self.raw[key] = raw
                states[key] = {**robot_state(raw), "secret_changed": False}
        for item in items:
            key = self.identify(item)
            if item["secret"] and key in states and not self._knows(self.raw[key], item["secret"]):
                self.stale.add(key)
        return states

    def short_name(self, raw: Mapping[str, Any], project: str | None) -> str:
        """The name without the prefix that Harbor's configuration gives, and without the project."""
        full = text(raw, "name")
        # Neither character can be in a name.
        for separator in ("+", "$") if project else ("$",):
            _before, found, name = full.rpartition(separator)
            if found:
                return name
        return full.removeprefix(self._prefix())

    def _prefix(self) -> str:
        if self._name_prefix is None:
            try:
                settings = self.client.get("configurations", "reading the prefix of robot accounts")
                self._name_prefix = text(part(settings, "robot_name_prefix"), "value")
            except HarborError as error:
                if error.kind != "auth":
                    raise
                self._name_prefix = ""
        return self._name_prefix

    def _knows(self, raw: Mapping[str, Any], secret: str) -> bool:
        """Whether a robot account has this secret; one that cannot log in is taken to have it."""
        expires = number(raw, "expires_at", FOREVER)
        if flag(raw, "disable") or (expires != FOREVER and expires < time.time()):
            return True
        return self.client.as_other(text(raw, "name"), secret).knows_me()

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state: Json = dict(current or {**robot_state({}), "duration": FOREVER})
        for option in ("description", "duration", "disabled"):
            if item[option] is not None:
                state[option] = item[option]
        if item["permissions"] is not None:
            state["permissions"] = _sorted(
                {
                    "kind": one["kind"],
                    "namespace": one["namespace"] or ("/" if one["kind"] == "system" else item["project"] or "*"),
                    "access": sorted({access.removesuffix(":allow") for access in one["access"]}),
                }
                for one in item["permissions"]
            )
        if current is None and not state["permissions"]:
            raise ObjectError(
                f"permissions of robot account '{item['name']}' are not set, but a new one needs some: give them."
            )
        state["secret_changed"] = current is None or item["rotate"] or self.identify(item) in self.stale
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        what = f"creating robot account '{self.identify(item)}'"
        if item["project"] and find_project(self.client, item["project"]) is None:
            raise missing_project(item["project"])
        body = {"name": item["name"], **self._body(item, wanted)}
        made, answer = self.client.create("robots", what, body)
        if not isinstance(answer, dict):
            answer = {}
        identifier = number(answer, "id") or made
        raw = {**answer, "id": identifier}
        known = {**robot_details(raw), "secret": text(answer, "secret")}
        if item["secret"]:
            # Harbor makes a secret of its own, whatever it is given.
            known.pop("secret")
            self._set_secret(item, raw)
        if wanted["disabled"]:
            # A new robot account is enabled, whatever Harbor is given.
            self.client.put(f"robots/{identifier}", what, {**body, "id": identifier, "name": text(raw, "name")})
        return known

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raw = self.raw[self.identify(item)]
        identifier = number(raw, "id")
        if {**current, "secret_changed": True} != {**wanted, "secret_changed": True}:
            body = {"id": identifier, "name": text(raw, "name"), **self._body(item, wanted)}
            self.client.put(f"robots/{identifier}", f"updating robot account '{self.identify(item)}'", body)
        if wanted["secret_changed"]:
            return self._set_secret(item, raw)
        return None

    @staticmethod
    def _body(item: Mapping[str, Any], wanted: Json) -> Json:
        return {
            "description": wanted["description"],
            "level": "project" if item["project"] else "system",
            "duration": wanted["duration"],
            "disable": wanted["disabled"],
            "permissions": [
                {**permission, "access": [_access(access) for access in permission["access"]]}
                for permission in wanted["permissions"]
            ],
        }

    def _set_secret(self, item: Mapping[str, Any], raw: Mapping[str, Any]) -> Json:
        """Give a robot account the secret of the options, or have Harbor make one, which is returned."""
        what = f"setting the secret of robot account '{self.identify(item)}'"
        answer = self.client.patch(f"robots/{number(raw, 'id')}", what, {"secret": item["secret"] or ""})
        return {} if item["secret"] else {"secret": text(answer, "secret")}

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        identifier = number(self.raw[self.identify(item)], "id")
        self.client.delete(f"robots/{identifier}", f"deleting robot account '{self.identify(item)}'")

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(self.identify(item))
        return robot_details(raw) if raw else {}
