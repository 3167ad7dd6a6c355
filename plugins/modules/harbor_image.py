#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_image
short_description: Push container images to Harbor or another OCI registry
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Pushes an image from a Docker daemon, an OCI layout or an archive straight over the registry protocol. Neither a
    Docker daemon nor a command-line tool is needed for layouts and archives.
  - An image that the registry has already is left alone; nothing is compressed, and nothing but its manifest is asked
    for. An OCI layout is compared by the digest of its manifest. What Docker made is compared by its image ID, which
    is the digest of the configuration and follows from all layers; it does not depend on how they are compressed.
  - Only blobs that the registry lacks are sent, several at a time. Those of another repository of the same registry
    are mounted rather than sent, see O(mount_from).
  - When a connection breaks, the upload goes on where the registry says that it stopped. A registry that kept nothing
    of the interrupted request, which is how the versions 2 of the registry behave that Harbor is built on, gets that
    layer again. When a push fails for good, unfinished uploads are cancelled and the tag still names what it named
    before.
  - After a push the manifest is read back and compared, and each blob is looked for.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.registry
attributes:
  check_mode:
    support: full
    details: Whether the registry would take the image, for instance within its quota, is known only when it is pushed.
  diff_mode:
    support: full
    details: The digest of an image whose layers are yet to be compressed is not known in check mode.
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the image in the registry, as C(HOST/REPOSITORY:TAG). The tag is V(latest) when not given.
      - Exactly one of O(name) and O(images) is required.
    type: str
  docker_image:
    description:
      - Name or ID of an image that the Docker daemon O(docker_host) has.
      - Exactly one of O(docker_image), O(docker_archive) and O(oci_layout) is required, except where O(state=absent).
    type: str
  docker_archive:
    description:
      - File as C(docker save) writes it, or an OCI layout in a tar archive. It may be compressed with gzip or xz;
        unpacking it then takes time, and room in O(work_dir), at each run.
    type: path
  oci_layout:
    description:
      - Directory in the OCI image layout. An image for several platforms is pushed with all of them.
    type: path
  source_image:
    description:
      - Which image of an archive or a layout to push, by its tag, its C(org.opencontainers.image.ref.name) annotation
        or its digest. Needed where there are several.
    type: str
  platform:
    description:
      - Push only the image for this platform, such as V(linux/amd64), of an image for several. An image for another
        platform is refused.
    type: str
  mount_from:
    description:
      - Repositories of the same registry that may hold layers of the image, as C(REPOSITORY) or C(REPOSITORY:TAG), for
        instance that of its base image. With a tag, layers that this image has need not be compressed either.
      - What the tag named before, and images that the same task pushed, are looked at anyway.
    type: list
    elements: str
  state:
    description:
      - V(present) pushes the image. V(absent) removes the tag, with its manifest.
      - Registries remove whole manifests only. Where other tags of the repository name the same one, nothing is
        removed and the task fails.
    type: str
    choices: [present, absent]
    default: present
  images:
    description:
      - The images to push or to remove, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      docker_image:
        description: As O(docker_image).
        type: str
      docker_archive:
        description: As O(docker_archive).
        type: path
      oci_layout:
        description: As O(oci_layout).
        type: path
      source_image:
        description: As O(source_image).
        type: str
      platform:
        description: As O(platform).
        type: str
      mount_from:
        description: As O(mount_from).
        type: list
        elements: str
      state:
        description: Whether this image is to be in the registry; O(state) when not given.
        type: str
        choices: [present, absent]
  check_blobs:
    description:
      - Whether the blobs of an image that the registry has already are looked for as well. Those that it lost are
        sent again.
    type: bool
    default: false
  compression:
    description:
      - How layers are compressed that the source holds uncompressed. V(fast) uses the Python package C(isal) where it
        is installed, otherwise zlib's fastest level. V(small) uses zlib's level 6, which takes several times as long
        and makes layers about a tenth smaller.
      - The same layer gives the same digest for the same choice and the same version of these libraries.
    type: str
    choices: [fast, small]
    default: fast
  parallel:
    description:
      - How many layers are compressed and sent at the same time.
    type: int
    default: 4
  chunk_size:
    description:
      - The most MiB that one request carries; V(0) sends the rest of a layer in one request. For registries behind a
        proxy that limits the size of requests.
    type: int
    default: 0
  work_dir:
    description:
      - Directory for temporary files. An image of a Docker daemon, or of a compressed archive, needs its uncompressed
        size there; besides, O(parallel) compressed layers have to fit.
      - The system's directory for temporary files when not given.
    type: path
  progress_file:
    description:
      - File to which a line is appended each second that tells how far the push has come.
      - Where the task runs on the controller itself, Ansible shows these lines every few seconds while the task runs.
    type: path
  docker_host:
    description:
      - Address of the Docker daemon, as C(unix:///PATH) or C(tcp://HOST:PORT).
      - Taken from the environment variable E(DOCKER_HOST) when not given.
    type: str
    default: unix:///var/run/docker.sock
  docker_ca_cert:
    description: PEM file of the authority that signed the daemon's certificate; makes the connection use TLS.
    type: path
  docker_client_cert:
    description: PEM file of the client certificate to present to the daemon.
    type: path
  docker_client_key:
    description: PEM file of the private key that belongs to O(docker_client_cert).
    type: path
  docker_timeout:
    description:
      - Seconds that the daemon may be silent. It prepares all layers before it sends the first one.
    type: int
    default: 900
requirements:
  - docker >= 7.0.0 (for O(docker_image) only)
  - isal (optional; compresses several times faster)
seealso:
  - module: imagine.platform.harbor_image_info
"""

EXAMPLES = r"""
- name: Push an image that the Docker daemon has built
  imagine.platform.harbor_image:
    name: harbor.example.org/imagine/classifier:1.0
    docker_image: classifier:1.0
    registry_username: robot$imagine+ci
    registry_password: "{{ vault_harbor_robot_secret }}"

- name: Push an image for several platforms, whose base image is in the registry
  imagine.platform.harbor_image:
    name: harbor.example.org/imagine/classifier:1.1
    oci_layout: /srv/images/classifier
    mount_from: ["imagine/base:12"]
    registry_auth_file: ~/.docker/config.json

- name: Push the platform's images and remove a retired one
  imagine.platform.harbor_image:
    images:
      - name: harbor.example.org/imagine/caddy:2
        docker_archive: images/caddy.tar
      - name: harbor.example.org/imagine/rclone:1
        docker_archive: images/rclone.tar.gz
      - name: harbor.example.org/imagine/storage:0.9
        state: absent
    registry_username: robot$imagine+ci
    registry_password: "{{ vault_harbor_robot_secret }}"
"""

RETURN = r"""
operation:
  description: What was done to the tag, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
image:
  description: The image as it is now in the registry; empty when absent.
  returned: when O(name) is given
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: harbor.example.org/imagine/classifier:1.0
    digest:
      description: Digest of its manifest; not known in check mode where layers are yet to be compressed.
      type: str
      sample: sha256:5f4a0b2c8d1e6f7a9b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192
    image_id:
      description: Digest of its configuration, Docker's image ID; empty for an image for several platforms.
      type: str
      sample: sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9
    media_type:
      description: Type of its manifest.
      type: str
      sample: application/vnd.docker.distribution.manifest.v2+json
    size:
      description: Bytes of configuration and layers, compressed. Only for an image for one platform.
      type: int
      sample: 1043718144
    uploaded:
      description: How many blobs were sent.
      returned: when it was pushed
      type: int
      sample: 3
    uploaded_bytes:
      description: How many bytes these blobs have.
      returned: when it was pushed
      type: int
      sample: 182452224
    mounted:
      description: How many blobs were taken over from other repositories.
      returned: when it was pushed
      type: int
      sample: 9
    existing:
      description: How many blobs the repository had already.
      returned: when it was pushed
      type: int
      sample: 1
    seconds:
      description: How long the push took.
      returned: when it was pushed
      type: float
      sample: 4.18
images:
  description: The images as they are now, each with the O(ignore:operation) that was done.
  returned: when O(images) is given
  type: list
  elements: dict
  sample:
    - name: harbor.example.org/imagine/caddy:2
      digest: sha256:5f4a0b2c8d1e6f7a9b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192
      image_id: sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9
      media_type: application/vnd.docker.distribution.manifest.v2+json
      size: 21503211
      operation: none
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectError,
    ObjectModule,
    ObjectType,
)
from ansible_collections.imagine.platform.plugins.module_utils.images import (
    Archive,
    DaemonImage,
    DockerAccess,
    Identity,
    OciLayout,
    Progress,
    Pusher,
    PushOptions,
    Source,
    full_disk,
    remove_work,
)
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

SOURCES = ("docker_image", "docker_archive", "oci_layout")
FIELDS: Json = {
    "name": {"type": "str"},
    "docker_image": {"type": "str"},
    "docker_archive": {"type": "path"},
    "oci_layout": {"type": "path"},
    "source_image": {"type": "str"},
    "platform": {"type": "str"},
    "mount_from": {"type": "list", "elements": "str"},
}
SHARED: Json = {
    "check_blobs": {"type": "bool", "default": False},
    "compression": {"type": "str", "choices": ["fast", "small"], "default": "fast"},
    "parallel": {"type": "int", "default": 4},
    "chunk_size": {"type": "int", "default": 0},
    "work_dir": {"type": "path"},
    "progress_file": {"type": "path"},
    "docker_host": {
        "type": "str",
        "default": "unix:///var/run/docker.sock",
        "fallback": (env_fallback, ["DOCKER_HOST"]),
    },
    "docker_ca_cert": {"type": "path"},
    "docker_client_cert": {"type": "path"},
    "docker_client_key": {"type": "path", "no_log": False},
    "docker_timeout": {"type": "int", "default": 900},
}
UNKNOWN_DIGEST = "known after the push"


def image_state(manifest: Manifest) -> Json:
    """The comparable part of what a tag names."""
    return {"digest": manifest.digest, "image_id": manifest.config_digest}


class Images(ObjectType):
    """Tags of registries; one request reads each."""

    def __init__(self, params: Mapping[str, Any], access: Access, work_dir: str) -> None:
        self.params, self.access, self.work_dir = params, access, work_dir
        self.progress = Progress(params["progress_file"])
        self.references: dict[str, Reference] = {}
        self.manifests: dict[str, Manifest] = {}
        self.sources: dict[str, Source] = {}
        self.identities: dict[str, Identity] = {}
        self.pushers: dict[str, Pusher] = {}
        self.single = True

    def validate(self, item: Mapping[str, Any]) -> None:
        name = item["name"]
        reference = parse_reference(name)
        if reference.digest:
            raise ObjectError(f"name is '{name}', but images are pushed and removed by tag: leave out the digest.")
        if str(reference) in {str(other) for other in self.references.values()}:
            raise ObjectError(f"'{reference}' is listed twice: leave one of them.")
        given = [source for source in SOURCES if item[source]]
        if item["state"] == "present" and len(given) != 1:
            said = f"has {' and '.join(given)}" if given else "has no source"
            raise ObjectError(f"'{name}' {said}: give exactly one of {', '.join(SOURCES)}.")
        if item["source_image"] and item["docker_image"]:
            raise ObjectError(f"'{name}' has source_image and docker_image: leave out source_image.")
        self.mounts(item, reference)
        self.references[name] = reference

    @staticmethod
    def mounts(item: Mapping[str, Any], reference: Reference) -> list[Reference]:
        """The images to mount from; the host may be left out, and a tag that was not given is none."""
        found = []
        for text in item["mount_from"] or []:
            bare = text[len(reference.host) + 1 :] if text.lower().startswith(f"{reference.host}/") else text
            other = parse_reference(f"{reference.host}/{bare}", "mount_from")
            tagged = other.digest or ":" in bare.rpartition("/")[2]
            found.append(other if tagged else Reference(other.host, other.repository, ""))
        return found

    def pusher(self, host: str) -> Pusher:
        """What brings images into one registry; images of one run share what is learnt."""
        if host not in self.pushers:
            client = RegistryClient(host, self.access, connections=self.params["parallel"] + 1)
            options = PushOptions(
                self.params["parallel"],
                self.params["chunk_size"] * 1024 * 1024,
                self.params["compression"],
                self.work_dir,
            )
            self.pushers[host] = Pusher(client, options, self.progress)
        return self.pushers[host]

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        clients = {item["name"]: self.pusher(self.references[item["name"]].host).client for item in items}

        def look(name: str) -> tuple[str, Manifest | None]:
            return name, clients[name].manifest(self.references[name])

        with ThreadPoolExecutor(min(len(items), self.params["parallel"])) as pool:
            found = dict(pool.map(look, [item["name"] for item in items]))
        self.single = len(self.references) == 1
        states = {}
        for name, manifest in found.items():
            self.manifests.pop(name, None)
            if manifest is not None:
                self.manifests[name] = manifest
                states[name] = image_state(manifest)
        if self.params["check_blobs"]:
            for item in items:
                if item["name"] in states and item["state"] == "present":
                    states[item["name"]]["missing_blobs"] = self._missing(item["name"])
        return states

    def _missing(self, name: str) -> list[str]:
        """Manifests and blobs of an image that its repository does not hold."""
        reference, manifest = self.references[name], self.manifests[name]
        client = self.pusher(reference.host).client
        missing, parts = [], [manifest]
        while parts:
            part = parts.pop()
            if part.is_index:
                for child in part.json["manifests"]:
                    held = client.manifest(Reference(reference.host, reference.repository, "", child["digest"]))
                    if held is None:
                        missing.append(child["digest"])
                    else:
                        parts.append(held)
            with ThreadPoolExecutor(self.params["parallel"]) as pool:
                held_all = pool.map(
                    lambda blob: client.has_blob(reference.repository, blob["digest"], blob.get("size")), part.blobs
                )
                missing += [blob["digest"] for blob, there in zip(part.blobs, held_all) if not there]
        return sorted(set(missing))

    def source(self, item: Mapping[str, Any]) -> Source:
        """Where the image comes from, opened."""
        name = item["name"]
        if name not in self.sources:
            self.sources[name] = self._open(item)
        return self.sources[name]

    def _open(self, item: Mapping[str, Any]) -> Source:
        if item["oci_layout"]:
            return OciLayout(item["oci_layout"], item["source_image"], item["platform"])
        if item["docker_archive"]:
            return Archive(item["docker_archive"], item["source_image"], item["platform"], self.work_dir)
        options = ("host", "ca_cert", "client_cert", "client_key", "timeout")
        access = DockerAccess(**{name: self.params[f"docker_{name}"] for name in options})
        return DaemonImage(access, item["docker_image"], item["platform"], self.work_dir)

    def _identity(self, item: Mapping[str, Any], manifest: Manifest | None) -> Identity:
        """What the source holds; it is looked at once."""
        name = item["name"]
        if name not in self.identities:
            identity = self.source(item).identity()
            if manifest is not None and not identity.exact and not identity.matches(manifest):
                identity = self.source(item).load().identity
            self.identities[name] = identity
            # Of many archives that have to be unpacked, one at a time takes room.
            if not self.single or (manifest is not None and identity.matches(manifest)):
                self._close(name)
        return self.identities[name]

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        manifest = self.manifests.get(item["name"])
        identity = self._identity(item, manifest)
        if current is None or manifest is None or not identity.matches(manifest):
            return {"digest": identity.digest or UNKNOWN_DIGEST, "image_id": identity.image_id}
        return {**current, "missing_blobs": []} if "missing_blobs" in current else dict(current)

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        return self._push(item, wanted)

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        return self._push(item, wanted)

    def _push(self, item: Mapping[str, Any], wanted: Json) -> Json:
        name = item["name"]
        reference = self.references[name]
        try:
            result = self.pusher(reference.host).push(
                reference, self.source(item), self.manifests.get(name), self.mounts(item, reference)
            )
        except OSError as error:
            raise full_disk(error, self.work_dir) or RegistryError(
                f"'{name}' cannot be pushed ({error.strerror or error}): check the source and work_dir.", "source"
            ) from error
        finally:
            self._close(name)
        self.manifests[name] = result.pop("manifest")
        wanted.update(image_state(self.manifests[name]))
        return result

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        reference = self.references[item["name"]]
        client, digest = self.pusher(reference.host).client, current["digest"]
        others = []
        for tag in client.tags(reference.repository):
            if tag != reference.tag:
                there = client.manifest(Reference(reference.host, reference.repository, tag))
                if there is not None and there.digest == digest:
                    others.append(tag)
        if others:
            raise ObjectError(
                f"'{reference}' cannot be removed alone, because {', '.join(sorted(others))} name the same manifest "
                "and a registry removes it with all its tags: remove or push those first."
            )
        client.delete_manifest(reference.repository, digest)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        manifest = self.manifests.get(item["name"])
        if manifest is None or manifest.digest != state["digest"]:
            return {}
        known: Json = {"media_type": manifest.media_type}
        if not manifest.is_index:
            known["size"] = sum(int(blob.get("size") or 0) for blob in manifest.blobs)
        return known

    def _close(self, name: str) -> None:
        source = self.sources.pop(name, None)
        if source is not None:
            source.close()

    def close(self) -> None:
        """Give everything back."""
        for name in list(self.sources):
            self._close(name)
        for pusher in self.pushers.values():
            pusher.client.close()
        self.progress.close()


def main() -> None:
    objects = ObjectModule(FIELDS, "image", "images", extra=SHARED)
    module = create_module(objects.spec, **objects.rules)
    params = module.params

    def action(access: Access) -> Json:
        if params["parallel"] < 1:
            raise RegistryError(f"parallel is {params['parallel']}: give 1 or more.", "option")
        if params["chunk_size"] < 0:
            raise RegistryError(f"chunk_size is {params['chunk_size']}: give a number of MiB, or 0.", "option")
        if params["work_dir"] and not os.path.isdir(params["work_dir"]):
            raise RegistryError(f"work_dir is '{params['work_dir']}', which is no directory: make it first.", "option")
        work_dir = tempfile.mkdtemp(prefix="harbor-image-", dir=params["work_dir"])
        kind = None
        try:
            kind = Images(params, access, work_dir)
            return objects.run(kind, params, module.check_mode)
        finally:
            if kind is not None:
                kind.close()
            remove_work(work_dir)

    run_module(module, action)


if __name__ == "__main__":
    main()
