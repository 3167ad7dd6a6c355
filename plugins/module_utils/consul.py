# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Consul client for all modules: connection options, requests, and errors that a person can act on."""

from __future__ import annotations

import inspect
import json
import os
import ssl
import time
import urllib.error
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.urls import open_url

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectModule,
    ObjectType,
    finish,
)
from ansible_collections.imagine.platform.plugins.module_utils.errors import ServiceError, reason, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

# Consul's HTTPS listens on a node's loopback as a rule, so that modules run on nodes, which need not have py-consul.
HAS_PY_CONSUL = False
try:
    import requests
    from consul.std import HTTPClient

    # Its predecessor, which distributions still carry, has the same name but neither timeouts nor binary answers.
    HAS_PY_CONSUL = "raw" in inspect.signature(HTTPClient.get).parameters
except ImportError:
    pass

# Consul answers so, with status 500, while nobody could have done what was asked: there is no leader yet, or, for an
# authentication method, no Nomad yet that shows its keys. Nothing has been written then.
PASSING_WORDS = (
    "no cluster leader",
    "not the leader",
    "no known consul servers",
    "not ready to serve consistent reads",
    "legacy mode",
    "error checking jwksurl",
    # The ACLs of a server that has just become the leader are not all there yet.
    "failed inserting bootstrap token",
)
RETRY_SECONDS = 0.25
USER_AGENT = "imagine.platform"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ConsulError(ServiceError):
    """What went wrong between a module and Consul."""


def consul_argument_spec() -> Json:
    """Connection options, documented in the fragment imagine.platform.consul."""
    return {
        "consul_address": {
            "type": "str",
            "default": "https://127.0.0.1:8501",
            "fallback": (env_fallback, ["CONSUL_HTTP_ADDR"]),
        },
        "consul_ca_cert": {"type": "path", "fallback": (env_fallback, ["CONSUL_CACERT"])},
        "consul_client_cert": {"type": "path", "fallback": (env_fallback, ["CONSUL_CLIENT_CERT"])},
        "consul_client_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["CONSUL_CLIENT_KEY"])},
        "consul_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["CONSUL_HTTP_TOKEN"])},
        "consul_namespace": {"type": "str", "fallback": (env_fallback, ["CONSUL_NAMESPACE"])},
        "consul_partition": {"type": "str", "fallback": (env_fallback, ["CONSUL_PARTITION"])},
        "consul_datacenter": {"type": "str"},
        "consul_timeout": {"type": "int", "default": 30},
    }


def segment(value: str) -> str:
    """A value as one segment of a path, whatever characters it has."""
    return quote(value, safe="")


class Answer(NamedTuple):
    """What a server answered; the status may be any."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Transport(ABC):
    """How requests travel. Redirects are answers: the token would travel on with them."""

    def __init__(self, address: str, ca_cert: str | None, cert: tuple[str, str] | None) -> None:
        self.address = address
        self.ca_cert = ca_cert
        self.cert = cert
        # What a proxy is there for is never on this machine.
        self.proxies = urlsplit(address).hostname not in LOOPBACK

    @abstractmethod
    def send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Answer:
        """Send one request; raises whatever the library does where no answer comes."""


class PyConsulTransport(Transport):
    """Over py-consul, with one kept-alive connection."""

    def __init__(self, address: str, ca_cert: str | None, cert: tuple[str, str] | None) -> None:
        super().__init__(address, ca_cert, cert)
        parts = urlsplit(address)
        self.http = HTTPClient(parts.hostname, parts.port, parts.scheme, ca_cert or True, cert)
        # py-consul quotes paths so that a name with a slash or a percent sign cannot be asked for.
        self.http.uri = lambda path, params=None: path
        self.http.session.max_redirects = 0
        self.http.session.trust_env = self.proxies
        self.http.session.headers["User-Agent"] = USER_AGENT

    def send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Answer:
        self.http.connections_timeout = timeout
        options: Json = {"headers": dict(headers)}
        if method == "GET":
            options["raw"] = True
        else:
            options["data"] = body or b""
        try:
            answer = getattr(self.http, method.lower())(lambda got: got, url, **options)
        except requests.exceptions.TooManyRedirects as error:
            status = 302 if error.response is None else error.response.status_code
            return Answer(status, b"")
        content = answer.body
        return Answer(answer.code, content.encode() if isinstance(content, str) else content)


class PlainTransport(Transport):
    """Over Ansible's own HTTP client, for nodes without py-consul."""

    def send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Answer:
        cert, key = self.cert or (None, None)
        try:
            answer = open_url(
                url,
                method=method,
                data=body,
                headers=dict(headers),
                timeout=timeout,
                use_proxy=self.proxies,
                ca_path=self.ca_cert,
                client_cert=cert,
                client_key=key,
                follow_redirects="none",
                http_agent=USER_AGENT,
            )
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())
        return Answer(answer.status, answer.read())


class ConsulClient:
    """Requests to one Consul API."""

    def __init__(
        self,
        address: str,
        token: str | None = None,
        ca_cert: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        namespace: str | None = None,
        partition: str | None = None,
        datacenter: str | None = None,
        timeout: float = 30,
    ) -> None:
        self.address = full_address(address)
        self.token = token
        self.timeout = timeout
        #: seconds that a request is repeated for while there is no leader
        self.patience = timeout
        self.scope = {
            name: value for name, value in (("ns", namespace), ("partition", partition), ("dc", datacenter)) if value
        }
        #: what the last request was for
        self.doing = "starting"
        self._check_options(address, ca_cert, client_cert, client_key)
        cert = (client_cert, client_key) if client_cert and client_key else None
        transport = PyConsulTransport if HAS_PY_CONSUL else PlainTransport
        self.transport: Transport = transport(self.address, ca_cert, cert)

    def _check_options(self, address: str, ca_cert: str | None, cert: str | None, key: str | None) -> None:
        if self.timeout <= 0:
            raise ConsulError(f"consul_timeout is {self.timeout}: give a number of seconds above 0.", "option")
        parts = urlsplit(self.address)
        try:
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ConsulError(
                f"consul_address is '{address}', which is no HTTP address: write it as https://HOST:8501.", "option"
            )
        for option, path in (("consul_ca_cert", ca_cert), ("consul_client_cert", cert), ("consul_client_key", key)):
            if path and not os.path.isfile(path):
                raise ConsulError(f"{option} is '{path}', but there is no such file: correct the path.", "no_file")
            if path and not os.access(path, os.R_OK):
                raise ConsulError(f"{option} is '{path}', which this user may not read: correct its mode.", "option")
        if bool(cert) != bool(key):
            missing = "consul_client_key" if cert else "consul_client_cert"
            raise ConsulError(f"{missing} is not set, but a client certificate needs its key: give both.", "option")

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ConsulClient:
        """The client that a module's connection options describe."""
        names = [name for name in consul_argument_spec() if name != "consul_address"]
        options = {name[len("consul_") :]: params[name] for name in names}
        return cls(params["consul_address"], **options)

    # What comes back decoded

    def get(self, path: str, what: str, **kwargs: Any) -> Any:
        """Decoded answer to a GET."""
        return self.decode(self.request("GET", path, what, **kwargs), what)

    def find(self, path: str, what: str, **kwargs: Any) -> Json | None:
        """The object that a GET returns, None for what does not exist."""
        try:
            return self.expect_object(self.get(path, what, **kwargs), what)
        except ConsulError as error:
            if error.kind == "not_found":
                return None
            raise

    def find_all(self, path: str, what: str, **kwargs: Any) -> list[Json]:
        """The objects that a GET lists."""
        found = self.get(path, what, **kwargs)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.misunderstood(what, "no list of objects")
        return found

    def put(self, path: str, what: str, body: Any = None, **kwargs: Any) -> Any:
        """Decoded answer to a PUT."""
        return self.decode(self.request("PUT", path, what, body=body, **kwargs), what)

    def post(self, path: str, what: str, body: Any = None, **kwargs: Any) -> Any:
        """Decoded answer to a POST."""
        return self.decode(self.request("POST", path, what, body=body, **kwargs), what)

    def delete(self, path: str, what: str, **kwargs: Any) -> Any:
        """Decoded answer to a DELETE."""
        return self.decode(self.request("DELETE", path, what, **kwargs), what)

    def expect_object(self, found: Any, what: str) -> Json:
        """An answer that must be an object."""
        if not isinstance(found, dict):
            raise self.misunderstood(what, "no object")
        return found

    def decode(self, answer: Answer, what: str) -> Any:
        """The JSON in an answer; None where it is empty."""
        if not answer.body.strip():
            return None
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            # What begins as JSON may hold secrets.
            words = "an incomplete object" if answer.text.lstrip()[:1] in ("{", "[", '"') else shorten(answer.text)
            raise ConsulError(
                f"{self.address} answered with something that is not JSON ({words}) while {what}: "
                "check that consul_address is Consul's HTTP API.",
                "protocol",
                answer.status,
            ) from error

    def misunderstood(self, what: str, detail: str) -> ConsulError:
        """The error for JSON that is not what Consul documents."""
        return ConsulError(
            f"{self.address} answered in a form that is not Consul's ({detail}) while {what}: check that "
            "consul_address is Consul's HTTP API and that nothing between changes its answers.",
            "protocol",
        )

    # What travels

    def request(
        self,
        method: str,
        path: str,
        what: str,
        body: Any = None,
        data: bytes | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Answer:
        """An answer with a good status; C(what) says in an error what was being done, C(data) goes as it is."""
        self.doing = what
        query = urlencode({**self.scope, **(params or {})})
        url = f"{self.address}/v1/{path}" + (f"?{query}" if query else "")
        content = json.dumps(body).encode() if body is not None else data
        headers = {"Content-Type": "application/json" if data is None else "application/octet-stream"}
        if self.token:
            headers["X-Consul-Token"] = self.token
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = self.transport.send(method, url, content, headers, self.timeout)
            except Exception as error:
                raise self._explain(error, what) from error
            if 200 <= answer.status < 300:
                return answer
            failure = self._explain_answer(answer, what)
            if failure.kind != "no_leader" or time.monotonic() + RETRY_SECONDS >= deadline:
                raise failure
            # There is nothing on this side that could be waited for instead.
            time.sleep(RETRY_SECONDS)

    def _explain(self, cause: Exception, what: str) -> ConsulError:
        """One sentence for whatever a transport raised."""
        kind = failure_kind(cause)
        words = reason(cause)
        if kind == "tls":
            return ConsulError(
                f"TLS with {self.address} failed while {what} ({words}): check consul_ca_cert, consul_client_cert and "
                "that the address is one the certificate names.",
                "tls",
                words=words,
            )
        if kind == "timeout":
            return ConsulError(
                f"{self.address} did not answer within {self.timeout:g} s while {what}: check that Consul is healthy "
                "or raise consul_timeout.",
                "timeout",
                words=words,
            )
        if kind == "connection":
            return ConsulError(
                f"Cannot connect to {self.address} while {what} ({words}): check consul_address and that Consul runs.",
                "connection",
                words=words,
            )
        return ConsulError(f"The request to {self.address} failed while {what} ({words}).", "protocol", words=words)

    def _explain_answer(self, answer: Answer, what: str) -> ConsulError:
        status = answer.status
        words = shorten(answer.text)
        said = f"{status} {words}".strip()
        lower = words.lower()

        def error(kind: str, text: str) -> ConsulError:
            return ConsulError(text, kind, status, words)

        if 300 <= status < 400:
            return error(
                "protocol",
                f"{self.address} redirects to another address while {what}: set consul_address to Consul itself.",
            )
        if status >= 500 and "jwksurl" in lower:
            return error(
                "no_leader",
                f"Consul at {self.address} cannot read the keys of the authentication method ({said}) while {what}: "
                "check that its address answers and that its certificate is trusted.",
            )
        if status >= 500 and any(part in lower for part in PASSING_WORDS):
            return error(
                "no_leader",
                f"Consul at {self.address} has no leader ({said}) while {what}: check that a majority of the servers "
                "runs and reaches one another.",
            )
        if "acl support disabled" in lower:
            return error(
                "acl_disabled",
                f"Consul at {self.address} runs without ACLs ({said}) while {what}: set acl.enabled in its "
                "configuration.",
            )
        # A server that has to ask another one passes the refusal on with status 500.
        if status in (401, 403) or "permission denied" in lower:
            token = "consul_token is not accepted or lacks the right" if self.token else "consul_token is not set"
            return error(
                "auth",
                f"Consul at {self.address} refused ({said}) while {what}: {token}, give a token that may do this.",
            )
        if "client sent an http request to an https server" in lower:
            return error(
                "tls", f"consul_address is '{self.address}', but Consul speaks TLS there: write it with https://."
            )
        if status == 404:
            return error("not_found", f"Consul at {self.address} does not have it ({said}) while {what}.")
        if status == 400:
            return error("bad_request", f"Consul at {self.address} refused ({said}) while {what}.")
        return error("server", f"Consul at {self.address} failed ({said}) while {what}.")


def full_address(address: str) -> str:
    """An address with its scheme: the environment variables of Consul's own tools may leave it out."""
    if "://" in address:
        return address.rstrip("/")
    secure = os.environ.get("CONSUL_HTTP_SSL", "").lower() in ("1", "t", "true")
    return f"{'https' if secure else 'http'}://{address.rstrip('/')}"


def failure_kind(cause: BaseException) -> str:
    """What kept an answer from coming: tls, timeout, connection or protocol."""
    chain: list[BaseException] = []
    pending: list[Any] = [cause]
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseException) and one not in chain:
            chain.append(one)
            pending += [getattr(one, "reason", None), *one.args, one.__cause__]
    if any(isinstance(one, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(one) for one in chain):
        return "tls"
    if any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in chain):
        return "timeout"
    return "connection" if any(isinstance(one, OSError) for one in chain) else "protocol"


# Modules


def create_module(argument_spec: Json, **kwargs: Any) -> AnsibleModule:
    """An AnsibleModule with the connection options and check mode."""
    return AnsibleModule({**consul_argument_spec(), **argument_spec}, supports_check_mode=True, **kwargs)


def run_module(module: AnsibleModule, action: Callable[[AnsibleModule, ConsulClient], Json]) -> None:
    """Run the action and end the module with its result, or with one sentence."""
    try:
        client = ConsulClient.from_params(module.params)
    except ConsulError as error:
        module.fail_json(msg=str(error))
    run_client(module, client, lambda: action(module, client))


def run_client(module: AnsibleModule, client: ConsulClient, action: Callable[[], Json]) -> None:
    """The same with a client that there is already."""
    finish(module, action, lambda detail: client.misunderstood(client.doing, detail))


def run_objects(
    module: AnsibleModule, objects: ObjectModule, build: Callable[[AnsibleModule, ConsulClient], ObjectType]
) -> None:
    """A whole module for the objects that the options describe: read, compare, write, report."""
    run_module(module, lambda module, client: objects.run(build(module, client), module.params, module.check_mode))
