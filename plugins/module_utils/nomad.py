# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Nomad client for all modules: connection options, requests, and errors that a person can act on."""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any
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

NOMAD_IMPORT_ERROR: str | None = None
try:
    import requests
    from nomad.api.base import Requester
    from nomad.api.exceptions import BaseNomadException
except ImportError:
    NOMAD_IMPORT_ERROR = traceback.format_exc()

Json = dict[str, Any]

# Nomad answers so for as long as there is no leader; nothing has been written then.
NO_LEADER_WORDS = ("no cluster leader", "no path to region", "no servers", "not ready to serve consistent reads")
# A server keeps connections to the others, and finds that one ended with the other's restart when it uses it next.
BROKEN_CONNECTION = re.compile(
    r"rpc error: (.*: )?(stream closed|eof|session shutdown|connection reset by peer|broken pipe)\b", re.IGNORECASE
)
RETRY_SECONDS = 0.25
PIECE = 1 << 20
# How often to begin again where somebody else wrote at the same time.
ATTEMPTS = 3


class NomadError(ServiceError):
    """What went wrong between a module and Nomad."""


def nomad_argument_spec() -> Json:
    """Connection options, documented in the fragment imagine.platform.nomad."""
    return {
        "nomad_address": {
            "type": "str",
            "default": "https://127.0.0.1:4646",
            "fallback": (env_fallback, ["NOMAD_ADDR"]),
        },
        "nomad_ca_cert": {"type": "path", "fallback": (env_fallback, ["NOMAD_CACERT"])},
        "nomad_client_cert": {"type": "path", "fallback": (env_fallback, ["NOMAD_CLIENT_CERT"])},
        "nomad_client_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["NOMAD_CLIENT_KEY"])},
        "nomad_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["NOMAD_TOKEN"])},
        "nomad_namespace": {"type": "str", "fallback": (env_fallback, ["NOMAD_NAMESPACE"])},
        "nomad_region": {"type": "str", "fallback": (env_fallback, ["NOMAD_REGION"])},
        "nomad_timeout": {"type": "int", "default": 30},
    }


def segment(value: str) -> str:
    """A value as one segment of a path, whatever characters it has."""
    return quote(value, safe="")


class NomadClient:
    """Requests to one Nomad API, over python-nomad's requester and one kept-alive connection."""

    def __init__(
        self,
        address: str,
        token: str | None = None,
        ca_cert: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        namespace: str | None = None,
        region: str | None = None,
        timeout: float = 30,
    ) -> None:
        self.address = address.rstrip("/")
        self.token = token
        self.namespace = namespace
        self.region = region
        self.timeout = timeout
        self._check_options(ca_cert, client_cert, client_key)
        self._verify: Any = ca_cert or True
        self._cert: Any = (client_cert, client_key) if client_cert and client_key else ()
        self._session = requests.Session()
        # The token travels in a header of its own, which requests would hand on to any host it is redirected to.
        self._session.max_redirects = 0
        self._session.headers["User-Agent"] = "imagine.platform"
        #: what the last request was for, shared with the twins
        self._doing: list[str] = ["starting"]

    def _check_options(self, ca_cert: str | None, cert: str | None, key: str | None) -> None:
        if self.timeout <= 0:
            raise NomadError(f"nomad_timeout is {self.timeout}: give a number of seconds above 0.", "option")
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NomadError(
                f"nomad_address is '{self.address}', which is no HTTP address: write it as https://HOST:4646.", "option"
            )
        for option, path in (("nomad_ca_cert", ca_cert), ("nomad_client_cert", cert), ("nomad_client_key", key)):
            if path and not os.path.isfile(path):
                raise NomadError(f"{option} is '{path}', but there is no such file: correct the path.", "option")
            if path and not os.access(path, os.R_OK):
                raise NomadError(f"{option} is '{path}', which this user may not read: correct its mode.", "option")
        if bool(cert) != bool(key):
            missing = "nomad_client_key" if cert else "nomad_client_cert"
            raise NomadError(f"{missing} is not set, but a client certificate needs its key: give both.", "option")

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> NomadClient:
        """The client that a module's connection options describe."""
        return cls(
            address=params["nomad_address"],
            token=params["nomad_token"],
            ca_cert=params["nomad_ca_cert"],
            client_cert=params["nomad_client_cert"],
            client_key=params["nomad_client_key"],
            namespace=params["nomad_namespace"],
            region=params["nomad_region"],
            timeout=params["nomad_timeout"],
        )

    @property
    def doing(self) -> str:
        """What the last request was for."""
        return self._doing[0]

    def with_token(self, token: str | None) -> NomadClient:
        """The same client with another token; the connection is shared."""
        twin = NomadClient.__new__(NomadClient)
        twin.__dict__.update(self.__dict__)
        twin.token = token
        return twin

    def get(self, path: str, what: str, **kwargs: Any) -> Any:
        """Decoded answer to a GET."""
        return self.request("get", path, what, **kwargs)[0]

    def get_list(self, path: str, what: str, **kwargs: Any) -> list[Json]:
        """Objects that a GET lists; an answer of another form is an error."""
        found = self.get(path, what, **kwargs)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.misunderstood(what, f"{type(found).__name__} in place of a list of objects")
        return found

    def get_object(self, path: str, what: str, **kwargs: Any) -> Json | None:
        """The object that a GET returns, None for what does not exist; an answer of another form is an error."""
        found = self.find(path, what, **kwargs)
        if found is None or isinstance(found, dict):
            return found
        raise self.misunderstood(what, f"{type(found).__name__} in place of an object")

    def misunderstood(self, what: str, detail: str) -> NomadError:
        """The error for JSON that is not what Nomad documents."""
        return NomadError(
            f"{self.address} answered in a form that is not Nomad's ({detail}) while {what}: check that nomad_address "
            "is Nomad's HTTP API and that nothing between changes its answers.",
            "protocol",
        )

    def find(self, path: str, what: str, **kwargs: Any) -> Any:
        """Like get, with None for what does not exist."""
        try:
            return self.get(path, what, **kwargs)
        except NomadError as error:
            if error.kind == "not_found":
                return None
            raise

    def post(self, path: str, what: str, body: Any = None, **kwargs: Any) -> Any:
        """Decoded answer to a POST; Nomad takes POST wherever it takes PUT."""
        return self.request("post", path, what, body=body, **kwargs)[0]

    def put(self, path: str, what: str, body: Any = None, **kwargs: Any) -> Any:
        """Decoded answer to a PUT, for the few paths that take no POST."""
        return self.request("put", path, what, body=body, **kwargs)[0]

    def delete(self, path: str, what: str, **kwargs: Any) -> Any:
        """Decoded answer to a DELETE."""
        return self.request("delete", path, what, **kwargs)[0]

    def wait(self, path: str, what: str, index: int, seconds: float, **kwargs: Any) -> tuple[Any, int]:
        """A blocking query: the answer as soon as it changes after C(index), at the latest after C(seconds)."""
        params = dict(kwargs.pop("params", None) or {})
        params.update(index=index, wait=f"{max(1, int(seconds * 1000))}ms")
        # Nomad adds up to a sixteenth of the wait to spread the load.
        return self.request("get", path, what, params=params, timeout=seconds * 1.1 + self.timeout, **kwargs)

    def request(
        self,
        method: str,
        path: str,
        what: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        text: bool = False,
        retry: bool = True,
        accept: Sequence[int] = (),
    ) -> tuple[Any, int]:
        """Decoded answer and its index; C(what) says in an error what was being done.

        C(accept) names statuses of failures that are no error here; C(retry) says whether a leader is waited for.
        """
        self._doing[:] = [what]
        deadline = time.monotonic() + self.timeout
        # What was written over a connection that then ended may have been written.
        reads_again = method == "get"
        while True:
            try:
                return self._request(method, path, what, body, params, timeout or self.timeout, text, accept)
            except NomadError as error:
                again = (retry and error.kind == "no_leader") or (reads_again and error.kind == "broken_connection")
                if not again or time.monotonic() + RETRY_SECONDS >= deadline:
                    raise
                # Once, where the answer is wanted soon: there may be several such connections.
                reads_again = retry
                time.sleep(RETRY_SECONDS)

    def _request(
        self,
        method: str,
        path: str,
        what: str,
        body: Any,
        params: Mapping[str, Any] | None,
        timeout: float,
        text: bool,
        accept: Sequence[int],
    ) -> tuple[Any, int]:
        response = self._send(method, path, what, params, timeout, accept, json=body)
        index = response.headers.get("X-Nomad-Index", "0")
        if text:
            return response.text, int(index) if index.isdigit() else 0
        if not response.content:
            return None, int(index) if index.isdigit() else 0
        try:
            return json.loads(response.content), int(index) if index.isdigit() else 0
        except (ValueError, RecursionError) as error:
            raise NomadError(
                f"{self.address} answered with something that is not JSON ({_quote(response)}) while {what}: "
                "check that nomad_address is Nomad's HTTP API.",
                "protocol",
                response.status_code,
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        params: Mapping[str, Any] | None,
        timeout: float,
        accept: Sequence[int] = (),
        **kwargs: Any,
    ) -> requests.Response:
        """The answer as it came, if it tells of success."""
        requester = Requester(
            address=self.address,
            token=self.token,
            timeout=timeout,
            verify=self._verify,
            cert=self._cert,
            region=self.region,
            session=self._session,
        )
        requester.ENDPOINT = path
        try:
            answer: requests.Response = requester.request(method=method, params=dict(params or {}), **kwargs)
        except BaseNomadException as error:
            if getattr(error.nomad_resp, "status_code", None) in accept:
                refused: requests.Response = error.nomad_resp
                return refused
            raise self._explain(error.nomad_resp, what) from error
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise self._explain(error, what) from error
        return answer

    def download(self, path: str, what: str, target: IO[bytes], timeout: float) -> Mapping[str, str]:
        """Write the body of a GET into a file, piece by piece; the headers of the answer.

        The server may pause for C(timeout) seconds.
        """
        self._doing[:] = [what]
        response = self._send("get", path, what, None, timeout, stream=True)
        try:
            for piece in response.iter_content(PIECE):
                target.write(piece)
        except requests.exceptions.RequestException as error:
            raise NomadError(
                f"{self.address} broke off while {what} ({reason(error)}): run again.", "connection"
            ) from error
        finally:
            response.close()
        return response.headers

    def upload(self, path: str, what: str, source: IO[bytes], timeout: float) -> None:
        """Send a file as the body of a POST, piece by piece."""
        self._doing[:] = [what]
        self._send("post", path, what, None, timeout, data=source)

    def _explain(self, cause: Any, what: str) -> NomadError:
        """One sentence for whatever python-nomad or requests raised."""
        if isinstance(cause, requests.Response):
            return self._explain_response(cause, what)
        words = shorten(str(cause))
        if isinstance(cause, requests.exceptions.SSLError) or "CERTIFICATE_VERIFY_FAILED" in words:
            return NomadError(
                f"TLS with {self.address} failed while {what} ({reason(cause)}): check nomad_ca_cert, "
                "nomad_client_cert and that the address is one the certificate names.",
                "tls",
                words=words,
            )
        if isinstance(cause, requests.exceptions.Timeout):
            return NomadError(
                f"{self.address} did not answer within {self.timeout} s while {what}: check that Nomad is healthy "
                "or raise nomad_timeout.",
                "timeout",
                words=words,
            )
        if isinstance(cause, requests.exceptions.TooManyRedirects):
            return NomadError(
                f"{self.address} redirects to another address while {what}: set nomad_address to Nomad itself.",
                "protocol",
                words=words,
            )
        if isinstance(cause, (requests.exceptions.ConnectionError, OSError)):
            return NomadError(
                f"Cannot connect to {self.address} while {what} ({reason(cause)}): check nomad_address and that "
                "Nomad runs.",
                "connection",
                words=words,
            )
        return NomadError(f"The request to {self.address} failed while {what} ({words}).", "protocol", words=words)

    def _explain_response(self, response: requests.Response, what: str) -> NomadError:
        status = response.status_code
        words = _quote(response)
        said = f"{status} {words}".strip()
        lower = words.lower()
        if any(part in lower for part in NO_LEADER_WORDS):
            return NomadError(
                f"Nomad at {self.address} has no leader ({said}) while {what}: check that a majority of the servers "
                "runs and reaches one another.",
                "no_leader",
                status,
                words,
            )
        if BROKEN_CONNECTION.search(words):
            return NomadError(
                f"Nomad at {self.address} lost its connection to another agent ({said}) while {what}: run again.",
                "broken_connection",
                status,
                words,
            )
        if "acl support disabled" in lower:
            return NomadError(
                f"Nomad at {self.address} runs without ACLs ({said}) while {what}: set acl.enabled in its "
                "configuration.",
                "acl_disabled",
                status,
                words,
            )
        if status in (401, 403):
            token = "nomad_token is not accepted or lacks the right" if self.token else "nomad_token is not set"
            return NomadError(
                f"Nomad at {self.address} refused ({said}) while {what}: {token}, give a token that may do this.",
                "auth",
                status,
                words,
            )
        if "client sent an http request to an https server" in lower:
            return NomadError(
                f"nomad_address is '{self.address}', but Nomad speaks TLS there: write it with https://.", "tls", status
            )
        if status == 404:
            return NomadError(f"Nomad at {self.address} does not have it ({said}) while {what}.", "not_found", status)
        if status == 409 or "conflict" in lower:
            return NomadError(
                f"Something else changed it at the same time ({said}) while {what}: run again.",
                "conflict",
                status,
                words,
            )
        if status == 400:
            return NomadError(f"Nomad at {self.address} refused ({said}) while {what}.", "bad_request", status, words)
        return NomadError(f"Nomad at {self.address} failed ({said}) while {what}.", "server", status, words)


def _quote(response: requests.Response) -> str:
    """What an answer says, for an error; without contents of objects, which may be secrets."""
    text = response.text
    # The answer to a write that came too late holds the variable as somebody else wrote it.
    if (response.ok or response.status_code == 409) and text.lstrip()[:1] in ("{", "[", '"'):
        return "an incomplete object" if response.ok else ""
    return shorten(text)


def create_module(argument_spec: Json, **kwargs: Any) -> AnsibleModule:
    """An AnsibleModule with the connection options, check mode, and python-nomad at hand."""
    spec = nomad_argument_spec()
    spec.update(argument_spec)
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **kwargs)
    if NOMAD_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("python-nomad"), exception=NOMAD_IMPORT_ERROR)
    return module


def run_module(module: AnsibleModule, action: Callable[[AnsibleModule, NomadClient], Json]) -> None:
    """Run the action and end the module with its result, or with one sentence."""
    try:
        client = NomadClient.from_params(module.params)
    except NomadError as error:
        module.fail_json(msg=str(error))
    finish(module, lambda: action(module, client), lambda detail: client.misunderstood(client.doing, detail))


def change_configuration(
    module: AnsibleModule,
    client: NomadClient,
    key: str,
    read: Callable[[], Json],
    state: Callable[[Json], Json],
    write: Callable[[Json, Json], bool],
) -> Json:
    """Bring a configuration that always exists to what the options say; those that are not given keep what is there.

    C(read) returns it as Nomad has it, C(state) in the words of the options; C(write) gets what was read and what is
    wanted, and says whether nobody else was faster.
    """
    what = key.replace("_", " ").replace("config", "configuration")
    for _attempt in range(ATTEMPTS):
        raw = read()
        current = state(raw)
        given = module.params
        wanted = {name: value if given[name] is None else given[name] for name, value in current.items()}
        changed = wanted != current
        result = {"changed": changed, key: wanted, "diff": {"before": current, "after": wanted}}
        if not changed or module.check_mode or write(raw, wanted):
            return result
    raise NomadError(
        f"The {what} of {client.address} was changed by somebody else {ATTEMPTS} times while writing "
        "it: find out who does and run again.",
        "conflict",
    )


def create_object_module(
    fields: Json,
    single: str,
    many: str,
    key: str | Sequence[str] = "name",
    states: bool = True,
    extra_options: Json | None = None,
    **kwargs: Any,
) -> AnsibleModule:
    """A module for one object by top-level options, or many by the list option C(many).

    C(key) names the option that every object needs, or several of which it needs at least one.
    """
    objects = ObjectModule(fields, single, many, key, states, extra_options)
    module = create_module(objects.spec, **objects.rules, **kwargs)
    module.imagine_object = objects
    return module


def run_objects(module: AnsibleModule, build: Callable[[AnsibleModule, NomadClient], ObjectType]) -> None:
    """Run a module made by create_object_module: read, compare, write, report."""
    objects: ObjectModule = module.imagine_object

    def action(module: AnsibleModule, client: NomadClient) -> Json:
        # A module may take secrets out of its parameters, which go into the log and the result.
        params = dict(module.params)
        return objects.run(build(module, client), params, module.check_mode)

    run_module(module, action)


def create_info_module(options: Json | None = None, names: bool = True) -> AnsibleModule:
    """A module that reads objects: all, or those in the option C(names)."""
    spec: Json = {"names": {"type": "list", "elements": "str"}} if names else {}
    return create_module({**spec, **(options or {})})


def run_info(module: AnsibleModule, key: str, find: Callable[[NomadClient], Any]) -> None:
    """Read, and return what was found as C(key)."""
    run_module(module, lambda module, client: {"changed": False, key: find(client)})
