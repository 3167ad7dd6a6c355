#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_image_info
short_description: Read what tags of Harbor or another OCI registry name
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Reads manifest and configuration of images over the registry protocol, so that it works with any OCI registry and
    needs no more than the right to pull.
  - What only Harbor knows, such as the result of a scan, is no part of it.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.registry
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the image, as C(HOST/REPOSITORY:TAG) or C(HOST/REPOSITORY@DIGEST). The tag is V(latest) when not given.
      - Exactly one of O(name) and O(names) is required.
    type: str
  names:
    description: Names of images, where there are several.
    type: list
    elements: str
  list_tags:
    description: Whether all tags of the repositories are returned as well.
    type: bool
    default: false
seealso:
  - module: imagine.platform.harbor_image
"""

EXAMPLES = r"""
- name: Which image a tag names
  imagine.platform.harbor_image_info:
    name: harbor.example.org/imagine/classifier:1.0
  register: classifier

- name: Whether the platform's images are all there
  imagine.platform.harbor_image_info:
    names:
      - harbor.example.org/imagine/caddy:2
      - harbor.example.org/imagine/rclone:1
    list_tags: true
    registry_auth_file: ~/.docker/config.json
"""

RETURN = r"""
images:
  description: The images, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, with the tag.
      type: str
      sample: harbor.example.org/imagine/classifier:1.0
    exists:
      description: Whether the registry has it. The other values are there only when it has.
      type: bool
      sample: true
    digest:
      description: Digest of the manifest.
      type: str
      sample: sha256:5f4a0b2c8d1e6f7a9b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192
    media_type:
      description: Type of the manifest.
      type: str
      sample: application/vnd.oci.image.index.v1+json
    manifests:
      description: The images for each platform; one for an image that is no index.
      type: list
      elements: dict
      contains:
        digest:
          description: Digest of the manifest.
          type: str
          sample: sha256:5f4a0b2c8d1e6f7a9b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192
        platform:
          description: Operating system and architecture.
          type: str
          sample: linux/amd64
        image_id:
          description: Digest of the configuration, which Docker calls the image ID.
          type: str
          sample: sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9
        size:
          description: Bytes of configuration and layers, compressed.
          type: int
          sample: 1043718144
        layers:
          description: How many layers there are.
          type: int
          sample: 12
        created:
          description: When it was built, as the configuration says; empty where it does not.
          type: str
          sample: "2026-05-04T09:12:44Z"
        labels:
          description: Labels of the image.
          type: dict
          sample:
            org.opencontainers.image.revision: 4f1c2ab
    tags:
      description: All tags of the repository.
      returned: when O(list_tags=true)
      type: list
      elements: str
      sample: ["1.0", "1.1"]
"""

import json
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.images import platform_text
from ansible_collections.imagine.platform.plugins.module_utils.oci import (
    Access,
    Manifest,
    Reference,
    RegistryClient,
    RegistryError,
    create_module,
    parse_reference,
    run_module,
)

PARALLEL = 8


def describe(client: RegistryClient, reference: Reference, manifest: Manifest) -> Json:
    """One image for one platform."""
    raw = client.blob(reference.repository, manifest.config_digest) if manifest.config_digest else b"{}"
    try:
        config = json.loads(raw)
        settings = config.get("config") or {}
        labels = dict(settings.get("Labels") or {})
    except (ValueError, TypeError, AttributeError):
        # Registries hold other things than images; these have no configuration that says more.
        config, labels = {}, {}
    return {
        "digest": manifest.digest,
        "platform": platform_text(config) if isinstance(config, dict) else "",
        "image_id": manifest.config_digest,
        "size": sum(int(blob.get("size") or 0) for blob in manifest.blobs),
        "layers": len(manifest.json.get("layers") or []),
        "created": str(config.get("created") or "") if isinstance(config, dict) else "",
        "labels": labels,
    }


def read(client: RegistryClient, reference: Reference, list_tags: bool) -> Json:
    """All that is known of a name."""
    result: Json = {"name": str(reference), "exists": False}
    if list_tags:
        result["tags"] = sorted(client.tags(reference.repository))
    manifest = client.manifest(reference)
    if manifest is None:
        return result
    parts = [manifest]
    if manifest.is_index:
        children = [
            client.manifest(Reference(reference.host, reference.repository, "", child["digest"]))
            for child in manifest.json["manifests"]
        ]
        parts = [child for child in children if child is not None and not child.is_index]
    result.update(
        exists=True,
        digest=manifest.digest,
        media_type=manifest.media_type,
        manifests=[describe(client, reference, part) for part in parts],
    )
    return result


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str"},
            "names": {"type": "list", "elements": "str"},
            "list_tags": {"type": "bool", "default": False},
        },
        required_one_of=[("name", "names")],
        mutually_exclusive=[("name", "names")],
    )

    def action(access: Access) -> Json:
        names = [module.params["name"]] if module.params["names"] is None else module.params["names"]
        references = [parse_reference(name, "name" if module.params["name"] else "names") for name in names]
        if not references:
            raise RegistryError("names is empty: give one name at least.", "option")
        clients = {host: RegistryClient(host, access, PARALLEL) for host in {one.host for one in references}}
        try:
            with ThreadPoolExecutor(PARALLEL) as pool:
                images = list(
                    pool.map(lambda one: read(clients[one.host], one, module.params["list_tags"]), references)
                )
        finally:
            for client in clients.values():
                client.close()
        return {"changed": False, "images": images}

    run_module(module, action)


if __name__ == "__main__":
    main()
