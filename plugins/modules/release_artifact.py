#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_artifact
short_description: Obtain pinned binaries into the controller's cache
version_added: 0.1.0
description:
  - Gives the verified files of each wanted product from the controller's cache, and obtains first what the cache lacks.
    The sources are, in this order, an operator's own mirror, the product's release site, and the package registries
    (Go modules that are built here, and PyPI).
  - Everything is compared with a pinned SHA-256. A file of the cache that changed since it was stored is refused, and
    so is a binary that says that it is another version than the pinned one.
  - Runs on the controller for every host of the play, without a connection to the host. Where several hosts want the
    same product, one obtains it and the others wait for it. What takes long is reported while it happens.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is obtained. A product that the cache lacks is reported as a change, without files.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  products:
    description:
      - The wanted products and their versions.
    type: dict
    required: true
  architecture:
    description:
      - Architecture of the node that the binaries are for.
    type: str
    default: amd64
    choices: [amd64, arm64]
  cache_dir:
    description:
      - Directory on the controller that keeps what was obtained. It is made where it does not exist.
    type: path
    default: ~/.cache/imagine-platform
  source:
    description:
      - V(auto) takes the first source that can give the product.
      - V(cache) obtains nothing.
      - V(mirror), V(download) and V(build) allow only the operator's mirror, the release site, or the package
        registries, beside what the cache already has from them.
    type: str
    default: auto
    choices: [auto, cache, mirror, download, build]
  mirror:
    description:
      - Directory on the controller, or URL, that has the vendors' archives under their own file names.
    type: str
  definitions:
    description:
      - What each product consists of, whatever its version. The role C(imagine.platform.release) has the table.
    type: dict
    required: true
  pins:
    description:
      - The pinned sources, by product, version and architecture. The role C(imagine.platform.release) has the table.
    type: dict
    required: true
  build_dir:
    description:
      - Directory with C(<product>/<version>/go.mod) and C(go.sum) for products that can be built from Go modules.
    type: path
seealso:
  - module: imagine.platform.release_install
"""

EXAMPLES = r"""
- name: Obtain Consul and Nomad
  imagine.platform.release_artifact:
    products:
      consul: 1.22.6
      nomad: 1.11.3
    architecture: amd64
    definitions: "{{ definitions }}"
    pins: "{{ pins }}"
    build_dir: "{{ role_path }}/files"
  register: obtained

- name: Take Traefik from the cache, and fail where it is not there
  imagine.platform.release_artifact:
    products:
      traefik: 3.7.15
    source: cache
    definitions: "{{ definitions }}"
    pins: "{{ pins }}"
  register: cached

- name: Install what was obtained
  imagine.platform.release_install:
    artifacts: "{{ obtained.artifacts }}"
  become: true
"""

RETURN = r"""
artifacts:
  description: The products, as M(imagine.platform.release_install) takes them.
  returned: success
  type: dict
  contains:
    version:
      description: The pinned version.
      type: str
    architecture:
      description: The architecture that the files are for.
      type: str
    source:
      description: How the files were obtained, V(null) in check mode where the cache lacks them.
      type: str
      sample: build
    directory:
      description: Directory of the cache with the files.
      type: str
    identity:
      description: Version and twelve digits of the SHA-256 of the files.
      type: str
      sample: 1.22.6-5c2d67c6a364
    files:
      description: Name, path on the controller and SHA-256 of each file.
      type: list
      elements: dict
    links:
      description: The links that make the files reachable on a node.
      type: dict
    version_arguments:
      description: Arguments that make the binary tell its version.
      type: list
      elements: str
    service_argument:
      description: First argument of the product's long-running process, V(null) where it has none.
      type: str
    changed:
      description: Whether this call obtained the product.
      type: bool
obtained:
  description: Products that this call obtained, or would obtain in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "products": {"type": "dict", "required": True},
            "architecture": {"type": "str", "default": "amd64", "choices": ["amd64", "arm64"]},
            "cache_dir": {"type": "path", "default": "~/.cache/imagine-platform"},
            "source": {
                "type": "str",
                "default": "auto",
                "choices": ["auto", "cache", "mirror", "download", "build"],
            },
            "mirror": {"type": "str"},
            "definitions": {"type": "dict", "required": True},
            "pins": {"type": "dict", "required": True},
            "build_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="imagine.platform.release_artifact runs as an action plugin: call it from a playbook.")


if __name__ == "__main__":
    main()
