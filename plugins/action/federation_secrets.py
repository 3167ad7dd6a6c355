# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils.files import write_file
from ansible_collections.imagine.platform.plugins.module_utils.generators import GeneratorError, fill
from ansible_collections.imagine.platform.plugins.module_utils.rotation import forget, with_trust
from ansible_collections.imagine.platform.plugins.plugin_utils.vault import (
    decrypt_secrets,
    encrypting_secret,
    require_password,
)

DEFAULT_VAULT_ID = "default"


class SecretsDumper(yaml.SafeDumper):
    """Writes keys and certificates as blocks, so that the file can be read with ansible-vault view."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


SecretsDumper.add_representer(str, _text)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Let one run at a time make secrets; the lock goes with the process that holds it."""
    directory, name = os.path.split(path)
    lock = os.path.join(directory, f".{name}.lock")
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever held it before has removed it: what was locked just now is no longer the lock.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                    try:
                        yield
                    finally:
                        os.unlink(lock)
                    return
        finally:
            os.close(descriptor)


class ActionModule(ActionBase):
    """Make the federation's missing secrets and take out those of what is gone, on the controller."""

    _requires_connection = False
    _VALID_ARGS = frozenset(("path", "wanted", "unwanted"))
    #: the option that names secrets
    _SECRETS = "wanted"

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        wanted = self._task.args.get(self._SECRETS)
        given = self._task.args.get("path")
        if not isinstance(given, str) or not given:
            raise AnsibleActionFail("The option path is missing; give it the file that keeps the federation's secrets.")
        if not isinstance(wanted, Mapping):
            raise AnsibleActionFail(f"The option {self._SECRETS} is not a mapping; give it secrets by name.")
        if C.config.get_config_value("CACHE_PLUGIN") != "memory":
            raise AnsibleActionFail(
                "Ansible's fact_caching is on and would write the secrets to the cache in clear; "
                "set fact_caching = memory in ansible.cfg."
            )
        path = os.path.realpath(self._loader.path_dwim(os.path.expanduser(given)))
        try:
            if self._task.check_mode:
                outcome = self._fill(path, wanted, write=False)
            else:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                with locked(path):
                    outcome = self._fill(path, wanted, write=True)
        except GeneratorError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(
                f"{error.filename or path} cannot be used: {error.strerror}; correct that."
            ) from None
        result.update(outcome)
        result["_ansible_no_log"] = True
        return result

    def _fill(self, path: str, wanted: Mapping[str, Any], write: bool) -> dict[str, Any]:
        require_password(self._loader._vault, path)
        present, vault_id, secret = self._read(path)
        values, outcome = self._change(present, wanted, path)
        exposed = os.path.exists(path) and bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)
        if write and outcome["changed"]:
            text = "---\n" + yaml.dump(values, Dumper=SecretsDumper, default_flow_style=False, width=4096)
            named = None if vault_id == DEFAULT_VAULT_ID else vault_id
            write_file(None, path, self._loader._vault.encrypt(text, secret, vault_id=named), mode=0o600)
        elif write and exposed:
            os.chmod(path, 0o600)
        return {
            **outcome,
            "changed": outcome["changed"] or exposed,
            "ansible_facts": {"federation_secrets": with_trust(values)},
        }

    def _change(
        self, present: dict[str, Any], wanted: Mapping[str, Any], path: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the file is to hold, and what the task returns beside the facts."""
        unwanted = self._task.args.get("unwanted") or []
        if not isinstance(unwanted, list) or not all(isinstance(one, list) for one in unwanted):
            raise AnsibleActionFail("The option unwanted is not a list of lists; give the names that lead to a secret.")
        values, created = fill(present, wanted, path)
        values, removed = forget(values, unwanted)
        return values, {"changed": bool(created or removed), "created": created, "removed": removed}

    def _read(self, path: str) -> tuple[dict[str, Any], str, Any]:
        """Return the secrets, and the vault identity that they are to be encrypted with."""
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            return {}, *encrypting_secret(self._loader._vault)
        return decrypt_secrets(self._loader._vault, data, path)
