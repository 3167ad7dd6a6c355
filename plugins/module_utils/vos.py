# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VO with all that belongs to it: registry, namespace, policy, role, binding rules and Harbor project."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectError,
    ObjectType,
    PartlyDone,
    apply,
)
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, HarborError
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import (
    PROJECT_FIELDS,
    Projects,
    check_project_name,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError, segment
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import (
    POLICY_FIELDS,
    ROLE_FIELDS,
    RULE_FIELDS,
    AuthMethods,
    BindingRules,
    Policies,
    Roles,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import (
    NAMESPACE_FIELDS,
    Namespaces,
    check_description,
)
from ansible_collections.imagine.platform.plugins.module_utils.registry import NO_VO, VO, RegisteredVos
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import listing

VO_FIELDS: Json = {
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "base_domain": {"type": "str"},
    "description": {"type": "str"},
    "entitlements": {"type": "list", "elements": "str"},
    "auth_method": {"type": "str"},
    "claim": {"type": "str"},
    "access": {"type": "str", "choices": ["read", "write"]},
    "policies": {"type": "list", "elements": "str"},
    "harbor_project": {"type": "str"},
}
# How many jobs an error names.
_NAMED = 5


def acl_name(namespace: str) -> str:
    """Name of a VO's own ACL policy, and of its role."""
    return f"vo-{namespace}"


def rules(namespace: str, access: str) -> str:
    """What the members of a VO may do."""
    return f'namespace "{namespace}" {{\n  policy = "{access}"\n}}\n'


def selector(entitlement: str, claim: str) -> str:
    """Who is a member: the condition of a binding rule."""
    return f'"{entitlement}" in list.{claim}'


def _item(fields: Mapping[str, Any], state: str, **options: Any) -> Json:
    """Options as another module would have them; what is not given keeps what is there."""
    return {**dict.fromkeys(fields), **options, "state": state}


class Vos(RegisteredVos):
    """VOs. The registry comes first, since it alone says to whom a namespace belongs, and goes last."""

    def __init__(self, client: NomadClient, harbor: HarborClient | None = None, force: bool = False) -> None:
        super().__init__(client)
        self.client = client
        self.force = force
        self.namespaces = Namespaces(client)
        self.policies = Policies(client)
        self.roles = Roles(client)
        self.rules = BindingRules(client)
        self.projects = Projects(harbor) if harbor else None
        #: states as they were read
        self.known: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        super().validate(item)
        if item["state"] == "absent":
            return
        name = item["name"]
        check_description(item, f"VO '{name}'")
        if item["claim"] is not None and not (item["claim"].isascii() and item["claim"].isidentifier()):
            raise ObjectError(f"VO '{name}' has claim '{item['claim']}': use letters, digits and underscores.")
        if item["harbor_project"]:
            check_project_name(item["harbor_project"])
            if self.projects is None:
                raise ObjectError(f"VO '{name}' has a harbor_project: give harbor_url and an account as well.")

    # Reading

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        entries = super().read(items)
        # Of a new VO that is found, too, which is there already.
        wanted = {
            item["name"]: self._entry(item, entries.get(item["name"])) for item in items if item["state"] != "absent"
        }
        both = [*entries.values(), *wanted.values()]
        namespaces = self._read_namespaces(both)
        policies = self._read_policies(both)
        roles = self._read_roles(both)
        going = {item["name"] for item in items if item["state"] == "absent"}
        bound = self._read_rules(both, bool(going))
        projects = self._read_projects(both)
        self.known = {}
        for name, entry in {**wanted, **entries}.items():
            acl = acl_name(entry["namespace"])
            # Rules of other auth methods are somebody else's, until the role itself goes.
            methods = {entry["auth_method"], wanted.get(name, entry)["auth_method"]}
            own = [rule for rule in bound.get(acl, []) if name in going or rule["auth_method"] in methods]
            policy, role = policies.get(acl), roles.get(acl)
            self.known[name] = {
                **{key: entry[key] for key in NO_VO},
                "description": namespaces.get(entry["namespace"], {}).get("description"),
                "policy_rules": policy["rules"] if policy else None,
                "role_policies": role["policies"] if role else None,
                "binding_rules": own,
                "harbor_project_exists": projects.get(entry["harbor_project"]),
            }
        return {name: self.known[name] for name in entries}

    def _entry(self, item: Mapping[str, Any], current: Json | None) -> Json:
        return super().wanted(item, current)

    def _read_namespaces(self, entries: Sequence[Json]) -> dict[str, Json]:
        items = [_item(NAMESPACE_FIELDS, "present", name=entry["namespace"]) for entry in entries]
        return self.namespaces.read(items) if items else {}

    def _read_policies(self, entries: Sequence[Json]) -> dict[str, Json]:
        items = {acl_name(entry["namespace"]): self._policy_item(entry, "present") for entry in entries}
        return self.policies.read(list(items.values())) if items else {}

    def _read_roles(self, entries: Sequence[Json]) -> dict[str, Json]:
        items = [_item(ROLE_FIELDS, "present", name=acl_name(entry["namespace"])) for entry in entries]
        return self.roles.read(items) if items else {}

    def _read_rules(self, entries: Sequence[Json], everything: bool) -> dict[str, list[Json]]:
        """By role, the binding rules of the auth methods that VOs have, or of all."""
        methods = None if everything and entries else sorted({entry["auth_method"] for entry in entries} - {""})
        found: dict[str, list[Json]] = {}
        for rule in self.rules.find(methods) if methods != [] else []:
            if rule["bind_type"] == "role":
                known = {"auth_method": rule["auth_method"], "selector": rule["selector"]}
                found.setdefault(rule["bind_name"], []).append(known)
        return {role: _in_order(bound) for role, bound in found.items()}

    def _read_projects(self, entries: Sequence[Json]) -> dict[str, bool]:
        """Whether projects exist, as far as Harbor may be asked."""
        names = sorted({entry["harbor_project"] for entry in entries} - {""})
        if self.projects is None or not names:
            return {}
        read, items = self.projects.read, [_item(PROJECT_FIELDS, "present", name=name) for name in names]
        found = _with_harbor(lambda: read(items))
        return {name: name in found for name in names}

    # Judging

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        entry = self._entry(item, current)
        acl = acl_name(entry["namespace"])
        # What a namespace that is there already is said to be for stays, too.
        known = (current or self.known[item["name"]])["description"]
        method = entry["auth_method"]
        entitlements = entry["entitlements"] if method else []
        bound = [{"auth_method": method, "selector": selector(one, entry["claim"])} for one in entitlements]
        return {
            **entry,
            "description": next((text for text in (item["description"], known) if text is not None), item["name"]),
            "policy_rules": rules(entry["namespace"], entry["access"]),
            "role_policies": sorted({acl, *entry["policies"]}),
            "binding_rules": _in_order(bound),
            # Without an account for Harbor nothing is known of it, and nothing is done to it.
            "harbor_project_exists": True if entry["harbor_project"] and self.projects else None,
        }

    def judge(self, changes: Mapping[str, Json | None]) -> None:
        super().judge({name: None if state is None else _registered(state) for name, state in changes.items()})
        self._judge_logins({name: state for name, state in changes.items() if state and state["binding_rules"]})
        for name, state in changes.items():
            if state is None:
                self._judge_removal(name, self.known[name])

    def _judge_logins(self, states: Mapping[str, Json]) -> None:
        methods = sorted({state["auth_method"] for state in states.values()})
        found = {method["name"]: method for method in AuthMethods(self.client).find(methods)} if methods else {}
        for name, state in states.items():
            method, claim = state["auth_method"], state["claim"]
            if method not in found:
                raise ObjectError(
                    f"VO '{name}' has the auth method '{method}', which does not exist: make it first with "
                    "nomad_acl_auth_method."
                )
            if claim not in found[method]["list_claim_mappings"].values():
                raise ObjectError(
                    f"The auth method '{method}' of VO '{name}' maps no claim to the list '{claim}': add one to its "
                    f"list_claim_mappings, such as eduperson_entitlement: {claim}, or correct claim."
                )

    def _judge_removal(self, name: str, known: Mapping[str, Any]) -> None:
        jobs = self._jobs(known)
        if jobs and not self.force:
            named = listing([*jobs[:_NAMED], *([f"{len(jobs) - _NAMED} more"] if len(jobs) > _NAMED else [])])
            raise ObjectError(
                f"VO '{name}' still has jobs in namespace '{known['namespace']}' ({named}): stop them first, or set "
                "force to stop and purge them."
            )
        project = known["harbor_project"]
        if self.projects is not None and known["harbor_project_exists"]:
            count = self.projects.details({"name": project}, {}).get("repo_count")
            if count:
                raise ObjectError(
                    f"The Harbor project '{project}' of VO '{name}' still has {count} "
                    f"{'repository' if count == 1 else 'repositories'}: delete them first, or leave the Harbor options "
                    "out to keep the project."
                )

    def _jobs(self, known: Mapping[str, Any]) -> list[str]:
        """IDs of the jobs in a VO's namespace that have not ended."""
        if known["description"] is None:
            return []
        namespace = known["namespace"]
        listed = self.client.get_list(
            "jobs", f"listing the jobs of namespace '{namespace}'", params={"namespace": namespace}
        )
        return sorted(job["ID"] for job in listed if job["Status"] != "dead")

    # Writing

    def commit(self, changes: Mapping[str, Json | None]) -> None:
        present = {name: state for name, state in changes.items() if state is not None}
        absent = {name: self.known[name] for name, state in changes.items() if state is None}
        entries = {name: _registered(state) for name, state in present.items()}
        changed = {name: entry for name, entry in entries.items() if entry != self.entries().get(name)}
        if changed:
            # A conflict here begins everything again, with nothing done.
            self.registry.write(VO, changed)
        try:
            for name, state in present.items():
                self._write(name, state)
            for known in absent.values():
                self._remove(known)
        except (NomadError, HarborError, ObjectError) as error:
            failure = NomadError(f"{str(error).rstrip('.')}; run again to go on with what is left.", "partly")
            failure.result = {"changed": True}
            raise failure from error
        if absent:
            self.registry.write(VO, dict.fromkeys(absent))

    def _policy_item(self, entry: Mapping[str, Any], state: str) -> Json:
        namespace = entry["namespace"]
        text = rules(namespace, entry["access"])
        return _item(
            POLICY_FIELDS, state, name=acl_name(namespace), description=f"Members of namespace {namespace}", rules=text
        )

    def _rule_items(self, namespace: str, bound: Sequence[Mapping[str, Any]], state: str) -> list[Json]:
        acl = acl_name(namespace)
        return [_item(RULE_FIELDS, state, bind_type="role", bind_name=acl, **rule) for rule in bound]

    def _write(self, name: str, state: Json) -> None:
        namespace, acl = state["namespace"], acl_name(state["namespace"])
        _bring(
            self.namespaces,
            [_item(NAMESPACE_FIELDS, "present", name=namespace, description=state["description"])],
        )
        _bring(self.policies, [self._policy_item(state, "present")])
        role = _item(
            ROLE_FIELDS, "present", name=acl, description=f"Members of {name}"[:256], policies=state["role_policies"]
        )
        _bring(self.roles, [role])
        stale = [rule for rule in self.known[name]["binding_rules"] if rule not in state["binding_rules"]]
        if stale or state["binding_rules"]:
            _bring(
                self.rules,
                self._rule_items(namespace, state["binding_rules"], "present")
                + self._rule_items(namespace, stale, "absent"),
            )
        if state["harbor_project_exists"] and self.projects is not None:
            projects, item = self.projects, _item(PROJECT_FIELDS, "present", name=state["harbor_project"])
            _with_harbor(lambda: _bring(projects, [item]))

    def _remove(self, known: Json) -> None:
        namespace, acl = known["namespace"], acl_name(known["namespace"])
        for job in self._jobs(known):
            self.client.delete(
                f"job/{segment(job)}",
                f"purging job '{job}' of namespace '{namespace}'",
                params={"namespace": namespace, "purge": "true"},
            )
        _bring(self.namespaces, [_item(NAMESPACE_FIELDS, "absent", name=namespace)])
        if known["binding_rules"]:
            _bring(self.rules, self._rule_items(namespace, known["binding_rules"], "absent"))
        _bring(self.roles, [_item(ROLE_FIELDS, "absent", name=acl)])
        _bring(self.policies, [self._policy_item(known, "absent")])
        if known["harbor_project_exists"] and self.projects is not None:
            projects, item = self.projects, _item(PROJECT_FIELDS, "absent", name=known["harbor_project"])
            _with_harbor(lambda: _bring(projects, [item]))

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        return {"role": acl_name(state["namespace"])}


def _registered(state: Mapping[str, Any]) -> Json:
    """The part of a VO's state that the registry keeps."""
    return {key: state[key] for key in NO_VO}


def _in_order(bound: Sequence[Json]) -> list[Json]:
    return sorted(bound, key=lambda rule: (rule["auth_method"], rule["selector"]))


def _bring(kind: ObjectType, items: Sequence[Json]) -> Json:
    try:
        return apply(kind, items, False)
    except PartlyDone as error:
        raise error.cause from error


def _with_harbor(action: Callable[[], Json]) -> Json:
    """What Harbor has to say, as an error that the module can report."""
    try:
        return action()
    except HarborError as error:
        # Its conflicts are not the registry's.
        raise NomadError(str(error), f"harbor {error.kind}") from error
