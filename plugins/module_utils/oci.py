# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One client for OCI registries: authentication, manifests, blobs, and errors that a person can act on.

It speaks the OCI distribution protocol over requests and is safe to use from several threads.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import os
import random
import re
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from ansible_collections.imagine.platform.plugins.module_utils.crud import finish
from ansible_collections.imagine.platform.plugins.module_utils.errors import ServiceError, reason, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS_IMPORT_ERROR: str | None = None
try:
    import requests
    from requests.adapters import HTTPAdapter
except ImportError:
    REQUESTS_IMPORT_ERROR = traceback.format_exc()

Json = dict[str, Any]

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)

# Manifests and configurations are pages of JSON; registries refuse more than 4 MiB.
MOST_ANSWER = 16 * 1024 * 1024
# What one write hands to the connection; the default of 16 KiB costs a third of the throughput.
BLOCK = 512 * 1024
# What asking again may cure.
RETRIED = (408, 425, 429, 500, 502, 503, 504)
RETRY_SECONDS = 0.5
RETRY_MOST_SECONDS = 15.0
# A token that ends while a request is on its way costs a second request.
TOKEN_MARGIN_SECONDS = 10
TOKEN_SECONDS = 60

HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?"
REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}"


class RegistryError(ServiceError):
    """What went wrong between a module and a registry."""

    #: seconds after which the registry wants to be asked again
    retry_after: float | None = None


@dataclass(frozen=True)
class Reference:
    """The name of an image: C(host/repository:tag), or with a digest in place of or after the tag."""

    host: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def target(self) -> str:
        """What a manifest is asked by."""
        return self.digest or self.tag


def parse_reference(text: str, option: str = "name") -> Reference:
    """The parts of a name; a name without a registry is refused rather than sent to a public one."""
    host, slash, rest = text.partition("/")
    if not slash or not (set(host) & set(".:[") or host == "localhost") or not re.match(rf"{HOST}\Z", host):
        raise RegistryError(
            f"{option} is '{text}', which does not begin with a registry: write it as HOST/REPOSITORY:TAG, for "
            "instance harbor.example.org/imagine/app:1.0.",
            "option",
        )
    rest, at, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if not re.match(rf"{REPOSITORY}\Z", repository) or len(repository) > 255:
        raise RegistryError(
            f"{option} is '{text}', but '{repository}' cannot be a repository: use lower-case letters and digits, "
            "with '.', '_' or '-' between them and '/' between parts.",
            "option",
        )
    if colon and not re.match(rf"{TAG}\Z", tag):
        raise RegistryError(
            f"{option} is '{text}', but '{tag}' cannot be a tag: use 1 to 128 letters, digits, '.', '_' or '-', "
            "with a letter, a digit or '_' first.",
            "option",
        )
    if at and not re.match(rf"{DIGEST}\Z", digest):
        raise RegistryError(
            f"{option} is '{text}', but '{digest}' is no digest: write it as sha256: and 64 hexadecimal digits.",
            "option",
        )
    return Reference(host.lower(), repository, tag or ("" if digest else "latest"), digest)


def sha256(content: bytes) -> str:
    """The digest of a manifest or of a configuration."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Body(Protocol):
    """Something that can be sent from any position: a part of a file, or bytes."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def open(self) -> BinaryIO:
        """A new stream from the beginning, which can seek."""


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, byte by byte as it is stored."""

    content: bytes
    media_type: str
    digest: str

    @property
    def json(self) -> Json:
        """The decoded document."""
        decoded: Json = json.loads(self.content)
        return decoded

    @property
    def is_index(self) -> bool:
        """Whether it lists other manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def config_digest(self) -> str:
        """Digest of the configuration, which Docker calls the image ID; empty for an index."""
        config = self.json.get("config")
        return str(config.get("digest") or "") if isinstance(config, dict) else ""

    @property
    def blobs(self) -> list[Json]:
        """Descriptors of configuration and layers that the registry has to hold."""
        document = self.json
        listed = [document["config"]] if isinstance(document.get("config"), dict) else []
        listed += document.get("layers") or []
        # Foreign layers are kept elsewhere.
        return [item for item in listed if not item.get("urls")]


def registry_argument_spec() -> Json:
    """Connection options, documented in the fragment imagine.platform.registry."""
    return {
        "registry_username": {"type": "str", "fallback": (env_fallback, ["REGISTRY_USERNAME"])},
        "registry_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["REGISTRY_PASSWORD"])},
        "registry_auth_file": {"type": "path", "no_log": False, "fallback": (env_fallback, ["REGISTRY_AUTH_FILE"])},
        "registry_ca_cert": {"type": "path", "fallback": (env_fallback, ["REGISTRY_CA_CERT"])},
        "registry_client_cert": {"type": "path", "fallback": (env_fallback, ["REGISTRY_CLIENT_CERT"])},
        "registry_client_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["REGISTRY_CLIENT_KEY"])},
        "registry_plain_http": {"type": "bool", "default": False},
        "registry_timeout": {"type": "int", "default": 60},
        "registry_retries": {"type": "int", "default": 5},
    }


@dataclass(frozen=True)
class Access:
    """How registries are reached."""

    username: str | None = None
    password: str | None = None
    auth_file: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    plain_http: bool = False
    timeout: float = 60
    retries: int = 5

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Access:
        """What a module's connection options describe; refuses what cannot be right."""
        access = cls(**{name: params[f"registry_{name}"] for name in cls.__dataclass_fields__})
        access.check()
        return access

    def check(self) -> None:
        """Raise RegistryError for options that cannot be right."""
        for name in ("auth_file", "ca_cert", "client_cert", "client_key"):
            path = getattr(self, name)
            if path and not os.path.isfile(path):
                raise RegistryError(f"registry_{name} is '{path}', but there is no such file: correct it.", "option")
            if path and not os.access(path, os.R_OK):
                raise RegistryError(f"registry_{name} is '{path}', which this user may not read.", "option")
        for one, other in (("username", "password"), ("client_cert", "client_key")):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                missing = other if getattr(self, one) else one
                given = one if getattr(self, one) else other
                raise RegistryError(f"registry_{missing} is not set, but registry_{given} is: give both.", "option")
        if self.timeout <= 0:
            raise RegistryError(
                f"registry_timeout is {self.timeout}: give a number of seconds above 0.",
                "option",
            )
        if self.retries < 0:
            raise RegistryError(f"registry_retries is {self.retries}: give 0 or more.", "option")

    def credentials(self, host: str) -> tuple[str, str] | None:
        """User and password for a registry; None where it is used anonymously."""
        if self.username and self.password:
            return self.username, self.password
        return _auth_file(self.auth_file, host) if self.auth_file else None


def _auth_file(path: str, host: str) -> tuple[str, str] | None:
    """Credentials from a file as `docker login`, `podman login` or `skopeo login` write it."""
    try:
        with open(path, encoding="utf-8") as stream:
            entries = json.load(stream).get("auths") or {}
        entry = next(
            (entries[key] for key in (host, f"https://{host}", f"https://{host}/v2/", f"{host}/v2/") if key in entries),
            None,
        )
        if entry is None:
            return None
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon between user and password")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        # A decoder's words could quote the secret.
        raise RegistryError(
            f"registry_auth_file is '{path}', but what it says of {host} cannot be read ({type(error).__name__}): "
            "write it with 'docker login' or 'skopeo login', without a credential helper.",
            "option",
        ) from None
    return user, password


def _adapter(connections: int) -> HTTPAdapter:
    """Connections that send large blocks, as many as there are threads."""

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, blocksize=BLOCK, **kwargs)

    return Adapter(pool_maxsize=connections)


def parse_challenges(header: str) -> dict[str, dict[str, str]]:
    """The schemes of a WWW-Authenticate header, in lower case, each with its parameters."""
    found: dict[str, dict[str, str]] = {}
    scheme = ""
    token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of RFC 9110
    for match in re.finditer(rf'({token})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({token}))|({token})(?=\s|,|$)', header):
        name, quoted, plain, word = match.groups()
        if word is not None:
            scheme = word.lower()
            found.setdefault(scheme, {})
        elif scheme:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[scheme][name.lower()] = value
    return found


class RegistryClient:
    """Requests to one registry."""

    def __init__(self, host: str, access: Access, connections: int = 8) -> None:
        self.host = host
        self.access = access
        self.base = f"{'http' if access.plain_http else 'https'}://{host}"
        self.credentials = access.credentials(host)
        #: requests that were made
        self.requests = 0
        self._answered = False
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}
        self._basic = False
        self._realm: dict[str, str] | None = None
        self._session = requests.Session()
        # Harbor takes a client that returns cookies for a browser and asks for a CSRF token.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Without this, requests would replace our header by what ~/.netrc says.
        self._session.auth = lambda request: request
        self._session.headers["User-Agent"] = "imagine.platform"
        # Said with each request, because REQUESTS_CA_BUNDLE would win over what the session says.
        self._verify: Any = access.ca_cert or True
        if access.client_cert and access.client_key:
            self._session.cert = (access.client_cert, access.client_key)
        adapter = _adapter(connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    # Manifests

    def manifest(self, reference: Reference) -> Manifest | None:
        """What a tag or a digest names; None where there is nothing."""
        what = f"reading {reference}"
        try:
            response = self.request(
                "GET",
                f"/v2/{reference.repository}/manifests/{reference.target}",
                what,
                reference.repository,
                headers={"Accept": ", ".join(MANIFEST_TYPES)},
                pull_only=True,
            )
        except RegistryError as error:
            if error.kind == "not_found":
                return None
            raise
        content = response.content
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        manifest = Manifest(content, media_type, sha256(content))
        try:
            document = manifest.json
            if not isinstance(document, dict):
                raise ValueError("not an object")
            listed = document.get("manifests") if manifest.is_index else manifest.blobs
            if not isinstance(listed, list) or any(not isinstance(item["digest"], str) for item in listed):
                raise ValueError("no list of descriptors")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryError(
                f"{self.host} answered with something that is no manifest ({shorten(response.text)}) while {what}: "
                "check that the name leads to an OCI registry.",
                "protocol",
                response.status_code,
            ) from error
        if media_type not in MANIFEST_TYPES:
            raise RegistryError(
                f"{reference} is of the type '{media_type}', which this module does not know: push it again with a "
                "current tool.",
                "protocol",
            )
        if reference.digest and manifest.digest != reference.digest:
            raise RegistryError(
                f"{self.host} answered with {manifest.digest} while {what}: its storage or something on the way is "
                "damaged.",
                "protocol",
            )
        return manifest

    def put_manifest(self, repository: str, target: str, manifest: Manifest) -> None:
        """Store a manifest under a tag or under its digest."""
        what = f"storing the manifest of {self.host}/{repository}:{target}"
        if target == manifest.digest:
            what = f"storing the manifest {target} of {self.host}/{repository}"
        response = self.request(
            "PUT",
            f"/v2/{repository}/manifests/{target}",
            what,
            repository,
            headers={"Content-Type": manifest.media_type},
            data=manifest.content,
        )
        stored = response.headers.get("Docker-Content-Digest")
        if stored and stored.startswith("sha256:") and stored != manifest.digest:
            raise RegistryError(
                f"{self.host} stored {stored} in place of {manifest.digest} while {what}: run again, and check what is "
                "between this machine and the registry.",
                "protocol",
            )

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Remove a manifest and all tags that name it."""
        what = f"deleting {self.host}/{repository}@{digest}"
        try:
            self.request("DELETE", f"/v2/{repository}/manifests/{digest}", what, repository, delete=True)
        except RegistryError as error:
            if error.kind != "not_found":
                raise

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository."""
        what = f"listing the tags of {self.host}/{repository}"
        path = f"/v2/{repository}/tags/list"
        found: list[str] = []
        while path:
            try:
                response = self.request("GET", path, what, repository, pull_only=True)
            except RegistryError as error:
                if error.kind == "not_found":
                    return found
                raise
            try:
                found += [str(tag) for tag in response.json().get("tags") or []]
            except (ValueError, AttributeError, TypeError) as error:
                raise RegistryError(
                    f"{self.host} answered with something that is no list of tags ({shorten(response.text)}) "
                    f"while {what}.",
                    "protocol",
                ) from error
            following = str(response.links.get("next", {}).get("url") or "")
            path = self._own(urljoin(self.base + path, following), what) if following else ""
        return found

    # Blobs

    def has_blob(self, repository: str, digest: str, size: int | None = None) -> bool:
        """Whether a repository holds a blob, in the right size where one is given."""
        what = f"looking for {digest} in {self.host}/{repository}"
        try:
            response = self.request("HEAD", f"/v2/{repository}/blobs/{digest}", what, repository)
        except RegistryError as error:
            if error.kind == "not_found":
                return False
            raise
        length = response.headers.get("Content-Length", "")
        return size is None or not length.isdigit() or int(length) == size

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob, such as a configuration; checked against its digest."""
        what = f"reading {digest} of {self.host}/{repository}"
        content: bytes = self.request(
            "GET", f"/v2/{repository}/blobs/{digest}", what, repository, pull_only=True
        ).content
        if sha256(content) != digest:
            raise RegistryError(
                f"{self.host} answered with other content while {what}: its storage or something on the way is "
                "damaged.",
                "protocol",
            )
        return content

    def mount_blob(self, repository: str, digest: str, other: str) -> str:
        """Take a blob over from another repository; empty when done, otherwise where an upload may begin."""
        query = urlencode({"mount": digest, "from": other})
        what = f"mounting {digest} of {self.host}/{other} in {repository}"
        response = self.request(
            "POST", f"/v2/{repository}/blobs/uploads/?{query}", what, repository, also=(other,), data=b""
        )
        return "" if response.status_code == 201 else self.location(response, what)

    def start_upload(self, repository: str, digest: str) -> str:
        """Where a new upload is sent to."""
        what = f"starting the upload of {digest} to {self.host}/{repository}"
        response = self.request("POST", f"/v2/{repository}/blobs/uploads/", what, repository, data=b"")
        return self.location(response, what)

    def cancel_upload(self, location: str, repository: str) -> None:
        """Let the registry forget an upload that will not be finished; it would do so itself after days."""
        try:
            # What made the upload fail may have broken the connection as well.
            self.request("DELETE", location, "cancelling an upload", repository, retries=1, delete=True)
        except RegistryError:
            return

    def upload_blob(
        self,
        repository: str,
        digest: str,
        body: Body,
        location: str = "",
        chunk: int = 0,
        sent: Callable[[int], None] = lambda count: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Upload one blob; a connection that breaks is resumed where the registry says that it stopped.

        C(chunk) is the most that one request carries, 0 for no limit. C(sent) is called with numbers of bytes;
        negative where some have to be sent again.
        """
        upload = _Upload(self, repository, digest, body, location, chunk, sent, stopped)
        try:
            upload.run()
        except BaseException:
            if upload.location:
                self.cancel_upload(upload.location, repository)
            raise

    # Requests

    def request(
        self,
        method: str,
        path: str,
        what: str,
        repository: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        also: Sequence[str] = (),
        pull_only: bool = False,
        delete: bool = False,
        retries: int | None = None,
    ) -> requests.Response:
        """An answer that says success; C(what) says in an error what was being done.

        C(data) may be a function that makes a stream, which is called for each attempt. Failures that may pass are
        tried again C(retries) times, by default as often as the options say.
        """
        actions = "pull" if pull_only else "pull,push,delete" if delete else "pull,push"
        scopes = (f"repository:{repository}:{actions}", *(f"repository:{name}:pull" for name in also))
        most = self.access.retries if retries is None else retries
        attempt = 0
        while True:
            try:
                return self._attempt(method, path, what, scopes, headers or {}, data)
            except RegistryError as error:
                if attempt >= most or not transient(error):
                    raise
                self.pause(attempt, error)
                attempt += 1

    def pause(self, attempt: int, error: RegistryError) -> None:
        """Wait before the next attempt: as long as the registry says, or longer each time."""
        seconds = min(RETRY_SECONDS * 2**attempt, RETRY_MOST_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
        if error.retry_after is not None:
            seconds = min(max(error.retry_after, 0.0), self.access.timeout)
        time.sleep(seconds)

    def _attempt(
        self, method: str, path: str, what: str, scopes: tuple[str, ...], headers: Mapping[str, str], data: Any
    ) -> requests.Response:
        url = urljoin(self.base, path)
        authorization = self._authorization(url, scopes, what)
        response = self._send(method, url, what, {**headers, **authorization}, data)
        if response.status_code == 401 and self._is_ours(url):
            challenge = response.headers.get("WWW-Authenticate", "")
            response.close()
            if self._accept(challenge, scopes, bool(authorization)):
                authorization = self._authorization(url, scopes, what)
                response = self._send(method, url, what, {**headers, **authorization}, data)
        if response.status_code >= 300:
            raise self.explain_response(response, what)
        return response

    def _send(self, method: str, url: str, what: str, headers: Mapping[str, str], data: Any) -> requests.Response:
        with self._lock:
            self.requests += 1
        try:
            response = self._session.request(
                method,
                url,
                headers=dict(headers),
                data=data() if callable(data) else data,
                timeout=self.access.timeout,
                verify=self._verify,
                # Storage behind the registry serves blobs; requests drops our token where the host changes.
                allow_redirects=method in ("GET", "HEAD"),
                stream=True,
            )
            try:
                _read(response)
            finally:
                response.close()
            self._answered = True
            return response
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise self.explain(error, what) from error

    # Authentication

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.base)[:2]

    def _authorization(self, url: str, scopes: tuple[str, ...], what: str) -> dict[str, str]:
        """The header for a request, as far as the registry is known to want one."""
        if not self._is_ours(url):
            return {}
        # One thread asks for a token, the others wait for it.
        with self._lock:
            if self._realm is not None:
                token, until = self._tokens.get(scopes, ("", 0.0))
                if time.monotonic() >= until:
                    token, seconds = self._token(self._realm, scopes, what)
                    self._tokens[scopes] = (token, time.monotonic() + max(1.0, seconds - TOKEN_MARGIN_SECONDS))
                return {"Authorization": f"Bearer {token}"}
        return self._basic_header() if self._basic else {}

    def _basic_header(self) -> dict[str, str]:
        if self.credentials is None:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()}

    def _accept(self, challenge: str, scopes: tuple[str, ...], tried: bool) -> bool:
        """Learn from a challenge how to authenticate; whether there is something new to try."""
        challenges = parse_challenges(challenge)
        with self._lock:
            bearer = challenges.get("bearer")
            if bearer and bearer.get("realm"):
                self._realm = bearer
                # A token that was refused is not used again: it may have ended early, or the key was changed.
                if tried:
                    self._tokens.pop(scopes, None)
                return True
            if "basic" in challenges and self.credentials and not tried:
                self._basic = True
                return True
        return False

    def _token(self, realm: Mapping[str, str], scopes: Iterable[str], what: str) -> tuple[str, float]:
        """A token for the scopes, and for how many seconds it holds."""
        url = urljoin(self.base, realm["realm"])
        if self.credentials and urlsplit(url).scheme != "https" and not self.access.plain_http:
            raise RegistryError(
                f"{self.host} sends logins to {url}, where the password would travel unencrypted, while {what}: "
                "correct the registry's external address, or set registry_plain_http.",
                "tls",
            )
        query = [("service", realm["service"])] if realm.get("service") else []
        query += [("scope", scope) for scope in scopes]
        if self.credentials:
            query.append(("account", self.credentials[0]))
        parts = urlsplit(url)
        url = urlunsplit(parts._replace(query=urlencode(parse_qsl(parts.query) + query)))
        self.requests += 1
        asking = f"asking {parts.scheme}://{parts.netloc}{parts.path} for a token, {what}"
        try:
            response = self._session.get(
                url,
                headers=self._basic_header(),
                timeout=self.access.timeout,
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            )
            try:
                _read(response)
            finally:
                response.close()
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise self.explain(error, asking) from error
        if response.status_code != 200:
            raise self.explain_response(response, asking)
        try:
            answer = response.json()
            token = answer.get("token") or answer["access_token"]
            seconds = float(answer.get("expires_in") or TOKEN_SECONDS)
            if not isinstance(token, str) or not token:
                raise ValueError("no token")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RegistryError(
                f"{parts.netloc} answered with something that is no token while {asking}: check the address that "
                f"{self.host} gives for logins.",
                "protocol",
            ) from error
        return token, seconds

    # Answers

    def _own(self, url: str, what: str) -> str:
        if not self._is_ours(url):
            raise RegistryError(f"{self.host} leads to {url} while {what}: correct its external address.", "protocol")
        return url

    def location(self, response: requests.Response, what: str) -> str:
        """Where an upload goes on, made absolute."""
        location = response.headers.get("Location")
        if not location:
            raise RegistryError(
                f"{self.host} did not say where to upload to while {what}: check that it is an OCI registry and what "
                "is between it and this machine.",
                "protocol",
            )
        url = urljoin(response.url, location)
        parts, ours = urlsplit(url), urlsplit(self.base)
        if parts.hostname == ours.hostname and parts.scheme != ours.scheme:
            # A registry behind a proxy that ends TLS may not know its own scheme and port.
            url = urlunsplit(parts._replace(scheme=ours.scheme, netloc=ours.netloc))
        return url

    def explain(self, cause: Exception, what: str) -> RegistryError:
        """One sentence for whatever requests raised."""
        words = shorten(str(cause))
        # A server that never answered is not asked again and again: its name may be wrong.
        kind = "connection" if self._answered else "unreachable"
        if "WRONG_VERSION_NUMBER" in words:
            return RegistryError(
                f"{self.host} does not speak TLS, while {what}: correct the port, or set registry_plain_http where the "
                "registry is meant to be reached without TLS.",
                "tls",
                words=words,
            )
        if isinstance(cause, requests.exceptions.SSLError) and "EOF" not in words:
            return RegistryError(
                f"TLS with {self.host} failed while {what} ({reason(cause)}): check registry_ca_cert and that the "
                "certificate names this host.",
                "tls",
                words=words,
            )
        if isinstance(cause, requests.exceptions.Timeout) or "timed out" in words:
            return RegistryError(
                f"{self.host} did not answer within {self.access.timeout} s while {what}: check that the registry is "
                "healthy or raise registry_timeout.",
                "timeout" if self._answered else kind,
                words=words,
            )
        if isinstance(cause, requests.exceptions.TooManyRedirects):
            return RegistryError(f"{self.host} redirects in a circle while {what}.", "protocol", words=words)
        # Everything that requests raises is an OSError as well.
        broken = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)
        if isinstance(cause, broken) or not isinstance(cause, (requests.exceptions.RequestException, ValueError)):
            return RegistryError(
                f"The connection to {self.host} failed while {what} ({reason(cause)}): check the name of the registry "
                "and that it runs.",
                kind,
                words=words,
            )
        return RegistryError(f"The request to {self.host} failed while {what} ({words}).", "protocol", words=words)

    def explain_response(self, response: requests.Response, what: str) -> RegistryError:
        """One sentence for an answer that says failure."""
        status = response.status_code
        codes, words = _errors(response)
        said = f"{status} {words}".strip()
        host = self.host
        error = RegistryError(f"{host} failed ({said}) while {what}.", "server", status, words)
        if 300 <= status < 400:
            error = RegistryError(
                f"{host} redirects to {shorten(response.headers.get('Location', 'nowhere'))} while {what}: use the "
                "address that the registry answers at.",
                "protocol",
                status,
            )
        elif "exceed the configured upper limit" in words or "quota" in words.lower():
            error = RegistryError(
                f"{host} has no room left for this project ({said}) while {what}: raise the quota or remove images.",
                "quota",
                status,
                words,
            )
        elif status == 401 or (status == 403 and "DENIED" in codes):
            login = "is not accepted or lacks the right" if self.credentials else "is not set"
            error = RegistryError(
                f"{host} refused ({said}) while {what}: registry_username with registry_password {login}; the project "
                "has to exist as well.",
                "auth",
                status,
                words,
            )
        elif status == 403:
            error = RegistryError(
                f"{host} forbids it ({said}) while {what}: give a user or a robot account that may do this.",
                "auth",
                status,
                words,
            )
        elif status == 404:
            error = RegistryError(f"{host} does not have it ({said}) while {what}.", "not_found", status, words)
        elif status == 412 or "immutable" in words.lower():
            error = RegistryError(
                f"{host} does not let the tag be changed ({said}) while {what}: push under a new tag, or change the "
                "rule of the project.",
                "immutable",
                status,
                words,
            )
        elif status == 413:
            error = RegistryError(
                f"{host} refuses so much in one request ({said}) while {what}: raise the limit of the proxy before "
                "the registry, or set chunk_size below it.",
                "too_large",
                status,
                words,
            )
        elif status == 429:
            error = RegistryError(
                f"{host} is asked too often ({said}) while {what}: run again later, or with less in parallel.",
                "busy",
                status,
                words,
            )
        elif "http request to an https server" in words.lower():
            error = RegistryError(
                f"{host} speaks TLS: leave out registry_plain_http.",
                "tls",
                status,
            )
        elif status in (400, 405, 415, 416, 422):
            error = RegistryError(f"{host} refused ({said}) while {what}.", "bad_request", status, words)
        error.retry_after = _retry_after(response.headers.get("Retry-After", ""))
        return error


def _read(response: requests.Response) -> None:
    """Take in an answer, which is never large; a stranger's endless page must not fill the memory."""
    parts, size = [], 0
    for part in response.iter_content(65536):
        parts.append(part)
        size += len(part)
        if size > MOST_ANSWER:
            raise ValueError(f"the answer is larger than {MOST_ANSWER} bytes")
    response._content = b"".join(parts)


def _errors(response: requests.Response) -> tuple[set[str], str]:
    """Codes and words of a registry's error document, or of whatever else it is."""
    try:
        listed = response.json()["errors"]
        codes = {str(item.get("code", "")) for item in listed}
        words = []
        for item in listed:
            said = str(item.get("message") or item.get("code") or "")
            detail = item.get("detail")
            if isinstance(detail, str) and detail and detail not in said:
                said = f"{said}: {detail}"
            words.append(said)
    except (ValueError, KeyError, TypeError, AttributeError):
        return set(), shorten(re.sub(r"<[^>]*>", " ", response.text) or str(response.reason or ""))
    return codes, shorten("; ".join(words))


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header: a number, or a date."""
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()) if value else None
    except (TypeError, ValueError):
        return None


def transient(error: RegistryError) -> bool:
    """Whether asking again may help."""
    return error.kind in ("connection", "timeout") or (error.kind != "quota" and error.status in RETRIED)


class _Stream:
    """A part of a body, in the form that requests sends with a Content-Length."""

    def __init__(
        self, body: Body, start: int, end: int, report: Callable[[int], None], stopped: Callable[[], bool]
    ) -> None:
        self._file = body.open()
        self._file.seek(start)
        self._at, self._end = start, end
        self._report, self._stopped = report, stopped

    def __len__(self) -> int:
        return self._end - self._at

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK):
            yield block

    def read(self, size: int = BLOCK) -> bytes:
        """The next block; asking for it means that the one before was sent."""
        if self._stopped():
            raise OSError("stopped")
        self._report(self._at)
        block = self._file.read(min(size if size > 0 else BLOCK, self._end - self._at))
        if not block and self._at < self._end:
            # No fault of the connection, which an OSError would be taken for: to send it again does not help.
            raise RegistryError(f"the file became shorter: {self._end - self._at} bytes are missing", "file")
        self._at += len(block)
        return block

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class _Upload:
    """One blob on its way."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        digest: str,
        body: Body,
        location: str,
        chunk: int,
        sent: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self.client, self.repository, self.digest, self.body = client, repository, digest, body
        self.location, self.chunk, self.sent, self.stopped = location, chunk, sent, stopped
        self.what = f"uploading {digest} to {client.host}/{repository}"
        #: what the registry is known to have
        self.offset = 0
        #: what was reported as sent
        self.reported = 0
        self.anew = False

    def run(self) -> None:
        """Send until the registry has it all; attempts count from the last progress."""
        attempt = 0
        while True:
            before = self.offset
            try:
                self._go_on()
                return
            except RegistryError as error:
                if self.stopped() or not (transient(error) or self._lost(error)):
                    raise
                if self._recover(error):
                    return
                attempt = 0 if self.offset > before else attempt + 1
                if attempt > self.client.access.retries:
                    raise
                self.client.pause(attempt, error)

    def _go_on(self) -> None:
        if not self.location:
            self.location = self.client.start_upload(self.repository, self.digest)
        while self.offset < self.body.size:
            self._send()
        self._finish()
        self.location = ""

    def _report(self, offset: int) -> None:
        if offset != self.reported:
            self.sent(offset - self.reported)
            self.reported = offset

    def _send(self) -> None:
        """The next chunk, or all that is left, in one request."""
        start = self.offset
        end = min(self.body.size, start + self.chunk) if self.chunk else self.body.size
        streams: list[_Stream] = []

        def stream() -> _Stream:
            streams.append(_Stream(self.body, start, end, self._report, self.stopped))
            return streams[-1]

        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{end - 1}"}
        try:
            response = self.client.request(
                "PATCH", self.location, self.what, self.repository, headers=headers, data=stream, retries=0
            )
        finally:
            for opened in streams:
                opened.close()
        self.location = self.client.location(response, self.what)
        self.offset = end
        self._report(end)

    def _finish(self) -> None:
        parts = urlsplit(self.location)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("digest", self.digest)])
        response = self.client.request(
            "PUT",
            urlunsplit(parts._replace(query=query)),
            self.what,
            self.repository,
            headers={"Content-Type": "application/octet-stream"},
            data=b"",
            retries=0,
        )
        stored = response.headers.get("Docker-Content-Digest")
        if stored and stored != self.digest:
            raise RegistryError(f"{self.client.host} stored {stored} while {self.what}: run again.", "protocol")

    def _lost(self, error: RegistryError) -> bool:
        """Whether the registry lost the upload or took in something else, which a new one cures; once only."""
        if error.kind not in ("not_found", "bad_request") or not self.location or self.anew:
            return False
        self.anew = True
        return True

    def _recover(self, error: RegistryError) -> bool:
        """Find out where to go on; whether the blob has arrived after all."""
        location, self.location = self.location, ""
        sent_all, self.offset = self.offset >= self.body.size, 0
        if location and transient(error):
            # The answer may have been lost, not the request.
            if sent_all and self.client.has_blob(self.repository, self.digest, self.body.size):
                return True
            self._locate(location)
        elif location:
            self.client.cancel_upload(location, self.repository)
        self._report(self.offset)
        return False

    def _locate(self, location: str) -> None:
        """Where the registry says that the upload stands; a new upload where it does not know."""
        try:
            response = self.client.request("GET", location, self.what, self.repository)
        except RegistryError as error:
            if transient(error):
                # Who gives up cancels it.
                self.location = location
                raise
            return
        match = re.match(r"(?:bytes=)?0-([0-9]+)\Z", response.headers.get("Range", "").strip())
        # "0-0" says an empty upload; should it be one byte, the digest tells.
        offset = int(match.group(1)) + 1 if match and match.group(1) != "0" else 0
        if offset <= self.body.size:
            self.location, self.offset = self.client.location(response, self.what), offset
        else:
            self.client.cancel_upload(location, self.repository)


def create_module(argument_spec: Json, **kwargs: Any) -> AnsibleModule:
    """An AnsibleModule with the connection options, check mode, and requests at hand."""
    spec = registry_argument_spec()
    spec.update(argument_spec)
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **kwargs)
    if REQUESTS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=REQUESTS_IMPORT_ERROR)
    return module


def run_module(module: AnsibleModule, action: Callable[[Access], Json]) -> None:
    """Run the action and end the module with its result, or with one sentence."""
    finish(module, lambda: action(Access.from_params(module.params)))
