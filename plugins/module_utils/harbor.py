# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Harbor client for all modules: connection options, requests, pages, and errors that a person can act on."""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    ObjectModule,
    ObjectType,
    finish,
)
from ansible_collections.imagine.platform.plugins.module_utils.errors import ServiceError, reason, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS_IMPORT_ERROR: str | None = None
try:
    import requests
    from requests.auth import HTTPBasicAuth
except ImportError:
    REQUESTS_IMPORT_ERROR = traceback.format_exc()

Json = dict[str, Any]

API = "/api/v2.0"
# The most that Harbor gives in one answer.
PAGE_SIZE = 100
CSRF_HEADER = "X-Harbor-CSRF-Token"
# Harbor takes a name that is a number for an ID unless it is told.
BY_NAME = {"X-Is-Resource-Name": "true"}
ATTEMPTS = 4
RETRY_SECONDS = 0.25
SAFE_METHODS = ("GET", "HEAD")


class HarborError(ServiceError):
    """What went wrong between a module and Harbor."""


def harbor_argument_spec() -> Json:
    """Connection options, documented in the fragment imagine.platform.harbor."""
    return {
        "harbor_url": {"type": "str", "required": True, "fallback": (env_fallback, ["HARBOR_URL"])},
        "harbor_username": {"type": "str", "fallback": (env_fallback, ["HARBOR_USERNAME"])},
        "harbor_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["HARBOR_PASSWORD"])},
        "harbor_ca_cert": {"type": "path", "fallback": (env_fallback, ["HARBOR_CA_CERT"])},
        "harbor_timeout": {"type": "int", "default": 30, "fallback": (env_fallback, ["HARBOR_TIMEOUT"])},
    }


def segment(value: str) -> str:
    """A value as one segment of a path, whatever characters it has."""
    return quote(value, safe="")


def repository_segment(name: str) -> str:
    """A repository's name within its project; its slashes must survive being decoded twice."""
    return quote(quote(name, safe=""), safe="")


def nobody(request: Any) -> Any:
    """No credentials, even where a .netrc has some."""
    return request


class HarborClient:
    """Requests to one Harbor over one kept-alive connection."""

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        ca_cert: str | None = None,
        timeout: float = 30,
    ) -> None:
        self.url = url.rstrip("/").removesuffix(API)
        self.username = username
        self.timeout = timeout
        self._check_options(username, password, ca_cert)
        self._verify: Any = ca_cert or True
        self._auth: Any = HTTPBasicAuth(username.encode(), (password or "").encode()) if username else nobody
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "imagine.platform"
        self._csrf_token = ""
        self._known = False
        #: what the last request was for
        self.doing = "starting"

    def _check_options(self, username: str | None, password: str | None, ca_cert: str | None) -> None:
        if self.timeout <= 0:
            raise HarborError(f"harbor_timeout is {self.timeout}: give a number of seconds above 0.", "option")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HarborError(
                f"harbor_url is '{self.url}', which is no HTTP address: write it as https://HOST.", "option"
            )
        if parts.username or parts.password:
            raise HarborError(
                "harbor_url has a user in it: give harbor_username and harbor_password instead.", "option"
            )
        if bool(username) != bool(password):
            missing = "harbor_password" if username else "harbor_username"
            raise HarborError(f"{missing} is not set: give both harbor_username and harbor_password.", "option")
        if ca_cert and not os.path.isfile(ca_cert):
            raise HarborError(f"harbor_ca_cert is '{ca_cert}', but there is no such file: correct the path.", "option")
        if ca_cert and not os.access(ca_cert, os.R_OK):
            raise HarborError(
                f"harbor_ca_cert is '{ca_cert}', which this user may not read: correct its mode.", "option"
            )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> HarborClient:
        """The client that a module's connection options describe."""
        return cls(
            url=params["harbor_url"],
            username=params["harbor_username"],
            password=params["harbor_password"],
            ca_cert=params["harbor_ca_cert"],
            timeout=params["harbor_timeout"],
        )

    # Reading

    def get(self, path: str, what: str, **kwargs: Any) -> Json:
        """The object that a GET answers with; empty where Harbor answers with nothing."""
        found = self.request("GET", path, what, **kwargs)[0]
        if found is not None and not isinstance(found, dict):
            raise self._unexpected(what, "an object", found)
        return found or {}

    def find(self, path: str, what: str, **kwargs: Any) -> Json | None:
        """Like get, with None for what does not exist."""
        try:
            return self.get(path, what, **kwargs)
        except HarborError as error:
            if error.kind == "not_found":
                return None
            raise

    def list_all(self, path: str, what: str, params: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Json]:
        """All objects of all pages."""
        found: list[Json] = []
        page = 1
        while True:
            query = {**(params or {}), "page": page, "page_size": PAGE_SIZE}
            answer, headers = self.request("GET", path, what, params=query, **kwargs)
            if answer is None:
                answer = []
            if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
                raise self._unexpected(what, "a list of objects", answer)
            found += answer
            if not answer or not _more(headers, len(found), len(answer)):
                return found
            page += 1

    def require_login(self) -> None:
        """Fail where the credentials are wrong: Harbor takes whom it does not know for nobody, and shows them less."""
        if not self.username or self._known:
            return
        self._known = self.knows_me()
        if not self._known:
            raise self._refused(401, "unauthorized", f"401 for '{self.username}'", "checking the credentials")

    def knows_me(self) -> bool:
        """Whether Harbor takes these credentials, for a user or a robot account."""
        try:
            self.get("users/current", "checking the credentials")
        except HarborError as error:
            # A robot account is known, but is no user.
            if error.status == 412:
                return True
            if error.status == 401:
                return False
            raise
        return True

    def as_other(self, username: str, password: str) -> HarborClient:
        """A client for the same Harbor with other credentials."""
        return HarborClient(
            self.url, username, password, self._verify if isinstance(self._verify, str) else None, self.timeout
        )

    # Writing

    def create(self, path: str, what: str, body: Json, **kwargs: Any) -> tuple[int | None, Any]:
        """The ID that Harbor gave to what it made, from the address that it names, and its answer."""
        answer, headers = self.request("POST", path, what, body=body, **kwargs)
        last = headers.get("Location", "").rstrip("/").rpartition("/")[2]
        return int(last) if last.isdigit() else None, answer

    def put(self, path: str, what: str, body: Json, **kwargs: Any) -> None:
        """Replace or update."""
        self.request("PUT", path, what, body=body, **kwargs)

    def patch(self, path: str, what: str, body: Json) -> Json:
        """The answer to a PATCH."""
        answer = self.request("PATCH", path, what, body=body)[0]
        return answer if isinstance(answer, dict) else {}

    def delete(self, path: str, what: str, **kwargs: Any) -> None:
        """Remove."""
        self.request("DELETE", path, what, **kwargs)

    # Requests

    def request(
        self,
        method: str,
        path: str,
        what: str,
        body: Json | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """Decoded answer and its headers; C(what) says in an error what was being done.

        What Harbor has not begun to do (429) is asked again, and so is what only reads where Harbor fails (5xx).
        """
        self.doing = what
        deadline = time.monotonic() + self.timeout
        attempt = 1
        csrf_retried = False
        while True:
            response = self._send(method, path, what, body, params, headers)
            token = response.headers.get(CSRF_HEADER, "")
            stale = bool(token) and token != self._csrf_token
            if token:
                self._csrf_token = token
            if response.status_code == 403 and method not in SAFE_METHODS and stale and not csrf_retried:
                # Harbor checks the token before anything else, so nothing has been done.
                csrf_retried = True
                continue
            pause = _pause(response, attempt)
            again = response.status_code == 429 or (response.status_code >= 500 and method in SAFE_METHODS)
            if not again or attempt == ATTEMPTS or time.monotonic() + pause >= deadline:
                return self._decode(response, method, what), response.headers
            time.sleep(pause)
            attempt += 1

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        body: Json | None,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> requests.Response:
        sent = {"Accept": "application/json", **(headers or {})}
        if self._csrf_token and len(self._session.cookies) and method not in SAFE_METHODS:
            # A session's cookie makes Harbor ask for the token, and over TLS for where the request comes from.
            sent.update({CSRF_HEADER: self._csrf_token, "Referer": f"{self.url}/"})
        try:
            return self._session.request(
                method,
                f"{self.url}{API}/{path}",
                json=body,
                params=dict(params or {}),
                headers=sent,
                auth=self._auth,
                verify=self._verify,
                timeout=self.timeout,
                allow_redirects=False,
            )
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise self._explain(error, what) from error

    def _decode(self, response: requests.Response, method: str, what: str) -> Any:
        status = response.status_code
        if status >= 400:
            raise self._explain_response(response, method, what)
        if status >= 300:
            raise HarborError(
                f"{self.url} redirects to another address ({status}) while {what}: set harbor_url to Harbor itself.",
                "protocol",
                status,
            )
        if not response.content.strip():
            return None
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise HarborError(
                f"{self.url} answered with something that is not JSON ({shorten(response.text)}) while {what}: "
                "check that harbor_url is the address of Harbor.",
                "protocol",
                status,
            ) from error

    # Errors

    def misunderstood(self, what: str, detail: str) -> HarborError:
        """The error for JSON that is not what Harbor documents."""
        return HarborError(
            f"{self.url} answered in a form that is not Harbor's ({detail}) while {what}: check that harbor_url is the "
            "address of Harbor and that its version is 2.",
            "protocol",
        )

    def _unexpected(self, what: str, wanted: str, got: Any) -> HarborError:
        return HarborError(
            f"{self.url} answered with something else than {wanted} ({shorten(json.dumps(got), 80)}) while {what}: "
            "check that harbor_url is the address of Harbor.",
            "protocol",
        )

    def _explain(self, cause: Exception, what: str) -> HarborError:
        """One sentence for whatever requests raised."""
        words = shorten(str(cause))
        if isinstance(cause, requests.exceptions.SSLError) or "CERTIFICATE_VERIFY_FAILED" in words:
            if "WRONG_VERSION_NUMBER" in words:
                return HarborError(
                    f"harbor_url is '{self.url}', but no TLS is spoken there: write it with http://, or correct it.",
                    "tls",
                    words=words,
                )
            return HarborError(
                f"TLS with {self.url} failed while {what} ({reason(cause)}): check harbor_ca_cert and that the "
                "address is one the certificate names.",
                "tls",
                words=words,
            )
        if isinstance(cause, requests.exceptions.Timeout):
            return HarborError(
                f"{self.url} did not answer within {self.timeout:g} s while {what}: check harbor_url, or raise "
                "harbor_timeout.",
                "timeout",
                words=words,
            )
        if isinstance(cause, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)):
            return HarborError(
                f"The answer of {self.url} broke off while {what} ({reason(cause)}): run again.",
                "connection",
                words=words,
            )
        if isinstance(cause, (requests.exceptions.ConnectionError, OSError)) and not isinstance(
            cause, requests.exceptions.InvalidURL
        ):
            return HarborError(
                f"Cannot connect to {self.url} while {what} ({reason(cause)}): check harbor_url and that Harbor runs.",
                "connection",
                words=words,
            )
        return HarborError(f"The request to {self.url} failed while {what} ({words}).", "protocol", words=words)

    def _explain_response(self, response: requests.Response, method: str, what: str) -> HarborError:
        status = response.status_code
        words = _error_words(response)
        said = f"{status} {words}".strip()
        where = f"Harbor at {self.url}"
        if "sent to HTTPS port" in words or "an HTTP request to an HTTPS server" in words:
            return HarborError(
                f"harbor_url is '{self.url}', but TLS is spoken there: write it with https://.", "tls", status, words
            )
        if status in (401, 403):
            return self._refused(status, words, said, what)
        if status == 404:
            return HarborError(f"{where} does not have it ({said}) while {what}.", "not_found", status, words)
        if status == 409:
            return HarborError(
                f"{where} has it already, or it was changed at the same time ({said}) while {what}: run again.",
                "conflict",
                status,
                words,
            )
        if status == 412:
            return HarborError(
                f"{where} cannot do that as things are ({said}) while {what}: remove what stands in the way.",
                "precondition",
                status,
                words,
            )
        if status == 429:
            return HarborError(
                f"{where} has too much to do ({said}) while {what}: run again later, or raise harbor_timeout.",
                "busy",
                status,
                words,
            )
        if status < 500:
            return HarborError(f"{where} refused ({said}) while {what}.", "bad_request", status, words)
        doubt = "." if method in SAFE_METHODS else ": it may have been done all the same, run again."
        return HarborError(f"{where} failed ({said}) while {what}{doubt}", "server", status, words)

    def _refused(self, status: int, words: str, said: str, what: str) -> HarborError:
        if not self.username:
            remedy = "harbor_username is not set, give a user or a robot account that may do this"
        elif status == 401:
            remedy = (
                f"harbor_username '{self.username}' or harbor_password is wrong, or the account is disabled or expired"
            )
        else:
            remedy = f"'{self.username}' lacks the right, give a user or a robot account that may do this"
        return HarborError(f"Harbor at {self.url} refused ({said}) while {what}: {remedy}.", "auth", status, words)


def _error_words(response: requests.Response) -> str:
    """What Harbor says in the body of an error, or what somebody else said in its place."""
    try:
        errors = json.loads(response.content)["errors"]
        return shorten("; ".join(str(error.get("message") or error["code"]) for error in errors))
    except (ValueError, KeyError, TypeError, AttributeError):
        return shorten(re.sub(r"<[^>]*>", " ", response.text))


def _pause(response: requests.Response, attempt: int) -> float:
    """Seconds until the next attempt; what the server asks for, where it does."""
    asked = response.headers.get("Retry-After", "").strip()
    return float(asked) if asked.isdigit() else RETRY_SECONDS * 2 ** (attempt - 1)


def _more(headers: Mapping[str, str], found: int, last: int) -> bool:
    """Whether there is another page."""
    total = headers.get("X-Total-Count", "")
    if total.isdigit():
        return found < int(total)
    if "Link" in headers:
        return 'rel="next"' in headers["Link"].replace("'", '"')
    return last >= PAGE_SIZE


# What Harbor answers, piece by piece: an answer of another form becomes a sentence. Harbor leaves out what is empty.


def text(raw: Mapping[str, Any], name: str) -> str:
    """A string, empty where it is missing."""
    return str(_piece(raw, name, str, ""))


def number(raw: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A whole number."""
    return int(_piece(raw, name, int, default))


def flag(raw: Mapping[str, Any], name: str) -> bool:
    """A boolean, false where it is missing."""
    return bool(_piece(raw, name, bool, False))


def part(raw: Mapping[str, Any], name: str) -> Json:
    """An object, empty where it is missing."""
    return dict(_piece(raw, name, dict, {}))


def parts(raw: Mapping[str, Any], name: str) -> list[Json]:
    """A list of objects, empty where it is missing."""
    found = _piece(raw, name, list, [])
    for one in found:
        if not isinstance(one, dict):
            raise _strange(name, one)
    return list(found)


def _piece(raw: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = raw.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _strange(name, value)
    return value


def _strange(name: str, value: Any) -> HarborError:
    return HarborError(
        f"The server answered with '{name}' in a form that Harbor does not use ({shorten(json.dumps(value), 80)}): "
        "check that harbor_url is the address of Harbor and that its version is 2.",
        "protocol",
    )


# Modules


def create_module(argument_spec: Json, **kwargs: Any) -> AnsibleModule:
    """An AnsibleModule with the connection options, check mode, and requests at hand."""
    spec = harbor_argument_spec()
    spec.update(argument_spec)
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **kwargs)
    if REQUESTS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=REQUESTS_IMPORT_ERROR)
    return module


def run_module(module: AnsibleModule, action: Callable[[AnsibleModule, HarborClient], Json]) -> None:
    """Run the action and end the module with its result, or with one sentence."""
    try:
        client = HarborClient.from_params(module.params)
    except HarborError as error:
        module.fail_json(msg=str(error))
    finish(module, lambda: action(module, client), lambda detail: client.misunderstood(client.doing, detail))


def run_objects(objects: ObjectModule, build: Callable[[AnsibleModule, HarborClient], ObjectType]) -> None:
    """A whole module for the objects that the options describe: read, compare, write, report."""
    module = create_module(objects.spec, **objects.rules)

    run_module(module, lambda module, client: objects.run(build(module, client), module.params, module.check_mode))


def run_info(argument_spec: Json, collect: Callable[[AnsibleModule, HarborClient], Json], **kwargs: Any) -> None:
    """A whole module that only reads."""
    run_module(
        create_module(argument_spec, **kwargs), lambda module, client: {"changed": False, **collect(module, client)}
    )
