# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EGI's descriptions of the sites of its Federated Cloud.

One YAML file describes the endpoint of one OpenStack at a site, in the form of EGI's repository of them: C(gocdb),
C(endpoint), C(region), C(protocol), and C(vos) with the project that each of them has.

The package fedcloudclient reads such files, too, but from a directory below $HOME or a fixed list on the web only. It
ends the process on the first file with a key that is not in its schema, as some published files have, and pins some
fifteen other packages. It is not used here for that.
"""

from __future__ import annotations

import io
import os
import posixpath
import ssl
import tarfile
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.errors import reason, shorten

YAML_IMPORT_ERROR: str | None = None
try:
    import yaml
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()

#: what a site has that says nothing of it
DEFAULT_PROTOCOL = "openid"
ENDINGS = (".yaml", ".yml")
MEBIBYTE = 1024 * 1024
MAX_FILE = MEBIBYTE
MAX_ARCHIVE = 64 * MEBIBYTE
MAX_UNPACKED = 512 * MEBIBYTE
MAX_FILES = 2000


class FedcloudError(Exception):
    """Site descriptions that cannot be read; the text is one sentence."""


class Source:
    """Where site descriptions come from: a directory, a file, an archive, or the address of a file or an archive."""

    def __init__(self, src: str, ca_cert: str | None = None, timeout: float = 30) -> None:
        self.src, self.ca_cert, self.timeout = src, ca_cert, timeout
        if timeout <= 0:
            raise FedcloudError(f"timeout is {timeout}: give a number of seconds above 0.")
        if ca_cert and not os.access(ca_cert, os.R_OK):
            raise FedcloudError(f"ca_cert is '{ca_cert}', which is no file that can be read: correct the path.")

    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of each description."""
        if "://" in self.src:
            found = self._unpack(self.src, self._fetch(self.src, MAX_ARCHIVE))
        elif os.path.isdir(self.src):
            found = list(self._directory())
        else:
            found = self._unpack(self.src, self._local(self.src, MAX_ARCHIVE))
        if not found:
            raise FedcloudError(
                f"There is no site description in '{self.src}': give a directory or an archive with YAML files, in "
                "itself or in its directory sites."
            )
        return sorted(found)

    def _local(self, path: str, limit: int) -> bytes:
        try:
            with open(path, "rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise FedcloudError(
                f"'{path}' cannot be read ({error.strerror}): correct the path in src, or the file's mode."
            ) from error
        return self._bounded(path, content, limit)

    @staticmethod
    def _bounded(name: str, content: bytes, limit: int) -> bytes:
        if len(content) > limit:
            raise FedcloudError(
                f"'{name}' is larger than {limit // MEBIBYTE} MiB, which no site description is: correct src."
            )
        return content

    def _directory(self) -> Iterator[tuple[str, bytes]]:
        below = os.path.join(self.src, "sites")
        directory = below if os.path.isdir(below) else self.src
        try:
            names = sorted(os.listdir(directory))
        except OSError as error:
            raise FedcloudError(
                f"The directory '{directory}' cannot be read ({error.strerror}): correct src, or the directory's mode."
            ) from error
        for name in names[:MAX_FILES]:
            path = os.path.join(directory, name)
            if name.endswith(ENDINGS) and not name.startswith(".") and os.path.isfile(path):
                yield name, self._local(path, MAX_FILE)

    def _fetch(self, url: str, limit: int) -> bytes:
        if urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
            raise FedcloudError(f"'{url}' is no HTTP address: write it as https://HOST/PATH, or give a path.")
        try:
            with open_url(
                url, timeout=self.timeout, ca_path=self.ca_cert, follow_redirects="safe", decompress=False
            ) as answer:
                content: bytes = answer.read(limit + 1)
                promised = answer.headers.get("Content-Length") or ""
                if promised.isdigit() and len(content) < min(int(promised), limit + 1):
                    raise OSError(f"the answer ended after {len(content)} of {promised} bytes")
        except HTTPError as error:
            remedy = {401: "it wants credentials", 403: "it may not be read by everybody", 404: "correct the address"}
            hint = remedy.get(error.code, "try again later")
            raise FedcloudError(f"'{url}' answered {error.code} {error.reason}: {hint}.") from error
        except (URLError, OSError, ValueError) as error:
            raise FedcloudError(self._explain(url, error)) from error
        return self._bounded(url, content, limit)

    def _explain(self, url: str, error: Exception) -> str:
        cause = getattr(error, "reason", None) or error
        words = shorten(reason(cause)) if isinstance(cause, BaseException) else shorten(str(cause))
        if isinstance(cause, ssl.SSLError) or "CERTIFICATE" in words.upper() or "SSL" in type(error).__name__.upper():
            return f"TLS with '{url}' failed ({words}): check ca_cert, and that the address is the certificate's."
        if isinstance(cause, TimeoutError) or "timed out" in words:
            return f"'{url}' did not answer within {self.timeout:g} s: try again later, or raise timeout."
        return f"'{url}' cannot be reached ({words}): check the address and the network."

    def _unpack(self, name: str, content: bytes) -> list[tuple[str, bytes]]:
        """The descriptions in a file: itself, or those in the archive that it is."""
        try:
            if zipfile.is_zipfile(io.BytesIO(content)):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    return self._members(_zip_members(archive))
            # Anything else that is no tar archive raises ReadError.
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as tar:
                return self._members(_tar_members(tar))
        except tarfile.ReadError:
            pass
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
            raise FedcloudError(f"The archive '{name}' is damaged ({shorten(str(error))}): get it again.") from error
        return [(posixpath.basename(urlsplit(name).path) or name, self._bounded(name, content, MAX_FILE))]

    def _members(self, members: Iterator[tuple[str, Callable[[], bytes]]]) -> list[tuple[str, bytes]]:
        """Descriptions of an archive: those in a directory sites, else those nearest to its root."""
        known = {
            name: read
            for name, read in members
            if name.endswith(ENDINGS) and not posixpath.basename(name).startswith(".")
        }
        wanted = [name for name in known if posixpath.basename(posixpath.dirname(name)) == "sites"]
        if not wanted and known:
            depth = min(name.count("/") for name in known)
            wanted = [name for name in known if name.count("/") == depth]
        return [(posixpath.basename(name), self._bounded(name, known[name](), MAX_FILE)) for name in wanted[:MAX_FILES]]


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name in archive.namelist():

        def read(name: str = name) -> bytes:
            with archive.open(name) as file:
                return file.read(MAX_FILE + 1)

        yield name, read


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, Callable[[], bytes]]]:
    size = 0
    for member in archive:
        size += member.size
        if size > MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED // MEBIBYTE} MiB")
        # Links and devices are no descriptions.
        if not member.isfile():
            continue

        def read(member: tarfile.TarInfo = member) -> bytes:
            file = archive.extractfile(member)
            return file.read(MAX_FILE + 1) if file else b""

        yield member.name, read


def parse(name: str, content: bytes) -> Json:
    """The site that a file describes; raises FedcloudError."""

    def wrong(what: str) -> FedcloudError:
        return FedcloudError(f"The site description '{name}' {what}.")

    try:
        # All values are strings: a project's ID of digits alone must not become a number. The loader in C ends the
        # process at deep nesting.
        raw = yaml.BaseLoader(content).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise wrong(
            f"is no YAML{where} ({shorten(getattr(error, 'problem', None) or str(error))}): correct it"
        ) from error
    if not isinstance(raw, dict):
        raise wrong("is no mapping: write gocdb, endpoint and vos in it")
    for key in ("gocdb", "endpoint"):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise wrong(f"has no {key}: add it")
    endpoint = raw["endpoint"].strip()
    if urlsplit(endpoint).scheme not in ("https", "http") or not urlsplit(endpoint).hostname:
        raise wrong(f"has endpoint '{shorten(endpoint, 80)}': write the address of Keystone, https://HOST:5000/v3")
    for key in ("region", "protocol"):
        if not isinstance(raw.get(key) or "", str):
            raise wrong(f"has a {key} that is no string: write one")
    region = raw.get("region") or ""
    listed = raw.get("vos") or []
    if not isinstance(listed, list):
        raise wrong("has vos that are no list: write a list of name and auth")
    vos: dict[str, Json] = {}
    for number, vo in enumerate(listed, 1):
        found = _parse_vo(vo, number, region, wrong)
        if found["name"] in vos:
            raise wrong(f"has the VO '{found['name']}' twice: leave one of them")
        vos[found["name"]] = found
    return {
        "name": posixpath.splitext(name)[0],
        "gocdb": raw["gocdb"].strip(),
        "endpoint": endpoint,
        "region": region,
        "protocol": raw.get("protocol") or DEFAULT_PROTOCOL,
        "vos": [vos[vo] for vo in sorted(vos)],
        "projects": {vo: vos[vo]["project_id"] for vo in sorted(vos)},
    }


def _parse_vo(vo: Any, number: int, region: str, wrong: Callable[[str], FedcloudError]) -> Json:
    name = vo.get("name") if isinstance(vo, Mapping) else None
    if not isinstance(name, str) or not name.strip():
        raise wrong(f"has no name for VO number {number}: add it")
    auth = vo.get("auth")
    if not isinstance(auth, Mapping):
        raise wrong(f"has no auth for VO '{name}': add it, with its project_id")
    values = {key: auth.get(key) or "" for key in ("project_id", "region")}
    values.update({key: vo.get(key) or "" for key in ("defaultNetwork", "publicNetwork")})
    for key, value in values.items():
        if not isinstance(value, str):
            raise wrong(f"has a {key} of VO '{name}' that is no string: write one")
    return {
        "name": name.strip(),
        "project_id": values["project_id"],
        "region": values["region"] or region,
        "default_network": values["defaultNetwork"],
        "public_network": values["publicNetwork"],
    }
