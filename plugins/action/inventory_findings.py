# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the variables of all hosts on the controller; what is wrong with them is found in module_utils/inventory.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils import inventory as checks
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import VARIABLES, suggestion
from ansible_collections.imagine.platform.plugins.plugin_utils.controller import plain

_ROLES = Path(__file__).resolve().parents[2] / "roles"


def _origin_tag() -> Callable[[Any], Any]:
    """Where a value was written; ansible-core knows that since 2.19."""
    try:
        from ansible._internal._datatag._tags import Origin
    except ImportError:
        return lambda _value: None
    return Origin.get_tag  # type: ignore[no-any-return]


def shorten(path: str) -> str:
    """A path as the operator would type it."""
    relative = os.path.relpath(path)
    if not relative.startswith(".."):
        return relative
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def _as_written(value: Any) -> Any:
    """A value that is only shown; one that is encrypted stays so."""
    if isinstance(value, (bool, int, float)):
        return value
    return "(encrypted)" if "Encrypted" in type(value).__name__ else str(value)


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=checks.LOADER)  # noqa: S506 - it is a safe one
    except (OSError, yaml.YAMLError):
        return None


def role_variables() -> tuple[set[str], dict[str, Any], set[str]]:
    """Variables that the collection's roles read, their defaults, and the prefixes that belong to roles."""
    names: set[str] = set()
    defaults: dict[str, Any] = {}
    prefixes: set[str] = set()
    for role in sorted(_ROLES.iterdir()) if _ROLES.is_dir() else []:
        specification = _yaml(role / "meta" / "argument_specs.yml") or {}
        for entry in (specification.get("argument_specs") or {}).values():
            names.update(entry.get("options") or {})
        values = _yaml(role / "defaults" / "main.yml") or {}
        defaults.update(values)
        names.update(values)
        if any(name.startswith(f"{role.name}_") for name in names):
            prefixes.add(f"{role.name}_")
    return names, defaults, prefixes


class ActionModule(ActionBase):
    """Finds everything that is wrong, changes nothing."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Entry point."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "facts": {"type": "dict"},
                "started": {"type": "float"},
                "inventory": {"type": "bool", "default": True},
                "names_only": {"type": "bool", "default": False},
                "unmanaged_groups": {"type": "list", "elements": "str", "default": ["unmanaged"]},
                "known_variables": {"type": "list", "elements": "str", "default": []},
                "more": {"type": "list", "elements": "dict", "default": []},
                "minimum_memory_mb": {"type": "int", "default": checks.Limits.memory_mb},
                "minimum_disk_mb": {"type": "int", "default": checks.Limits.disk_mb},
                "minimum_program_disk_mb": {"type": "int", "default": checks.Limits.program_disk_mb},
                "maximum_clock_offset": {"type": "float", "default": checks.Limits.clock_offset},
                "systems": {"type": "dict"},
            },
        )
        finished = time.time()
        names, defaults, prefixes = role_variables()
        known = {*names, *options["known_variables"]}
        prefixes |= set(checks.PREFIXES)
        nodes = list(self._nodes(task_vars, set(options["unmanaged_groups"]), known | set(VARIABLES), prefixes))

        found = [
            checks.Finding(**{key: str(value) for key, value in item.items() if key != "text"})
            for item in options["more"]
        ]
        if options["names_only"]:
            found += [finding for node in nodes for finding in checks.check_unknown(node, known, prefixes)]
        elif options["inventory"]:
            found += checks.check_inventory(
                nodes, known=known, prefixes=prefixes, read=self._read, defaults=_without_templates(defaults)
            )
            found += self._files(task_vars)
            found += self._vault(nodes)
        if options["facts"] is not None and not options["names_only"]:
            found += self._machines(nodes, options, finished, _without_templates(defaults))
        found = checks.collapse(found, nodes)
        errors = [finding for finding in found if finding.severity == "error"]
        result.update(
            changed=False,
            findings=[finding.as_dict() for finding in found],
            errors=[finding.text for finding in errors],
            warnings_found=[finding.text for finding in found if finding.severity != "error"],
            nodes=[node.name for node in nodes],
            peers=checks.raft_peers(nodes),
            secret_files=list(checks.SECRET_FILES),
            finished=time.time(),
        )
        return result

    def _nodes(
        self, task_vars: Mapping[str, Any], unmanaged: set[str], known: Collection[str], prefixes: Collection[str]
    ) -> Iterator[checks.Node]:
        """The hosts of the inventory with the variables that matter, evaluated."""
        groups = task_vars.get("groups") or {}
        left_out = {host for group in unmanaged for host in groups.get(group, [])}
        hostvars = task_vars["hostvars"]
        tag = _origin_tag()
        for host in groups.get("all", []):
            if host in left_out:
                continue
            raw, view = hostvars.raw_get(host), hostvars[host]
            if host == "localhost" and "node_roles" not in raw:
                continue
            variables: dict[str, Any] = {}
            origins: dict[str, str] = {}
            errors: dict[str, str] = {}
            for name in list(raw):
                mine = name in known or name.startswith(tuple(prefixes))
                if not (mine or name in _EVALUATED or suggestion(name, VARIABLES, 0.9)):
                    continue
                origin = tag(raw[name])
                if origin is not None and getattr(origin, "path", None):
                    line = f":{origin.line_num}" if origin.line_num else ""
                    origins[name] = f"{shorten(origin.path)}{line}"
                needed = name in VARIABLES or name in _EVALUATED
                if not needed:
                    # Never evaluated here: it may hold a secret, or refer to what a later play sets.
                    variables[name] = _as_written(raw[name])
                    continue
                try:
                    variables[name] = plain(view[name])
                except Exception as error:  # noqa: BLE001 - whatever a template of the operator's raises
                    errors[name] = checks.show(str(error).splitlines()[0].rstrip("."))
            member = frozenset(group for group, hosts in groups.items() if host in hosts)
            yield checks.Node(host, variables, origins, errors, member)

    def _read(self, path: str, node: checks.Node) -> bytes | None:
        """A file that the operator named, decrypted where it is encrypted with Ansible Vault."""
        place = Path(path).expanduser()
        if not place.is_absolute():
            place = Path(str(node.variables.get("inventory_dir", "."))) / place
        try:
            return bytes(self._loader._get_file_contents(str(place))[0])
        except (AnsibleError, OSError, UnicodeError):
            return None

    def _files(self, task_vars: Mapping[str, Any]) -> list[checks.Finding]:
        """Duplicate keys in the files of the inventory, and nodes of one name at two sites."""
        found: list[checks.Finding] = []
        entries: list[checks.HostEntry] = []
        for source in task_vars.get("ansible_inventory_sources") or []:
            top = Path(str(source))
            if top.is_dir():
                paths = sorted(p for s in ("yml", "yaml") for p in top.rglob(f"*.{s}") if p.is_file())
            else:
                paths = [top] if top.suffix in (".yml", ".yaml") and top.is_file() else []
            for path in paths:
                try:
                    text = path.read_text(encoding="utf-8")
                except (OSError, UnicodeError) as error:
                    found.append(checks.Finding(f"the file cannot be read ({error}); correct it", file=str(path)))
                    continue
                problems, hosts = checks.scan_file(shorten(str(path)), text)
                found += problems
                if not {"group_vars", "host_vars"} & set(path.relative_to(top).parts):
                    entries += hosts
        return found + checks.check_claims(entries)

    def _secrets_path(self, nodes: list[checks.Node]) -> Path:
        """The federation's file of secrets."""
        named = next(
            (
                node.variables["federation_secrets_file"]
                for node in nodes
                if node.variables.get("federation_secrets_file")
            ),
            None,
        )
        folder = next((node.variables["inventory_dir"] for node in nodes if node.variables.get("inventory_dir")), ".")
        return Path(str(named or Path(str(folder)) / ".federation" / "secrets.yml")).expanduser()

    def _vault(self, nodes: list[checks.Node]) -> list[checks.Finding]:
        """The vault password fits the federation's file of secrets, or is there to make it."""
        path = self._secrets_path(nodes)
        content, error = None, ""
        has_password = bool(self._loader._vault.secrets)
        try:
            content = path.read_bytes() if path.exists() else None
            if content is not None and has_password:
                self._loader._get_file_contents(str(path))
        except (AnsibleError, OSError, UnicodeError) as problem:
            error = str(problem).splitlines()[0]
        return checks.check_vault(shorten(str(path)), content, error, has_password)

    def _machines(
        self, nodes: list[checks.Node], options: Mapping[str, Any], finished: float, defaults: Mapping[str, Any]
    ) -> list[checks.Finding]:
        limits = checks.Limits(
            memory_mb=options["minimum_memory_mb"],
            disk_mb=options["minimum_disk_mb"],
            program_disk_mb=options["minimum_program_disk_mb"],
            clock_offset=options["maximum_clock_offset"],
            systems=options["systems"] or checks.SYSTEMS,
        )
        found = []
        examined: dict[str, Mapping[str, Any]] = {}
        for node in nodes:
            result = options["facts"].get(node.name)
            if not isinstance(result, Mapping):
                continue
            times = {"controller_before": options["started"], "controller_after": finished}
            # Times taken around the call itself are closer than those around the task for all hosts.
            result = {**times, **plain(result)}
            found += checks.check_machine(node, result, limits)
            facts = (result.get("ansible_facts") or {}).get("imagine_node")
            if isinstance(facts, Mapping):
                examined[node.name] = facts
        found += checks.check_round_trips(nodes, examined, defaults)
        path = self._secrets_path(nodes)
        anew = any(boolean(node.variables.get("federation_start_anew", False), strict=False) for node in nodes)
        if not anew and not path.exists():
            found += checks.check_lost_secrets(shorten(str(path)), examined)
        return found


#: Variables besides the inventory's own whose values are checked.
_EVALUATED = (
    "ansible_host",
    "consul_raft_multiplier",
    "docker_registry_certificates",
    "federation_start_anew",
    "inventory_dir",
    "nomad_node_tags",
    "nomad_raft_multiplier",
    "traefik_acme_dns_provider",
    "traefik_acme_email",
    "traefik_certificate_source",
    "traefik_certificates",
)


def _without_templates(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that need no evaluation."""
    return {name: value for name, value in defaults.items() if "{{" not in str(value)}
