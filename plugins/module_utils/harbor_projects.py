# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Projects of Harbor, their members and their quotas, as the modules see them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    BY_NAME,
    HarborClient,
    HarborError,
    number,
    part,
    parts,
    segment,
    text,
)

# Up to so many projects are read one by one, more by listing all.
FEW = 3
UNLIMITED = -1

# Metadata that are true or false. All values of metadata are strings.
SWITCHES = (
    "public",
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
)
SEVERITIES = ("none", "low", "medium", "high", "critical")
PROJECT_FIELDS: Json = {
    "name": {"type": "str"},
    **{name: {"type": "bool"} for name in SWITCHES},
    "severity": {"type": "str", "choices": list(SEVERITIES)},
    "cve_allowlist": {"type": "list", "elements": "str"},
    "registry": {"type": "str"},
    "proxy_speed_kb": {"type": "int"},
}
ROLES = {"project_admin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limited_guest": 5}
ROLE_NAMES = {number: name for name, number in ROLES.items()}
GROUP_TYPES = {"ldap": 1, "http": 2, "oidc": 3}
ENTITY_TYPES = {"user": "u", "group": "g"}


def check_project_name(name: str) -> None:
    """Refuse what Harbor never takes; in a path it would even name something else."""
    if len(name) > 255 or not re.match(r"^[a-z0-9]+(?:[._-]+[a-z0-9]+)*\Z", name):
        raise ObjectError(
            f"'{name}' cannot be the name of a project: use at most 255 lower-case letters and digits, with '.', '_' "
            "or '-' between them."
        )


def project_path(name: str) -> str:
    """Where a project is; to be used with the headers BY_NAME."""
    return f"projects/{segment(name)}"


def find_project(client: HarborClient, name: str) -> Json | None:
    """A project as Harbor returns it, or None."""
    check_project_name(name)
    project = client.find(project_path(name), f"reading project '{name}'", headers=BY_NAME)
    if project is not None and text(part(project, "metadata"), "public") == "true":
        # Anybody may read it, even with credentials that are wrong.
        client.require_login()
    return project


def missing_project(name: str) -> HarborError:
    """What to say where a project should be."""
    return HarborError(f"Project '{name}' does not exist: create it with harbor_project first.", "option")


def need_project(client: HarborClient, name: str) -> Json:
    """A project that must be there."""
    project = find_project(client, name)
    if project is None:
        raise missing_project(name)
    return project


def project_id(project: Mapping[str, Any]) -> int:
    """The ID of a project as Harbor returns it."""
    return number(project, "project_id")


def project_details(raw: Mapping[str, Any]) -> Json:
    """What Harbor says of a project and nobody sets."""
    return {
        "project_id": project_id(raw),
        "owner": text(raw, "owner_name"),
        "repo_count": number(raw, "repo_count"),
        "creation_time": text(raw, "creation_time"),
    }


class Projects(ObjectType):
    """Projects, read one by one where there are few."""

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.raw: dict[str, Json] = {}
        self._registries: dict[int, str] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        check_project_name(item["name"])

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        names = [str(item["name"]) for item in items]
        if len(names) <= FEW:
            found = [find_project(self.client, name) for name in names]
        else:
            self.client.require_login()
            found = [
                raw for raw in self.client.list_all("projects", "listing the projects") if raw.get("name") in names
            ]
        for name in names:
            self.raw.pop(name, None)
        self.raw.update({text(raw, "name"): raw for raw in found if raw is not None})
        return {name: self.state(self.raw[name]) for name in names if name in self.raw}

    def read_all(self) -> list[Json]:
        """All projects that the account may see."""
        self.client.require_login()
        return self.client.list_all("projects", "listing the projects")

    def state(self, raw: Mapping[str, Any]) -> Json:
        """The comparable part of a project as Harbor returns it."""
        metadata = part(raw, "metadata")
        state: Json = {name: text(metadata, name) == "true" for name in SWITCHES}
        # A project that says nothing goes by the allowlist of the system.
        state["reuse_sys_cve_allowlist"] = text(metadata, "reuse_sys_cve_allowlist") in ("", "true")
        state["severity"] = text(metadata, "severity") or "none"
        state["cve_allowlist"] = sorted(text(entry, "cve_id") for entry in parts(part(raw, "cve_allowlist"), "items"))
        state["registry"] = self._registry_name(number(raw, "registry_id"))
        speed = text(metadata, "proxy_speed_kb")
        state["proxy_speed_kb"] = int(speed) if re.match(r"^-?[0-9]+\Z", speed) else UNLIMITED
        return state

    def _registry_name(self, registry: int) -> str:
        if registry and registry not in self._registries:
            try:
                raw = self.client.get(f"registries/{registry}", f"reading registry {registry}")
                self._registries[registry] = text(raw, "name")
            except HarborError as error:
                # Only administrators may read registries.
                if error.kind != "auth":
                    raise
                self._registries[registry] = str(registry)
        return self._registries.get(registry, "")

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or self.state({}))
        for name in (*SWITCHES, "severity", "proxy_speed_kb", "registry"):
            if item[name] is not None:
                state[name] = item[name]
        if item["cve_allowlist"] is not None:
            state["cve_allowlist"] = sorted(set(item["cve_allowlist"]))
        what = f"project '{item['name']}'"
        if current is not None and state["registry"] != current["registry"]:
            raise ObjectError(
                f"registry of {what} cannot be changed after its creation: leave it out, or delete the project first."
            )
        if not state["registry"] and item["proxy_speed_kb"] is not None:
            raise ObjectError(f"proxy_speed_kb of {what} has no effect without registry: leave it out.")
        if state["registry"] and item["enable_content_trust"]:
            raise ObjectError(f"enable_content_trust of {what} has no effect on a proxy cache: leave it out.")
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        name = item["name"]
        body: Json = {"project_name": name, "metadata": _metadata(self.state({}), wanted)}
        body["metadata"]["public"] = _string(wanted["public"])
        if wanted["registry"]:
            body["registry_id"] = registry_ids(self.client, [wanted["registry"]])[wanted["registry"]]
        made, _answer = self.client.create("projects", f"creating project '{name}'", body)
        if wanted["cve_allowlist"]:
            # Harbor takes no allowlist with a new project.
            self._put(name, {"cve_allowlist": _allowlist(wanted)})
        return {"project_id": made, "repo_count": 0}

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        # Only what changes: what somebody else changes at the same time is not undone.
        body: Json = {}
        metadata = _metadata(current, wanted)
        if metadata:
            body["metadata"] = metadata
        if current["cve_allowlist"] != wanted["cve_allowlist"]:
            body["cve_allowlist"] = _allowlist(wanted, part(self.raw[item["name"]], "cve_allowlist").get("expires_at"))
        self._put(item["name"], body)
        return None

    def _put(self, name: str, body: Json) -> None:
        self.client.put(project_path(name), f"updating project '{name}'", body, headers=BY_NAME)

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.client.delete(project_path(item["name"]), f"deleting project '{item['name']}'", headers=BY_NAME)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        return project_details(raw) if raw else {}


def _string(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _metadata(current: Json, wanted: Json) -> Json:
    names = (*SWITCHES, "severity", "proxy_speed_kb")
    return {name: _string(wanted[name]) for name in names if wanted[name] != current[name]}


def _allowlist(wanted: Json, expires_at: Any = None) -> Json:
    allowlist: Json = {"items": [{"cve_id": cve} for cve in wanted["cve_allowlist"]]}
    if isinstance(expires_at, int):
        allowlist["expires_at"] = expires_at
    return allowlist


def registry_ids(client: HarborClient, names: Sequence[str]) -> dict[str, int]:
    """IDs of registries that must be there, by name."""
    ids = {text(raw, "name"): number(raw, "id") for raw in client.list_all("registries", "listing the registries")}
    for name in names:
        if name not in ids:
            raise HarborError(f"Registry '{name}' does not exist: create it with harbor_registry first.", "option")
    return {name: ids[name] for name in names}


class Members(ObjectType):
    """The members of one project; one request a hundred reads them all."""

    def __init__(self, client: HarborClient, project: str, group_type: str) -> None:
        check_project_name(project)
        self.client = client
        self.project = project
        self.group_type = group_type
        self.path = f"{project_path(project)}/members"
        self.ids: dict[str, int] = {}

    def identify(self, item: Mapping[str, Any]) -> str:
        return f"{item['type']} {item['name']}"

    def identity(self, item: Mapping[str, Any]) -> Json:
        return {"name": item["name"], "type": item["type"]}

    def validate(self, item: Mapping[str, Any]) -> None:
        if not item["name"].strip():
            raise ObjectError("name of a member is empty: give the name of a user or a group.")

    def listed(self) -> Sequence[Json]:
        """All members as Harbor returns them."""
        return self.client.list_all(self.path, f"listing the members of project '{self.project}'", headers=BY_NAME)

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if find_project(self.client, self.project) is None:
            return {}
        members = [describe_member(raw) for raw in self.listed()]
        self.ids = {self.identify(member): member["id"] for member in members}
        return {self.identify(member): {"role": member["role"]} for member in members}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        if item["role"]:
            return {"role": item["role"]}
        if current is None:
            raise ObjectError(f"role of {self.identify(item)} is not set, but a new member needs one: give role.")
        return dict(current)

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        body: Json = {"role_id": ROLES[wanted["role"]]}
        if item["type"] == "user":
            body["member_user"] = {"username": item["name"]}
        else:
            body["member_group"] = {"group_name": item["name"], "group_type": GROUP_TYPES[self.group_type]}
        if find_project(self.client, self.project) is None:
            raise missing_project(self.project)
        what = f"adding {self.identify(item)} to project '{self.project}'"
        return {"id": self.client.create(self.path, what, body, headers=BY_NAME)[0]}

    def _member(self, item: Mapping[str, Any]) -> str:
        return f"{self.path}/{self.ids[self.identify(item)]}"

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        what = f"changing the role of {self.identify(item)} in project '{self.project}'"
        self.client.put(self._member(item), what, {"role_id": ROLES[wanted["role"]]}, headers=BY_NAME)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        what = f"removing {self.identify(item)} from project '{self.project}'"
        self.client.delete(self._member(item), what, headers=BY_NAME)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        known = self.ids.get(self.identify(item))
        return {"id": known} if known else {}


def describe_member(raw: Mapping[str, Any]) -> Json:
    """A member as the modules return it."""
    role = number(raw, "role_id")
    return {
        "name": text(raw, "entity_name"),
        "type": "group" if text(raw, "entity_type") == ENTITY_TYPES["group"] else "user",
        "role": ROLE_NAMES.get(role) or text(raw, "role_name") or str(role),
        "id": number(raw, "id"),
    }


def storage_bytes(value: str) -> int:
    """Bytes of a limit as a person writes it; C(unlimited) and -1 are no limit."""
    if value.strip().lower() in ("unlimited", "-1"):
        return UNLIMITED
    try:
        size = int(human_to_bytes(value))
    except ValueError:
        size = 0
    if size <= 0:
        raise ObjectError(f"storage_limit is '{value}': give bytes, a size such as 50GB, or unlimited.")
    return size


def describe_quota(raw: Mapping[str, Any]) -> Json:
    """A quota as the modules return it."""
    return {
        "project": text(part(raw, "ref"), "name"),
        "storage_limit": number(part(raw, "hard"), "storage", UNLIMITED),
        "storage_used": number(part(raw, "used"), "storage"),
        "id": number(raw, "id"),
    }


class Quotas(ObjectType):
    """Quotas of projects; Harbor makes and removes them with the projects."""

    key = "project"

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.found: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        check_project_name(item["project"])
        if item["storage_limit"] is not None:
            storage_bytes(item["storage_limit"])

    def listed(self, projects: Sequence[str]) -> dict[str, Json]:
        """Quotas by project, of all projects where none is named."""
        what = "listing the quotas"
        if not projects or len(projects) > FEW:
            raw = self.client.list_all("quotas", what, params={"reference": "project"})
        else:
            raw = []
            for name in projects:
                project = find_project(self.client, name)
                if project is not None:
                    query = {"reference": "project", "reference_id": project_id(project)}
                    raw += self.client.list_all("quotas", what, params=query)
        quotas = {quota["project"]: quota for quota in map(describe_quota, raw)}
        return {name: quota for name, quota in quotas.items() if not projects or name in projects}

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        self.found = self.listed([item["project"] for item in items])
        return {name: {"storage_limit": quota["storage_limit"]} for name, quota in self.found.items()}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        if item["storage_limit"] is not None:
            return {"storage_limit": storage_bytes(item["storage_limit"])}
        return dict(current or {"storage_limit": UNLIMITED})

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        need_project(self.client, item["project"])
        raise HarborError(
            f"Project '{item['project']}' has no quota: set quota_per_project_enable with harbor_configuration first.",
            "option",
        )

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        quota = self.found[item["project"]]["id"]
        what = f"updating the quota of project '{item['project']}'"
        self.client.put(f"quotas/{quota}", what, {"hard": {"storage": wanted["storage_limit"]}})
        return None

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        quota = self.found[item["project"]]
        return {"storage_used": quota["storage_used"], "id": quota["id"]}
