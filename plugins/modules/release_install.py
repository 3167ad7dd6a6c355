#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_install
short_description: Install pinned binaries on a node
version_added: 0.1.0
description:
  - Brings the files that M(imagine.platform.release_artifact) obtained to a node, each set into a directory of its own
    that is named by version and SHA-256, and lets links point there. Earlier versions stay, so that a way back is one
    link away.
  - Asks the node first and transfers only what it lacks, so that a node that has everything costs one call.
  - The node verifies each file's SHA-256 and lets the binary tell its version before any link changes. A directory gets
    its name, and a link its target, in one step.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - Where the controller has no file yet, its SHA-256 is unknown, and a node with the same version counts as
        unchanged.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  artifacts:
    description:
      - The products, as M(imagine.platform.release_artifact) returns them in C(artifacts).
    type: dict
    required: true
  directory:
    description:
      - Directory on the node that has one directory for each product.
    type: path
    default: /opt/imagine
  keep:
    description:
      - How many earlier sets of files of each product stay on the node. One that a process uses always stays.
    type: int
    default: 2
  staged:
    description:
      - Where the transferred files are on the node. Set by the controller's part of this module; never give it
        yourself.
    type: dict
seealso:
  - module: imagine.platform.release_artifact
"""

EXAMPLES = r"""
- name: Install what was obtained
  imagine.platform.release_install:
    artifacts: "{{ obtained.artifacts }}"
  become: true
  register: installed

- name: Show which services run an earlier binary
  ansible.builtin.debug:
    msg: "{{ ansible_facts.imagine_release | dict2items | selectattr('value.restart_needed') | map(attribute='key') }}"

- name: Remove what was installed before, where disks are small
  imagine.platform.release_install:
    artifacts: "{{ obtained.artifacts }}"
    keep: 0
  become: true
"""

RETURN = r"""
installed:
  description: What this call installed or linked, or would in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    product:
      description: The product.
      type: str
    version:
      description: Its version now.
      type: str
    previous:
      description: The version that the links pointed to before, V(null) where there was none.
      type: str
changed_products:
  description: The names of the products in RV(installed).
  returned: success
  type: list
  elements: str
ansible_facts:
  description: Facts that the service roles use.
  returned: success
  type: dict
  contains:
    imagine_release:
      description:
        - The products by name, each with C(version), C(identity), C(directory), C(changed) and C(restart_needed).
        - C(restart_needed) says that the product's service runs files that are not the installed ones. It stays true
          until the service restarts, also when the run that installed the files was killed.
      type: dict
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.release import (
    ReleaseError,
    changed_files,
    check_version,
    copy_verified,
    fingerprint,
    publish,
    read_manifest,
    write_manifest,
)

PARTIAL = ".partial-"


class Product:
    """One product on this node."""

    def __init__(self, directory: str, name: str, artifact: t.Mapping[str, t.Any]) -> None:
        self.name = name
        self.artifact = artifact
        self.version = str(artifact["version"])
        self.home = os.path.join(directory, name)
        self.links: dict[str, str] = dict(artifact.get("links") or {})
        self.current = self._current()
        # Without files (check mode with an empty cache) the version is all that can be compared.
        self.identity: str | None = artifact.get("identity")
        if self.identity is None and self.current and version_of(self.current) == self.version:
            self.identity = self.current

    @property
    def target(self) -> str:
        return os.path.join(self.home, self.identity or f"{self.version}-unknown")

    @property
    def manifest(self) -> str:
        """Beside the directory and not in it: Nomad takes every file of the CNI directory for a plugin."""
        return os.path.join(self.home, f".{os.path.basename(self.target)}.json")

    def _current(self) -> str | None:
        """Identity that the first link points to."""
        for link in self.links:
            with contextlib.suppress(OSError):
                return identity_in(self.home, os.readlink(link))
        return None

    def missing(self, remember: bool = True) -> bool:
        if self.identity is None:
            return True
        wanted = {item["name"]: item["sha256"] for item in self.artifact["files"]}
        try:
            manifest = read_manifest(self.manifest)
        except ReleaseError:
            return True  # a damaged manifest is repaired by installing again
        if manifest is None or (wanted and {i["name"]: i["sha256"] for i in manifest["files"]} != wanted):
            return True
        return bool(changed_files(self.target, manifest, self.manifest if remember else None))

    def wrong_links(self) -> dict[str, str]:
        """Links to set, with what each has to point to."""
        wrong = {}
        for link, name in self.links.items():
            target = os.path.normpath(os.path.join(self.target, name))
            if os.path.islink(link):
                if os.readlink(link) == target:
                    continue
            elif os.path.isdir(link) and os.listdir(link):
                raise ReleaseError(
                    f"{link} is a directory with files that this collection did not install: move it away, so that "
                    f"it can become a link to {target}."
                )
            wrong[link] = target
        return wrong

    def install(self, staged: t.Mapping[str, str]) -> None:
        os.makedirs(self.home, mode=0o755, exist_ok=True)
        for name in os.listdir(self.home):
            if name.startswith(PARTIAL):
                shutil.rmtree(os.path.join(self.home, name))
        staging = tempfile.mkdtemp(dir=self.home, prefix=PARTIAL)
        try:
            files = []
            for item in self.artifact["files"]:
                path = os.path.join(staging, item["name"])
                copy_verified(staged[item["name"]], path, item["sha256"])
                os.unlink(staged[item["name"]])  # the temporary directory may be in memory
                os.chmod(path, 0o755)  # noqa: S103
                arguments = self.artifact.get("version_arguments") or []
                check_version(self.name, self.version, path, arguments, "the controller")
                files.append({"name": item["name"], "sha256": item["sha256"], "stat": fingerprint(path)})
            os.chmod(staging, 0o755)  # noqa: S103
            manifest = {"product": self.name, "version": self.version, "files": files}
            if os.path.isdir(self.target):
                # Damaged files are replaced one by one: the directory is linked to and must not vanish meanwhile.
                for item in files:
                    path = os.path.join(self.target, item["name"])
                    os.replace(os.path.join(staging, item["name"]), path)
                    item["stat"] = fingerprint(path)
            else:
                publish(staging, self.target)
            write_manifest(self.manifest, manifest)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def running(self, processes: t.Mapping[str, t.Iterable[str]]) -> set[str]:
        """Identities whose files the product's own service runs."""
        argument = self.artifact.get("service_argument")
        if argument is None:
            return set()
        found = set()
        for executable, arguments in processes.items():
            running = identity_in(self.home, executable)
            if running and (argument == "" or argument in arguments):
                found.add(running)
        return found

    def prune(self, keep: int, processes: t.Mapping[str, t.Iterable[str]]) -> None:
        used = {identity_in(self.home, executable) for executable in processes}
        old = []
        for name in os.listdir(self.home):
            path = os.path.join(self.home, name)
            if name not in (self.identity, self.current) and name not in used and not name.startswith("."):
                old.append((os.stat(path).st_mtime, name))
        # The one that the links pointed to until now is kept in any case, and counts.
        spared = keep - (1 if self.current and self.current != self.identity else 0)
        for _mtime, name in sorted(old, reverse=True)[max(spared, 0) :]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.home, f".{name}.json"))
            shutil.rmtree(os.path.join(self.home, name))


def identity_in(home: str, path: str) -> str | None:
    """The first part of a path below a product's home."""
    prefix = home + os.sep
    return path[len(prefix) :].split(os.sep)[0] if path.startswith(prefix) else None


def version_of(identity: str) -> str:
    return identity.rpartition("-")[0]


def set_link(link: str, target: str) -> None:
    os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
    if os.path.isdir(link) and not os.path.islink(link):
        os.rmdir(link)
    temporary = f"{link}.imagine-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)


def processes_below(directory: str, proc: str = "/proc") -> dict[str, set[str]]:
    """Executables below the directory that run now, with the first arguments of their processes.

    The first argument tells an agent from the helpers that it leaves running on purpose while it restarts.
    """
    found: dict[str, set[str]] = {}
    for pid in os.listdir(proc):
        if not pid.isdigit():
            continue
        try:
            executable = os.readlink(os.path.join(proc, pid, "exe"))
            if not executable.startswith(directory + os.sep):
                continue
            with open(os.path.join(proc, pid, "cmdline"), "rb") as handle:
                arguments = handle.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or is a kernel thread
        first = arguments[1].decode(errors="replace") if len(arguments) > 1 else ""
        found.setdefault(executable.replace(" (deleted)", ""), set()).add(first)
    return found


@contextlib.contextmanager
def locked(directory: str) -> t.Iterator[None]:
    os.makedirs(directory, mode=0o755, exist_ok=True)
    with open(os.path.join(directory, ".lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(module: AnsibleModule) -> dict[str, t.Any]:
    directory = os.path.normpath(module.params["directory"])
    staged: dict[str, dict[str, str]] | None = module.params["staged"]
    products = [Product(directory, name, artifact) for name, artifact in module.params["artifacts"].items()]
    missing = [product for product in products if product.missing(remember=not module.check_mode)]
    # Everything that can be refused is refused before anything changes.
    links = {product.name: product.wrong_links() for product in products}
    if missing and staged is None and not module.check_mode:
        return {"changed": False, "missing": [product.name for product in missing]}
    changed = [product for product in products if product in missing or links[product.name]]
    processes = processes_below(directory)
    if changed and not module.check_mode:
        with locked(directory):
            for product in missing:
                files = (staged or {}).get(product.name)
                if files is None:
                    raise ReleaseError(
                        f"{product.target} changed while it was being installed: run the playbook again."
                    )
                product.install(files)
            for product in changed:
                for link, target in links[product.name].items():
                    set_link(link, target)
                product.prune(module.params["keep"], processes)
    facts = {}
    for product in products:
        running = product.running(processes)
        facts[product.name] = {
            "version": product.version,
            "identity": product.identity,
            "directory": product.target,
            "changed": product in changed,
            "restart_needed": bool(running - {product.identity}) or (bool(running) and product in missing),
        }
    result: dict[str, t.Any] = {
        "changed": bool(changed),
        "changed_products": [product.name for product in changed],
        "installed": [
            {
                "product": product.name,
                "version": product.version,
                "previous": version_of(product.current) if product.current else None,
            }
            for product in changed
        ],
        "ansible_facts": {"imagine_release": facts},
    }
    if changed:
        result["diff"] = {
            "before": "".join(f"{p.name} {p.current or 'absent'}\n" for p in changed),
            "after": "".join(f"{p.name} {p.identity or p.version}\n" for p in changed),
        }
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "artifacts": {"type": "dict", "required": True},
            "directory": {"type": "path", "default": "/opt/imagine"},
            "keep": {"type": "int", "default": 2},
            "staged": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"The binaries cannot be installed because of {error.filename or module.params['directory']}: "
            f"{error.strerror}; make it writable and free space there, then run the playbook again."
        )


if __name__ == "__main__":
    main()
