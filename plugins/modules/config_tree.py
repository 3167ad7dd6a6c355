#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_tree
short_description: Keep a set of configuration files on a node, in one step
version_added: 0.1.0
description:
  - Renders any number of files on the controller and brings them to a node with a single remote call.
  - The node compares them with what it has, stages the whole set in a private directory, lets the products' own
    validators check it there, and only then replaces what differs. Each file is replaced atomically.
  - Contents never appear in the result, in the invocation or in the logs. In diff mode files are compared line by line,
    unless they are marked O(files[].sensitive).
  - What earlier runs left and nobody lists any more is removed with O(absent) and O(purge).
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - Validators run in check mode too, except those that are not installed yet.
      - Users and groups that do not exist yet count as a difference.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  directories:
    description:
      - Directories that must exist, parents before children.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the directory is on the node.
        type: path
        required: true
      owner:
        description: User that owns the directory. Left as it is when not given.
        type: str
      group:
        description: Group that owns the directory. Left as it is when not given.
        type: str
      mode:
        description: Permissions as a quoted octal number, for instance V("0750").
        type: str
        default: "0755"
  files:
    description:
      - Files that must exist. Each has exactly one of O(files[].template), O(files[].content) and O(files[].json).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the file is on the node. Its directory must exist or be listed in O(directories).
        type: path
        required: true
      template:
        description:
          - Jinja2 template on the controller, searched for as M(ansible.builtin.template) does.
        type: str
      vars:
        description: Variables for this O(files[].template), beside those of the host.
        type: dict
      content:
        description: The content itself.
        type: str
      json:
        description: Structured data that is written as JSON with sorted keys.
        type: raw
      encoded:
        description: The rendered content in Base64. Set by the controller's part of this module, never in a playbook.
        type: str
      owner:
        description: User that owns the file. Left as it is when not given.
        type: str
      group:
        description: Group that owns the file. Left as it is when not given.
        type: str
      mode:
        description: Permissions as a quoted octal number, for instance V("0640").
        type: str
        default: "0644"
      sensitive:
        description: Whether the content holds secrets, so that a difference is reported but not shown.
        type: bool
        default: false
  absent:
    description:
      - Files and directories that must not exist. Directories are removed with everything in them.
    type: list
    elements: path
    default: []
  purge:
    description:
      - Directories in which every file that O(files) does not list is removed. Their subdirectories are left alone.
    type: list
    elements: path
    default: []
  validate:
    description:
      - Commands that check the staged files before anything is replaced.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description:
          - The command and its arguments. C({staged}) is replaced by the directory in which the whole set of files
            is staged, so C({staged}/etc/consul.d) is the would-be C(/etc/consul.d).
        type: list
        elements: str
        required: true
      when_changed:
        description:
          - Files or directories. The command runs only when the content of a file at or below one of them changes.
          - Without it the command runs when the content of any file changes.
        type: list
        elements: path
      environment:
        description: Environment variables for the command.
        type: dict
        default: {}
  services:
    description:
      - Units of systemd that read what is managed here.
      - RV(outdated_services) tells which of them do not run with what is on disk. Whoever runs
        M(imagine.platform.node_service) for those alone saves a task for all others.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit, with or without C(.service).
        type: str
        required: true
      enabled:
        description: Whether the unit is to start at boot.
        type: bool
        default: true
      started:
        description: Whether the unit is to run now.
        type: bool
        default: true
      restart_on:
        description: As O(imagine.platform.node_service#module:restart_on).
        type: list
        elements: path
        default: []
      reload_on:
        description: As O(imagine.platform.node_service#module:reload_on).
        type: list
        elements: path
        default: []
"""

EXAMPLES = r"""
- name: Configure Consul
  imagine.platform.config_tree:
    directories:
      - {path: /etc/consul.d, owner: root, group: consul, mode: "0750"}
    files:
      - path: /etc/consul.d/consul.json
        json: "{{ _consul_configuration }}"
        owner: root
        group: consul
        mode: "0640"
        sensitive: true
      - path: /etc/systemd/system/consul.service
        template: consul.service.j2
        owner: root
        group: root
    absent:
      - /etc/consul.d/old.hcl
    validate:
      - argv: [consul, validate, "{staged}/etc/consul.d"]
        when_changed: [/etc/consul.d]
    services:
      - {name: consul, restart_on: [/etc/consul.d]}
  register: __consul_tree

- name: Run Consul where it does not run with it yet
  imagine.platform.node_service:
    name: consul
    restart_on: [/etc/consul.d]
    changed_paths: "{{ __consul_tree.changed_paths }}"
  when: "'consul' in __consul_tree.outdated_services"

- name: Keep the routes of Traefik, and remove those that nobody lists any more
  imagine.platform.config_tree:
    directories:
      - {path: /etc/traefik/routes, mode: "0755"}
    files:
      - path: /etc/traefik/routes/api.yml
        template: route.yml.j2
        vars: {host: api.example.org, address: "10.10.0.11:8443"}
      - path: /etc/traefik/routes/README
        content: |
          Written by Ansible. Whatever else is put here is removed.
    purge:
      - /etc/traefik/routes
"""

RETURN = r"""
changed_paths:
  description: Everything that was created, changed or removed, contents and attributes alike.
  returned: always
  type: list
  elements: str
  sample: [/etc/consul.d/consul.json]
content_paths:
  description: The files among RV(changed_paths) whose content was created, changed or removed.
  returned: always
  type: list
  elements: str
  sample: [/etc/consul.d/consul.json]
outdated_services:
  description: Those of O(services) that are not as they should be, or read a file that is newer than their process.
  returned: always
  type: list
  elements: str
  sample: [consul]
created_paths:
  description: What did not exist before.
  returned: always
  type: list
  elements: str
  sample: []
removed_paths:
  description: What was removed.
  returned: always
  type: list
  elements: str
  sample: []
"""

import base64
import binascii
import os
import re
import shutil
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.files import (
    FilesError,
    Replacement,
    attribute_differences,
    group_id,
    parse_mode,
    read_file,
    require_absolute,
    set_attributes,
    sync_directory,
    user_id,
)
from ansible_collections.imagine.platform.plugins.module_utils.units import SystemdUnit

# RHEL's sudo leaves this directory out of PATH.
EXTRA_PATH = ["/usr/local/bin"]
LONGEST_DIFF = 200000
LONGEST_OUTPUT = 4000


def argument_spec() -> dict[str, Any]:
    """Return the options, as documented above."""
    return {
        "directories": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": {"type": "path", "required": True},
                "owner": {"type": "str"},
                "group": {"type": "str"},
                "mode": {"type": "str", "default": "0755"},
            },
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": {"type": "path", "required": True},
                "template": {"type": "str"},
                "vars": {"type": "dict"},
                "content": {"type": "str", "no_log": True},
                "json": {"type": "raw", "no_log": True},
                "encoded": {"type": "str", "no_log": True},
                "owner": {"type": "str"},
                "group": {"type": "str"},
                "mode": {"type": "str", "default": "0644"},
                "sensitive": {"type": "bool", "default": False},
            },
        },
        "absent": {"type": "list", "elements": "path", "default": []},
        "purge": {"type": "list", "elements": "path", "default": []},
        "validate": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "argv": {"type": "list", "elements": "str", "required": True},
                "when_changed": {"type": "list", "elements": "path"},
                "environment": {"type": "dict", "default": {}},
            },
        },
        "services": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "enabled": {"type": "bool", "default": True},
                "started": {"type": "bool", "default": True},
                "restart_on": {"type": "list", "elements": "path", "default": []},
                "reload_on": {"type": "list", "elements": "path", "default": []},
            },
        },
    }


def is_below(path: str, parent: str) -> bool:
    """Whether a path is another one or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def redact(text: str, contents: list[bytes], known: list[str]) -> str:
    """Take out of a validator's words what looks like a secret of a sensitive file."""
    names = " ".join(known)
    tokens: set[str] = set()
    for content in contents:
        for token in re.findall(r"[A-Za-z0-9+/=_.~-]{12,}", content.decode("utf-8", "replace")):
            if re.search(r"[0-9]", token) and token not in names:
                tokens.add(token)
    for token in sorted(tokens, key=len, reverse=True):
        text = text.replace(token, "********")
    return text


class Wanted:
    """A directory or file as it should be, with the numbers of its owners."""

    def __init__(self, item: dict[str, Any], check_mode: bool) -> None:
        self.path: str = require_absolute(item["path"])
        self.mode = parse_mode(item["mode"], self.path)
        self.unknown: list[str] = []
        self.uid = self._number("owner", user_id, item, check_mode)
        self.gid = self._number("group", group_id, item, check_mode)
        self.sensitive = bool(item.get("sensitive"))
        self.data = b""
        if "encoded" in item:
            if item["encoded"] is None:
                raise FilesError(f"{self.path} has no content; run config_tree through its action plugin.")
            try:
                self.data = base64.b64decode(item["encoded"], validate=True)
            except binascii.Error:
                raise FilesError(
                    f"The encoded content of {self.path} is not Base64; give template, content or json."
                ) from None

    def _number(self, what: str, find: Any, item: dict[str, Any], check_mode: bool) -> int | None:
        try:
            number: int | None = find(item[what])
        except KeyError:
            # A task that was only predicted may be the one that would have made the user.
            if not check_mode:
                raise FilesError(
                    f'The {what} "{item[what]}" of {self.path} does not exist on the node; create it before this task.'
                ) from None
            self.unknown.append(what)
            return None
        return number


class Tree:
    """Compares, stages, validates and replaces."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        parameters = module.params
        self.directories = [Wanted(item, module.check_mode) for item in parameters["directories"]]
        self.files = [Wanted(item, module.check_mode) for item in parameters["files"]]
        self.absent = [require_absolute(path) for path in parameters["absent"]]
        self.purge = [require_absolute(path) for path in parameters["purge"]]
        self.validators: list[dict[str, Any]] = parameters["validate"]
        self.changed_paths: list[str] = []
        self.content_paths: list[str] = []
        self.created_paths: list[str] = []
        self.removed_paths: list[str] = []
        self.diff: list[dict[str, Any]] = []
        self._check_paths()

    def _check_paths(self) -> None:
        seen: set[str] = set()
        for path in [wanted.path for wanted in self.directories + self.files]:
            if path in seen:
                raise FilesError(f"{path} is listed twice; list each file and directory once.")
            seen.add(path)
        for path in self.absent:
            if path.count("/") < 2:
                raise FilesError(f"{path} in absent is a top-level directory; name what must go inside it.")
            for present in seen:
                if is_below(present, path):
                    raise FilesError(f"{present} is wanted but {path} in absent removes it; list it in one of the two.")

    def run(self) -> None:
        """Do all of it; nothing on the node changes before every validator has agreed."""
        directories = [wanted for wanted in self.directories if self._compare_directory(wanted)]
        contents: list[Wanted] = []
        attributes: list[Wanted] = []
        for wanted in self.files:
            difference = self._compare_file(wanted)
            if difference == "content":
                contents.append(wanted)
            elif difference == "attributes":
                attributes.append(wanted)
        self._find_removals()
        if self.content_paths:
            self._validate()
        if self.module.check_mode:
            return
        for wanted in directories:
            self._make_directory(wanted)
        for wanted in attributes:
            set_attributes(wanted.path, wanted.mode, wanted.uid, wanted.gid)
        self._replace(contents)
        self._remove()

    def _changed(self, path: str, created: bool) -> None:
        self.changed_paths.append(path)
        if created:
            self.created_paths.append(path)

    def _attributes(self, wanted: Wanted, information: os.stat_result) -> bool:
        before, after = attribute_differences(information, wanted.mode, wanted.uid, wanted.gid)
        for what in wanted.unknown:
            before[what], after[what] = "something else", "a name that does not exist yet"
        if before:
            header = wanted.path + " (attributes)"
            self.diff.append({"before_header": header, "after_header": header, "before": before, "after": after})
        return bool(before)

    def _compare_directory(self, wanted: Wanted) -> bool:
        try:
            information = os.stat(wanted.path)
        except FileNotFoundError:
            self._changed(wanted.path, created=True)
            self.diff.append(
                {
                    "before_header": wanted.path,
                    "after_header": wanted.path,
                    "before": {"state": "absent"},
                    "after": {"state": "directory"},
                }
            )
            return True
        if not stat.S_ISDIR(information.st_mode):
            raise FilesError(f"{wanted.path} exists and is not a directory; move it out of the way.")
        if self._attributes(wanted, information):
            self._changed(wanted.path, created=False)
            return True
        return False

    def _compare_file(self, wanted: Wanted) -> str | None:
        parent = os.path.dirname(wanted.path)
        listed = any(is_below(directory.path, parent) for directory in self.directories)
        if not os.path.isdir(parent) and not listed and not self.module.check_mode:
            raise FilesError(f"The directory of {wanted.path} does not exist; list {parent} in directories.")
        present = read_file(wanted.path)
        if present != wanted.data:
            self._changed(wanted.path, created=not os.path.lexists(wanted.path))
            self.content_paths.append(wanted.path)
            self.diff.append(self._content_diff(wanted, present))
            return "content"
        if self._attributes(wanted, os.lstat(wanted.path)):
            self._changed(wanted.path, created=False)
            return "attributes"
        return None

    def _content_diff(self, wanted: Wanted, present: bytes | None) -> dict[str, Any]:
        if wanted.sensitive:
            return {"prepared": f"{wanted.path}: content differs (sensitive)\n"}
        before = b"" if present is None else present
        if max(len(before), len(wanted.data)) > LONGEST_DIFF:
            return {"prepared": f"{wanted.path}: content differs (too large to show)\n"}
        try:
            return {
                "before_header": wanted.path,
                "after_header": wanted.path,
                "before": before.decode("utf-8"),
                "after": wanted.data.decode("utf-8"),
            }
        except UnicodeDecodeError:
            return {"prepared": f"{wanted.path}: content differs (binary)\n"}

    def _find_removals(self) -> None:
        found = [path for path in self.absent if os.path.lexists(path)]
        listed = {wanted.path for wanted in self.files}
        for directory in self.purge:
            try:
                entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
            except FileNotFoundError:
                continue
            for entry in entries:
                path = os.path.join(directory, entry.name)
                if path not in listed and path not in found and not entry.is_dir(follow_symlinks=False):
                    found.append(path)
        for path in found:
            self._changed(path, created=False)
            self.removed_paths.append(path)
            if os.path.islink(path) or not os.path.isdir(path):
                self.content_paths.append(path)
            self.diff.append(
                {
                    "before_header": path,
                    "after_header": path,
                    "before": {"state": "present"},
                    "after": {"state": "absent"},
                }
            )

    def _stage(self, root: str) -> None:
        for wanted in self.directories:
            os.makedirs(root + wanted.path, mode=0o700, exist_ok=True)
        for wanted in self.files:
            os.makedirs(root + os.path.dirname(wanted.path), mode=0o700, exist_ok=True)
            with open(root + wanted.path, "wb") as stream:
                stream.write(wanted.data)

    def _validate(self) -> None:
        due = []
        for validator in self.validators:
            scope = validator["when_changed"]
            scope = None if scope is None else [require_absolute(path) for path in scope]
            changed = [
                path for path in self.content_paths if scope is None or any(is_below(path, parent) for parent in scope)
            ]
            if changed:
                due.append((validator, changed))
        if not due:
            return
        # Private: the staged files hold secrets.
        root = tempfile.mkdtemp(prefix="config_tree-", dir=self.module.tmpdir)
        try:
            self._stage(root)
            for validator, changed in due:
                self._run_validator(validator, changed, root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _run_validator(self, validator: dict[str, Any], changed: list[str], root: str) -> None:
        argv = [argument.replace("{staged}", root) for argument in validator["argv"]]
        words = " ".join(argument.replace("{staged}", "") for argument in validator["argv"])
        program = self.module.get_bin_path(argv[0], opt_dirs=EXTRA_PATH)
        if program is None:
            if self.module.check_mode:
                return
            raise FilesError(
                f'The validator "{argv[0]}" of {", ".join(changed)} is not installed on the node; '
                "install it before this task."
            )
        environment = {name: str(value) for name, value in validator["environment"].items()}
        code, output, errors = self.module.run_command([program, *argv[1:]], environ_update=environment)
        if code != 0:
            said = (output.strip() + "\n" + errors.strip()).strip().replace(root, "")
            secrets = [wanted.data for wanted in self.files if wanted.sensitive]
            paths = [wanted.path for wanted in self.files + self.directories]
            said = redact(said, secrets, [*paths, words])[-LONGEST_OUTPUT:]
            raise FilesError(
                f'"{words}" refuses the new {", ".join(changed)}, so nothing was replaced; '
                f"correct the variables behind it: {said or f'it ended with code {code} and said nothing'}"
            )

    def _make_directory(self, wanted: Wanted) -> None:
        if not os.path.isdir(wanted.path):
            os.makedirs(os.path.dirname(wanted.path), mode=0o755, exist_ok=True)
            # Closed until its owner and mode are right.
            os.mkdir(wanted.path, 0o700)
            if self.module.selinux_enabled():
                self.module.set_default_selinux_context(wanted.path, False)
        set_attributes(wanted.path, wanted.mode, wanted.uid, wanted.gid)

    def _replace(self, contents: list[Wanted]) -> None:
        prepared: list[Replacement] = []
        try:
            # All of them are on the disk before the first one is replaced, so a full disk changes nothing.
            for wanted in contents:
                replacement = Replacement(wanted.path)
                replacement.prepare(self.module, wanted.data, wanted.mode, wanted.uid, wanted.gid)
                prepared.append(replacement)
            for replacement in prepared:
                replacement.commit()
        except BaseException:
            for replacement in prepared:
                replacement.discard()
            raise
        for directory in sorted({replacement.directory for replacement in prepared}):
            sync_directory(directory)

    def _remove(self) -> None:
        for path in self.removed_paths:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        for directory in sorted({os.path.dirname(path) for path in self.removed_paths}):
            sync_directory(directory)

    def outdated_services(self) -> list[str]:
        """Return the names of those services that do not run with what is on disk, or will be there."""
        return [service["name"] for service in self.module.params["services"] if self._is_outdated(service)]

    def _is_outdated(self, wanted: dict[str, Any]) -> bool:
        service = SystemdUnit(self.module, wanted["name"])
        unit = service.read()
        stale = service.stale(unit, wanted["restart_on"], wanted["reload_on"], self.changed_paths)
        as_wanted = unit.enabled == wanted["enabled"] and (unit.active or not wanted["started"])
        return not unit.exists or unit.needs_daemon_reload or not as_wanted or any(stale)

    def result(self) -> dict[str, Any]:
        """Return what was done, without any content."""
        result: dict[str, Any] = {
            "changed": bool(self.changed_paths),
            "changed_paths": self.changed_paths,
            "content_paths": self.content_paths,
            "created_paths": self.created_paths,
            "removed_paths": self.removed_paths,
            "outdated_services": self.outdated_services(),
        }
        if self.module._diff:
            result["diff"] = self.diff
        return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        tree = Tree(module)
        tree.run()
    except FilesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename} could not be written: {error.strerror}; correct that on the node.")
    module.exit_json(**tree.result())


if __name__ == "__main__":
    main()
