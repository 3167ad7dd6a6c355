# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The server. Its quirks are those of Harbor 2.13, as its sources and issues tell them:

- Wrong credentials make a request anonymous; it fails only where nobody may do that.
- A robot account is somebody, but no user (412 where the user is asked for).
- Only the first ten objects are listed unless asked otherwise, and never more than a hundred.
- What is empty is left out of answers, so that false and missing are the same.
- Metadata of projects are strings. An allowlist given with a new project is ignored.
- The secret and the disabled state given with a new robot account are ignored.
- A retention policy is made once for a project, and then replaced. Deleting it leaves its ID in the metadata.
- The update of an immutability rule must have its ID in the body, too.
- Secrets of registries come back as asterisks, passwords of the configuration not at all.
- There is no answer to the question for the schedule where garbage is not collected by schedule.
- Repository names with slashes must be encoded twice.
- Where a session cookie is sent, what changes something needs a CSRF token, and over TLS a referrer.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from harbor_standin.document import Document, Operation, Violation, decode_once

Json = dict[str, Any]
ADMIN = ("admin", "Harbor12345")
CSRF = "X-Harbor-CSRF-Token"
ROBOT_ACCESS = {
    "system": {"project:list", "project:create", "user:list", "registry:list", "quota:read"},
    "project": {
        "repository:pull",
        "repository:push",
        "repository:list",
        "artifact:read",
        "artifact:list",
        "tag:create",
        "tag:list",
    },
}
TEMPLATES = ("latestPushedK", "latestPulledN", "nDaysSinceLastPush", "nDaysSinceLastPull", "always")


def now() -> str:
    """A time as Harbor writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Refusal(Exception):
    """An answer with Harbor's body of errors."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def bad(message: str) -> Refusal:
    return Refusal(400, "BAD_REQUEST", message)


def missing(message: str) -> Refusal:
    return Refusal(404, "NOT_FOUND", message)


def conflict(message: str) -> Refusal:
    return Refusal(409, "CONFLICT", message)


class Fault:
    """Answers to give instead of the real ones."""

    def __init__(
        self,
        status: int,
        times: int = 1,
        headers: Json | None = None,
        body: bytes = b"",
        match: str = "",
        break_off: bool = False,
    ) -> None:
        self.status, self.times, self.headers, self.body = status, times, headers or {}, body
        self.match = match
        self.break_off = break_off


class Standin:
    """State, and one method for each operation of the document that the modules use."""

    def __init__(self, document: Document, tls: tuple[Path, Path] | None = None) -> None:
        self.document = document
        self.lock = threading.RLock()
        self.violations: list[str] = []
        #: what was asked: method and path with query
        self.asked: list[str] = []
        self.faults: list[Fault] = []
        #: called with each operation before it runs, to change things at the same time
        self.meanwhile: Callable[[str], None] | None = None
        self.sends_cookie = False
        self.csrf_token = secrets.token_urlsafe(16)
        #: Harbor 2.14 and newer; older ones leave the ID of a deleted retention policy behind
        self.forgets_retention = False
        self.reset()
        self.http = _Server(("127.0.0.1", 0), _handler(self))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def reset(self) -> None:
        """A fresh Harbor."""
        self.next_id = 100
        self.made_secrets: list[str] = []
        self.users = {
            ADMIN[0]: {"id": 1, "password": ADMIN[1], "admin": True},
            "alice": {"id": 2, "password": "Alice12345", "admin": False},
        }
        self.groups: dict[int, Json] = {}
        self.projects: dict[int, Json] = {}
        self.members: dict[int, Json] = {}
        self.robots: dict[int, Json] = {}
        self.retentions: dict[int, Json] = {}
        self.rules: dict[int, Json] = {}
        self.registries: dict[int, Json] = {}
        self.policies: dict[int, Json] = {}
        self.quotas: dict[int, Json] = {}
        self.executions: dict[int, Json] = {}
        self.artifacts: dict[tuple[str, str], list[Json]] = {}
        self.schedule: Json | None = None
        self.quota_enabled = True
        self.gc_outcome = "Success"
        self.configuration: dict[str, Any] = {
            "auth_mode": "db_auth",
            "primary_auth_mode": False,
            "ldap_scope": 2,
            "ldap_timeout": 5,
            "ldap_url": "",
            "ldap_verify_cert": True,
            "oidc_name": "",
            "oidc_endpoint": "",
            "oidc_client_id": "",
            "oidc_groups_claim": "",
            "oidc_admin_group": "",
            "oidc_group_filter": "",
            "oidc_scope": "",
            "oidc_user_claim": "",
            "oidc_verify_cert": True,
            "oidc_auto_onboard": False,
            "oidc_extra_redirect_parms": "{}",
            "oidc_logout": False,
            "project_creation_restriction": "everyone",
            "read_only": False,
            "robot_name_prefix": "robot$",
            "robot_token_duration": 30,
            "self_registration": False,
            "session_timeout": 60,
            "storage_per_project": -1,
            "token_expiration": 30,
            "uaa_client_id": "",
            "uaa_client_secret": "uaa-hidden",
            "quota_per_project_enable": True,
            "banner_message": "",
        }
        self.passwords: Json = {}
        self.read_only: set[str] = set()
        self.make_project("library", public="true")

    # For tests

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def new_secret(self) -> str:
        """A secret for a robot account, remembered so that tests can look for it."""
        self.made_secrets.append(secrets.token_urlsafe(24) + "aA1")
        return self.made_secrets[-1]

    def make_project(self, name: str, owner: str = "admin", registry: int = 0, **metadata: str) -> Json:
        identifier = self.new_id()
        project = {
            "project_id": identifier,
            "name": name,
            "owner_id": 1,
            "owner_name": owner,
            "registry_id": registry,
            "creation_time": now(),
            "update_time": now(),
            "metadata": {"public": "false", **metadata},
            "cve_allowlist": {
                "id": identifier,
                "project_id": identifier,
                "items": [],
                "creation_time": "0001-01-01T00:00:00.000Z",
                "update_time": "0001-01-01T00:00:00.000Z",
            },
        }
        self.projects[identifier] = project
        if self.quota_enabled:
            self.quotas[identifier] = {
                "id": identifier,
                "ref": {"id": identifier, "name": name, "owner_name": owner},
                "hard": {"storage": -1},
                "used": {"storage": 0},
                "creation_time": now(),
                "update_time": now(),
            }
        return project

    def project_named(self, name: str) -> Json:
        return next(project for project in self.projects.values() if project["name"] == name)

    def push(self, project: str, repository: str, digest: str, tags: Iterable[str] = (), **more: Any) -> None:
        """An artifact, as a client of the registry would push it."""
        identifier = self.new_id()
        artifact = {
            "id": identifier,
            "type": "IMAGE",
            "media_type": "application/vnd.oci.image.config.v1+json",
            "manifest_media_type": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": 1024,
            "project_id": self.project_named(project)["project_id"],
            "repository_id": 1,
            "push_time": now(),
            "pull_time": now(),
            "tags": [
                {"id": self.new_id(), "artifact_id": identifier, "name": tag, "push_time": now(), "immutable": False}
                for tag in tags
            ],
            **more,
        }
        self.artifacts.setdefault((project, repository), []).append(artifact)

    # Who asks

    def who(self, authorization: str) -> Json | None:
        """A user or a robot account; nobody for credentials that are wrong."""
        if not authorization.startswith("Basic "):
            return None
        name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
        user = self.users.get(name)
        if user and user["password"] == password:
            return {"name": name, "admin": user["admin"], "robot": None}
        for robot in self.robots.values():
            expired = robot["expires_at"] not in (-1, 0) and robot["expires_at"] < time.time()
            if self.robot_name(robot) == name and robot["secret"] == password and not robot["disable"] and not expired:
                return {"name": name, "admin": False, "robot": robot}
        return None

    @staticmethod
    def need_login(who: Json | None) -> Json:
        if who is None:
            raise Refusal(401, "UNAUTHORIZED", "unauthorized")
        return who

    def need_admin(self, who: Json | None) -> None:
        if not self.need_login(who)["admin"]:
            raise Refusal(403, "FORBIDDEN", "forbidden")

    def need_project(self, call: Call, write: bool = True, name: str | None = None) -> Json:
        """The project in the path, if whoever asks may go there."""
        wanted = name or unquote(call.values.get("project_name_or_id") or call.values["project_name"])
        by_name = name is not None or "project_name" in call.values or call.headers.get("X-Is-Resource-Name") == "true"
        found = None
        for project in self.projects.values():
            if project["name"] == wanted and (by_name or not wanted.isdigit()):
                found = project
            if not by_name and wanted.isdigit() and project["project_id"] == int(wanted):
                found = project
        admin = bool(call.who and call.who["admin"])
        if found is None:
            self.need_login(call.who)
            if not admin:
                raise Refusal(403, "FORBIDDEN", "forbidden")
            raise missing(f"project {wanted} not found")
        public = found["metadata"].get("public") == "true"
        owner = bool(call.who and call.who["name"] == found["owner_name"])
        if not (admin or owner or (public and not write)):
            self.need_login(call.who)
            raise Refusal(403, "FORBIDDEN", "forbidden")
        return found

    def robot_name(self, robot: Json) -> str:
        return f"{self.configuration['robot_name_prefix']}{robot['name']}"

    # Users

    def getCurrentUserInfo(self, call: Call) -> Any:
        who = self.need_login(call.who)
        if who["robot"]:
            raise Refusal(412, "PRECONDITION", "get current user not available for security context: robot")
        return {"user_id": self.users[who["name"]]["id"], "username": who["name"], "sysadmin_flag": who["admin"]}

    # Projects

    def listProjects(self, call: Call) -> Any:
        name = call.who["name"] if call.who else None
        seen = [
            self.shown_project(project)
            for project in self.projects.values()
            if project["metadata"]["public"] == "true"
            or project["owner_name"] == name
            or (call.who and call.who["admin"])
        ]
        return call.page(seen)

    def shown_project(self, project: Json) -> Json:
        count = sum(1 for name, _repository in self.artifacts if name == project["name"])
        return {**project, "repo_count": count}

    def getProject(self, call: Call) -> Any:
        return self.shown_project(self.need_project(call, write=False))

    def createProject(self, call: Call) -> Any:
        who = self.need_login(call.who)
        if self.configuration["project_creation_restriction"] == "adminonly" and not who["admin"]:
            raise Refusal(403, "FORBIDDEN", "Only system admin can create project")
        name = call.body.get("project_name", "")
        if not re.fullmatch(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", name):
            raise bad(f"project name {name} is not in lower case or contains illegal characters")
        if any(project["name"] == name for project in self.projects.values()):
            raise conflict(f"The project named {name} already exists")
        registry = call.body.get("registry_id")
        metadata = dict(call.body.get("metadata", {}))
        self.check_metadata(metadata, registry)
        if registry is not None and registry not in self.registries:
            raise Refusal(500, "UNKNOWN", "internal server error")
        project = self.make_project(name, owner=who["name"], registry=registry or 0, **metadata)
        return call.created(project["project_id"])

    @staticmethod
    def check_metadata(metadata: Json, registry: int | None) -> None:
        for key in (
            "public",
            "auto_scan",
            "prevent_vul",
            "enable_content_trust",
            "reuse_sys_cve_allowlist",
            "auto_sbom_generation",
        ):
            if metadata.get(key, "true") not in ("true", "false"):
                raise bad(f"metadata.{key} should only be 'true' or 'false', but got: '{metadata[key]}'")
        if not registry:
            metadata.pop("proxy_speed_kb", None)
        else:
            metadata.pop("enable_content_trust", None)
        if metadata.get("retention_id"):
            raise bad("the retention_id in the request's payload should be omitted")

    def updateProject(self, call: Call) -> Any:
        project = self.need_project(call)
        metadata = dict(call.body.get("metadata", {}))
        self.check_metadata(metadata, project["registry_id"])
        project["metadata"].update(metadata)
        if "cve_allowlist" in call.body:
            project["cve_allowlist"].update(call.body["cve_allowlist"])
        return call.done()

    def deleteProject(self, call: Call) -> Any:
        project = self.need_project(call)
        if self.shown_project(project)["repo_count"]:
            raise Refusal(412, "PRECONDITION", "the project contains repositories, can not be deleted")
        identifier = project["project_id"]
        del self.projects[identifier]
        self.quotas.pop(identifier, None)
        for kept in (self.robots, self.members, self.rules):
            for key in [key for key, one in kept.items() if one["project_id"] == identifier]:
                del kept[key]
        return call.done()

    def deleteProjectMetadata(self, call: Call) -> Any:
        project = self.need_project(call)
        project["metadata"].pop(call.values["meta_name"], None)
        return call.done()

    # Members

    def listProjectMembers(self, call: Call) -> Any:
        project = self.need_project(call)
        found = [member for member in self.members.values() if member["project_id"] == project["project_id"]]
        return call.page(found)

    def createProjectMember(self, call: Call) -> Any:
        project = self.need_project(call)
        role = call.body.get("role_id", 0)
        user, group = call.body.get("member_user", {}), call.body.get("member_group", {})
        if user.get("username"):
            if user["username"] not in self.users:
                raise missing(f"user {user['username']} is not found")
            entity, name, kind = self.users[user["username"]]["id"], user["username"], "u"
        elif group.get("group_name"):
            modes = {3: "oidc_auth", 2: "http_auth", 1: "ldap_auth"}
            known = [
                one
                for one in self.groups.values()
                if (one["name"], one["type"]) == (group["group_name"], group.get("group_type"))
            ]
            if not known and modes.get(group.get("group_type")) != self.configuration["auth_mode"]:
                raise Refusal(500, "UNKNOWN", "internal server error")
            entity = known[0]["id"] if known else self.new_id()
            self.groups[entity] = {"id": entity, "name": group["group_name"], "type": group["group_type"]}
            name, kind = group["group_name"], "g"
        else:
            raise bad("at least one of member_user or member_group must be provided")
        same = (project["project_id"], entity, kind)
        if any((one["project_id"], one["entity_id"], one["entity_type"]) == same for one in self.members.values()):
            raise conflict("The project member specified already exist")
        if role not in range(1, 6):
            raise bad("Failed to update member: invalid role")
        identifier = self.new_id()
        names = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
        self.members[identifier] = {
            "id": identifier,
            "project_id": project["project_id"],
            "entity_name": name,
            "entity_id": entity,
            "entity_type": kind,
            "role_id": role,
            "role_name": names[role],
        }
        return call.created(identifier)

    def member(self, call: Call) -> Json:
        project = self.need_project(call)
        member = self.members.get(int(call.values["mid"]))
        if member is None or member["project_id"] != project["project_id"]:
            raise missing("the project member is not found")
        return member

    def updateProjectMember(self, call: Call) -> Any:
        self.member(call)["role_id"] = call.body["role_id"]
        return call.done()

    def deleteProjectMember(self, call: Call) -> Any:
        del self.members[self.member(call)["id"]]
        return call.done()

    # Robot accounts

    def ListRobot(self, call: Call) -> Any:
        self.need_login(call.who)
        wanted = dict(pair.split("=", 1) for pair in unquote(call.query.get("q", "")).split(",") if pair)
        if wanted.get("Level") == "project":
            if "ProjectID" not in wanted:
                raise bad("must with project ID when to query project robots")
            project = self.projects.get(int(wanted["ProjectID"]))
            if project is None:
                raise missing("project not found")
            self.need_project(call, name=project["name"])
        else:
            self.need_admin(call.who)
            wanted = {"ProjectID": "0"}
        found = [
            self.shown_robot(robot) for robot in self.robots.values() if robot["project_id"] == int(wanted["ProjectID"])
        ]
        return call.page(found)

    def shown_robot(self, robot: Json) -> Json:
        hidden = ("secret", "project_id")
        return {**{key: value for key, value in robot.items() if key not in hidden}, "name": self.robot_name(robot)}

    def check_robot(self, body: Json) -> None:
        duration = body.get("duration", 0)
        if duration != -1 and duration <= 0:
            raise bad(
                f"bad request error duration input: {duration}, duration must be either -1(Never) or a positive integer"
            )
        if body.get("level") not in ("system", "project"):
            raise bad(f"bad request error level input: {body.get('level', '')}")
        permissions = body.get("permissions", [])
        if not permissions:
            raise bad("bad request empty permission")
        if body["level"] == "project" and len(permissions) > 1:
            raise bad("bad request permission")
        for permission in permissions:
            if not permission.get("access"):
                raise bad("bad request empty access")
            kind = permission.get("kind", "")
            if kind not in ROBOT_ACCESS:
                raise bad(f"bad request permission level: {kind}")
            for access in permission["access"]:
                if f"{access['resource']}:{access['action']}" not in ROBOT_ACCESS[kind]:
                    raise bad(f"bad request permission: {access['resource']}:{access['action']}")
            if kind == "system" and permission.get("namespace") != "/":
                raise bad("unknown namespace")
            names = ["*", *(project["name"] for project in self.projects.values())]
            if kind == "project" and permission.get("namespace") not in names:
                raise missing(f"project {permission.get('namespace')} not found")

    def CreateRobot(self, call: Call) -> Any:
        body = call.body
        if not re.fullmatch(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", body.get("name", "")):
            raise bad("robot name is not in lower case or contains illegal characters")
        self.check_robot(body)
        project_id, name = 0, body["name"]
        if body["level"] == "system":
            self.need_admin(call.who)
        else:
            project = self.need_project(call, name=body["permissions"][0]["namespace"])
            project_id, name = project["project_id"], f"{project['name']}+{name}"
        if any(robot["name"] == name for robot in self.robots.values()):
            raise conflict(f"robot account {name} already exists")
        identifier = self.new_id()
        duration = body["duration"]
        robot = {
            "id": identifier,
            "name": name,
            "description": body.get("description", ""),
            "level": body["level"],
            "duration": duration,
            "disable": False,
            "editable": True,
            "expires_at": -1 if duration == -1 else int(time.time()) + 86400 * duration,
            "permissions": body["permissions"],
            "creation_time": now(),
            "update_time": now(),
            "secret": self.new_secret(),
            "project_id": project_id,
        }
        self.robots[identifier] = robot
        answer = {
            "id": identifier,
            "name": self.robot_name(robot),
            "secret": robot["secret"],
            "creation_time": now(),
            "expires_at": robot["expires_at"],
        }
        return call.created(identifier, answer)

    def robot(self, call: Call) -> Json:
        self.need_login(call.who)
        robot = self.robots.get(int(call.values["robot_id"]))
        if robot is None:
            raise missing(f"robot {call.values['robot_id']} not found")
        if robot["project_id"]:
            self.need_project(call, name=self.projects[robot["project_id"]]["name"])
        else:
            self.need_admin(call.who)
        return robot

    def UpdateRobot(self, call: Call) -> Any:
        robot, body = self.robot(call), call.body
        self.check_robot(body)
        if robot["project_id"] and body["permissions"][0]["namespace"] != self.projects[robot["project_id"]]["name"]:
            raise bad("cannot update the project id of robot")
        if body["level"] != robot["level"] or body.get("name") != self.robot_name(robot):
            raise bad("cannot update the level or name of robot")
        if body["duration"] != robot["duration"]:
            robot["duration"] = body["duration"]
            robot["expires_at"] = -1 if body["duration"] == -1 else int(time.time()) + 86400 * body["duration"]
        robot.update(
            description=body.get("description", ""), disable=body.get("disable", False), permissions=body["permissions"]
        )
        return call.done()

    def RefreshSec(self, call: Call) -> Any:
        robot = self.robot(call)
        secret = call.body.get("secret", "")
        if secret:
            if not 8 <= len(secret) <= 128 or not all(re.search(part, secret) for part in ("[a-z]", "[A-Z]", "[0-9]")):
                raise bad(
                    "the secret must be 8-128, inclusively, characters long with at least 1 uppercase letter, "
                    "1 lowercase letter and 1 number"
                )
            robot["secret"] = secret
            return {}
        robot["secret"] = self.new_secret()
        return {"secret": robot["secret"]}

    def DeleteRobot(self, call: Call) -> Any:
        del self.robots[self.robot(call)["id"]]
        return call.done()

    # Retention

    def check_retention(self, body: Json) -> Json:
        if body.get("algorithm") != "or":
            raise bad("algorithm: Must match or")
        rules = body.get("rules", [])
        if len(rules) > 15:
            raise bad("only 15 rules are allowed at most")
        if len({json.dumps(rule, sort_keys=True) for rule in rules}) < len(rules):
            raise conflict("rule 1 is conflict with rule 0")
        for rule in rules:
            template = rule.get("template")
            if template not in TEMPLATES or rule.get("action") != "retain":
                raise bad(f"rule template {template} is not found")
            count = rule.get("params", {}).get(template)
            if template != "always" and not isinstance(count, int):
                raise bad("Parameters: required")
            for selector in [*rule.get("tag_selectors", []), *rule.get("scope_selectors", {}).get("repository", [])]:
                if selector.get("kind") != "doublestar" or not selector.get("pattern"):
                    raise bad("selector: Must match doublestar")
        scope = body.get("scope", {})
        if scope.get("level") != "project" or scope.get("ref") not in self.projects:
            raise bad(f"invalid Project id {scope.get('ref')}")
        cron = body["trigger"]["settings"]["cron"]
        self.check_cron(cron)
        return self.projects[scope["ref"]]

    @staticmethod
    def check_cron(cron: str, empty: bool = True) -> None:
        if (cron or not empty) and len(cron.split()) != 6:
            raise bad(f"invalid cron string: expected exactly 6 fields, found {len(cron.split())}: [{cron}]")

    def createRetention(self, call: Call) -> Any:
        self.need_login(call.who)
        project = self.check_retention(call.body)
        self.need_project(call, name=project["name"])
        if project["metadata"].get("retention_id"):
            raise bad(
                f"project {project['project_id']} already has retention policy {project['metadata']['retention_id']}"
            )
        identifier = self.new_id()
        self.retentions[identifier] = {**call.body, "id": identifier}
        project["metadata"]["retention_id"] = str(identifier)
        return call.created(identifier)

    def retention(self, call: Call, unknown: Refusal) -> Json:
        self.need_login(call.who)
        policy = self.retentions.get(int(call.values["id"]))
        if policy is None:
            raise unknown
        self.need_project(call, name=self.projects[policy["scope"]["ref"]]["name"])
        return policy

    def getRetention(self, call: Call) -> Any:
        gone = f"no such Retention policy with id {call.values['id']}"
        return self.retention(
            call, missing(gone) if self.forgets_retention else Refusal(500, "UNKNOWN", "internal server error")
        )

    def updateRetention(self, call: Call) -> Any:
        policy = self.retention(call, missing("no such Retention policy"))
        self.check_retention(call.body)
        policy.clear()
        policy.update({**call.body, "id": int(call.values["id"])})
        return call.done()

    def deleteRetention(self, call: Call) -> Any:
        policy = self.retention(call, bad("no such Retention policy"))
        del self.retentions[policy["id"]]
        if self.forgets_retention:
            self.projects[policy["scope"]["ref"]]["metadata"].pop("retention_id")
        return call.done()

    # Immutability

    def ListImmuRules(self, call: Call) -> Any:
        project = self.need_project(call)
        found = [rule for rule in self.rules.values() if rule["project_id"] == project["project_id"]]
        return call.page([{key: value for key, value in rule.items() if key != "project_id"} for rule in found])

    @staticmethod
    def check_rule(rule: Json) -> None:
        if rule.get("action") != "immutable" or not rule.get("template"):
            raise bad("action: Can not be empty")
        for selector in [*rule.get("tag_selectors", []), *rule.get("scope_selectors", {}).get("repository", [])]:
            if selector.get("kind") != "doublestar" or not selector.get("decoration") or not selector.get("pattern"):
                raise bad("selector: Must match doublestar")

    def same_rule(self, project: int, body: Json, but: int = 0) -> bool:
        def selected(rule: Json) -> Any:
            return rule["project_id"], rule["tag_selectors"], rule["scope_selectors"]

        return any(
            selected(rule) == selected({**body, "project_id": project})
            for key, rule in self.rules.items()
            if key != but
        )

    def CreateImmuRule(self, call: Call) -> Any:
        project = self.need_project(call)
        self.check_rule(call.body)
        if self.same_rule(project["project_id"], call.body):
            raise conflict("immutable tag rule already exist")
        identifier = self.new_id()
        self.rules[identifier] = {
            "params": {},
            "priority": 0,
            **call.body,
            "id": identifier,
            "project_id": project["project_id"],
        }
        return call.created(identifier)

    def UpdateImmuRule(self, call: Call) -> Any:
        identifier = int(call.values["immutable_rule_id"])
        if call.body.get("id") != identifier:
            raise bad("the immutable_rule_id doesn't match the id in the payload body of ImmutableRule")
        project = self.need_project(call)
        rule = self.rules.get(identifier)
        if rule is None or rule["project_id"] != project["project_id"]:
            raise missing(f"the immutable tag rule {identifier} is not found")
        self.check_rule(call.body)
        rule.update(call.body)
        return call.done()

    def DeleteImmuRule(self, call: Call) -> Any:
        self.need_project(call)
        if self.rules.pop(int(call.values["immutable_rule_id"]), None) is None:
            raise missing("the immutable tag rule is not found")
        return call.done()

    # Quotas

    def listQuotas(self, call: Call) -> Any:
        self.need_admin(call.who)
        wanted = call.query.get("reference_id")
        return call.page([quota for quota in self.quotas.values() if wanted in (None, str(quota["ref"]["id"]))])

    def updateQuota(self, call: Call) -> Any:
        self.need_admin(call.who)
        hard = call.body.get("hard", {})
        quota = self.quotas.get(int(call.values["id"]))
        if quota is None:
            raise missing("quota not found")
        if set(hard) != {"storage"} or (hard["storage"] <= 0 and hard["storage"] != -1):
            raise bad("invalid value for resource storage")
        quota["hard"] = hard
        return call.done()

    # Registries

    def listRegistries(self, call: Call) -> Any:
        self.need_admin(call.who)
        return call.page([self.shown_registry(registry) for registry in self.registries.values()])

    def getRegistry(self, call: Call) -> Any:
        self.need_admin(call.who)
        return self.shown_registry(self.registry(call))

    def registry(self, call: Call) -> Json:
        registry = self.registries.get(int(call.values["id"]))
        if registry is None:
            raise missing(f"registry {call.values['id']} not found")
        return registry

    @staticmethod
    def shown_registry(registry: Json) -> Json:
        credential = dict(registry["credential"]) if registry["credential"].get("access_key") else {}
        if credential.get("access_secret"):
            credential["access_secret"] = "*****"
        return {**registry, "credential": credential}

    def keep_registry(self, registry: Json) -> None:
        if not 0 < len(registry["name"]) <= 64:
            raise bad("the max length of name is 64")
        url = registry["url"].strip(" ").rstrip("/")
        registry["url"] = url if "://" in url else f"http://{url}"
        if "unreachable" in url:
            raise bad("the registry is unhealthy")
        registry["status"] = "healthy"
        if any(one["name"] == registry["name"] and one["id"] != registry["id"] for one in self.registries.values()):
            raise conflict("registry already exists")
        self.registries[registry["id"]] = registry

    def createRegistry(self, call: Call) -> Any:
        self.need_admin(call.who)
        body = call.body
        if body.get("type") not in ("docker-hub", "docker-registry", "harbor", "quay", "github-ghcr"):
            raise Refusal(500, "UNKNOWN", "internal server error")
        identifier = self.new_id()
        registry = {
            "description": "",
            "insecure": False,
            "credential": {},
            "creation_time": now(),
            "update_time": now(),
            **body,
            "id": identifier,
        }
        self.keep_registry(registry)
        return call.created(identifier)

    def updateRegistry(self, call: Call) -> Any:
        self.need_admin(call.who)
        registry = json.loads(json.dumps(self.registry(call)))
        names = {"credential_type": "type", "access_key": "access_key", "access_secret": "access_secret"}
        for name, value in call.body.items():
            if name in names:
                registry["credential"][names[name]] = value
            else:
                registry[name] = value
        if not registry["credential"].get("access_key"):
            registry["credential"] = {}
        self.keep_registry(registry)
        return call.done()

    def deleteRegistry(self, call: Call) -> Any:
        self.need_admin(call.who)
        identifier = self.registry(call)["id"]
        used = [
            one[side]["id"]
            for one in self.policies.values()
            for side in ("src_registry", "dest_registry")
            if side in one
        ]
        if identifier in used:
            raise Refusal(
                412,
                "PRECONDITION",
                f"the registry {identifier} is referenced by replication policies, cannot delete it",
            )
        if any(project["registry_id"] == identifier for project in self.projects.values()):
            raise Refusal(
                412, "PRECONDITION", f"the registry {identifier} is referenced by proxy cache project, cannot delete it"
            )
        del self.registries[identifier]
        return call.done()

    # Replication

    def listReplicationPolicies(self, call: Call) -> Any:
        self.need_admin(call.who)
        return call.page([self.shown_policy(policy) for policy in self.policies.values()])

    def shown_policy(self, policy: Json) -> Json:
        shown = dict(policy)
        for side in ("src_registry", "dest_registry"):
            identifier = policy.get(side, {}).get("id", 0)
            local = {
                "id": 0,
                "name": "Local",
                "type": "harbor",
                "url": "http://core:8080",
                "status": "healthy",
                "credential": {"type": "secret"},
                "creation_time": "0001-01-01T00:00:00.000Z",
            }
            shown[side] = self.shown_registry(self.registries[identifier]) if identifier else local
        return shown

    def check_policy(self, body: Json) -> Json:
        if not body.get("name"):
            raise bad("empty name")
        sides = [body.get(side, {}).get("id", 0) for side in ("src_registry", "dest_registry")]
        if bool(sides[0]) == bool(sides[1]):
            raise bad("either src_registry or dest_registry should be empty and the other one shouldn't be empty")
        if max(sides) not in self.registries:
            raise missing(f"registry {max(sides)} not found")
        for one in body.get("filters", []):
            if one["type"] in ("name", "tag", "resource") and not isinstance(one["value"], str):
                raise bad("the type of filter value isn't string")
            if one["type"] == "label" and not isinstance(one["value"], list):
                raise bad("the type of label filter value isn't string slice")
            if one["type"] in ("name", "resource") and one.get("decoration"):
                raise bad("only tag and label filter support decoration")
        trigger = body.get("trigger", {})
        if trigger.get("type") not in ("manual", "event_based", "scheduled"):
            raise bad("invalid trigger type")
        if trigger["type"] == "scheduled":
            cron = trigger.get("trigger_settings", {}).get("cron", "")
            if not cron:
                raise bad("the cron string cannot be empty when the trigger type is scheduled")
            self.check_cron(cron)
        return {
            "description": "",
            "dest_namespace": "",
            "dest_namespace_replace_count": -1,
            "override": False,
            "enabled": False,
            "filters": [],
            **{key: value for key, value in body.items() if key != "id"},
            "speed": max(0, body.get("speed", 0)),
            "replicate_deletion": body.get("deletion", False),
            "creation_time": now(),
            "update_time": now(),
        }

    def createReplicationPolicy(self, call: Call) -> Any:
        self.need_admin(call.who)
        policy = self.check_policy(call.body)
        if any(one["name"] == policy["name"] for one in self.policies.values()):
            raise conflict(f"replication policy {policy['name']} already exists")
        identifier = self.new_id()
        self.policies[identifier] = {**policy, "id": identifier}
        return call.created(identifier)

    def updateReplicationPolicy(self, call: Call) -> Any:
        self.need_admin(call.who)
        identifier = int(call.values["id"])
        if identifier not in self.policies:
            raise missing(f"replication policy {identifier} not found")
        self.policies[identifier] = {**self.check_policy(call.body), "id": identifier}
        return call.done()

    def deleteReplicationPolicy(self, call: Call) -> Any:
        self.need_admin(call.who)
        if self.policies.pop(int(call.values["id"]), None) is None:
            raise missing("replication policy not found")
        return call.done()

    # Configuration

    def getConfigurations(self, call: Call) -> Any:
        self.need_admin(call.who)
        fixed = set(self.read_only)
        if len(self.users) > 2:
            fixed.add("auth_mode")
        return {name: {"value": value, "editable": name not in fixed} for name, value in self.configuration.items()}

    def updateConfigurations(self, call: Call) -> Any:
        self.need_admin(call.who)
        if self.read_only & set(call.body):
            raise Refusal(
                403, "FORBIDDEN", "current config is init by env variable: CONFIG_OVERWRITE_JSON, it cannot be updated"
            )
        if call.body.get("auth_mode") not in (None, "db_auth", "ldap_auth", "oidc_auth", "uaa_auth", "http_auth"):
            raise bad("item name auth_mode: invalid auth_mode")
        for name, value in call.body.items():
            if name in ("oidc_client_secret", "ldap_search_password"):
                self.passwords[name] = value
            else:
                self.configuration[name] = value
        return call.done()

    # Garbage collection

    def getGCSchedule(self, call: Call) -> Any:
        self.need_admin(call.who)
        return (
            None
            if self.schedule is None
            else {
                "id": 1,
                "job_kind": self.schedule["cron"],
                "job_parameters": json.dumps(self.schedule["parameters"]),
                "job_status": "",
                "schedule": {
                    "type": self.schedule["type"],
                    "cron": self.schedule["cron"],
                    "next_scheduled_time": now(),
                },
                "creation_time": now(),
                "update_time": now(),
            }
        )

    def createGCSchedule(self, call: Call) -> Any:
        return call.created(self.kick(call), collection="/api/v2.0/system/gc")

    def updateGCSchedule(self, call: Call) -> Any:
        self.kick(call)
        return call.done()

    def kick(self, call: Call) -> int:
        self.need_admin(call.who)
        kind = call.body["schedule"]["type"]
        parameters = call.body.get("parameters", {})
        if not all(isinstance(parameters.get(name, False), bool) for name in ("delete_untagged", "dry_run")):
            raise bad("parameters")
        if kind == "Manual":
            identifier = self.new_id()
            self.executions[identifier] = {
                "id": identifier,
                "job_name": "GARBAGE_COLLECTION",
                "job_kind": "MANUAL",
                "job_parameters": json.dumps(parameters),
                "schedule": {"type": "Manual"},
                "job_status": "Running",
                "creation_time": now(),
                "update_time": now(),
            }
            return identifier
        if kind == "None":
            self.schedule = None
            return 0
        cron = call.body["schedule"].get("cron", "")
        if not cron:
            raise bad("empty cron string for gc schedule")
        self.check_cron(cron, empty=False)
        if cron.split()[0] != "0":
            raise bad("the 1st field (indicating Seconds of time) of the cron setting must be 0")
        self.schedule = {
            "type": kind,
            "cron": cron,
            "parameters": {"redis_url_reg": "redis://", "time_window": 2, **parameters},
        }
        return 0

    def getGC(self, call: Call) -> Any:
        self.need_admin(call.who)
        execution = self.executions.get(int(call.values["gc_id"]))
        if execution is None:
            raise missing("garbage collection execution not found")
        shown = dict(execution)
        if execution["job_status"] == "Running":
            execution["job_status"] = self.gc_outcome
        return shown

    def getGCHistory(self, call: Call) -> Any:
        self.need_admin(call.who)
        return call.page(list(self.executions.values()))

    # Repositories and artifacts

    def listRepositories(self, call: Call) -> Any:
        project = self.need_project(call, write=False)["name"]
        found = [
            {"id": index, "name": f"{name}/{repository}", "artifact_count": len(artifacts), "pull_count": 0}
            for index, ((name, repository), artifacts) in enumerate(self.artifacts.items(), 1)
            if name == project
        ]
        return call.page(found)

    def repository(self, call: Call) -> list[Json]:
        project = self.need_project(call, write=False)["name"]
        # The second decoding, by the handler.
        return self.artifacts.get((project, unquote(call.values["repository_name"])), [])

    def shown_artifact(self, call: Call, artifact: Json) -> Json:
        wanted = {"tags": "with_tag", "labels": "with_label", "scan_overview": "with_scan_overview"}
        defaults = {"with_tag": "true"}
        hidden = [
            key for key, option in wanted.items() if call.query.get(option, defaults.get(option, "false")) != "true"
        ]
        return {key: value for key, value in artifact.items() if key not in hidden}

    def listArtifacts(self, call: Call) -> Any:
        return call.page([self.shown_artifact(call, artifact) for artifact in self.repository(call)])

    def getArtifact(self, call: Call) -> Any:
        reference = unquote(call.values["reference"])
        for artifact in self.repository(call):
            if reference == artifact["digest"] or reference in [tag["name"] for tag in artifact["tags"]]:
                return self.shown_artifact(call, artifact)
        raise missing(f"artifact {reference} not found")


class Call:
    """One request, and the means to answer it."""

    def __init__(
        self,
        operation: Operation,
        values: dict[str, str],
        path: str,
        query: str,
        headers: Any,
        body: Any,
        who: Json | None,
    ) -> None:
        self.operation, self.values, self.path, self.headers, self.body, self.who = (
            operation,
            values,
            path,
            headers,
            body,
            who,
        )
        self.query = {name: found[-1] for name, found in parse_qs(query, keep_blank_values=True).items()}
        self.status = 200
        self.answer_headers: dict[str, str] = {}

    def done(self) -> None:
        return None

    def created(self, identifier: int, answer: Any = None, collection: str | None = None) -> Any:
        self.status = 201
        self.answer_headers["Location"] = f"{collection or self.path.rstrip('/')}/{identifier}"
        return answer

    def page(self, found: list[Json]) -> list[Json]:
        number, size = int(self.query.get("page", 1)), int(self.query.get("page_size", 10))
        self.answer_headers["X-Total-Count"] = str(len(found))
        if number * size < len(found):
            self.answer_headers["Link"] = f'<{self.path}?page={number + 1}&page_size={size}> ; rel="next"'
        return found[(number - 1) * size : number * size]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler(standin: Standin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with standin.lock:
                status, headers, content, break_off = self.judge(body)
            self.send_response(status)
            for name, value in headers.items():
                for one in value if isinstance(value, list) else [value]:
                    self.send_header(name, one)
            self.send_header("Content-Length", str(len(content) + 100 if break_off else len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            if break_off:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

        def judge(self, body: bytes) -> tuple[int, dict[str, Any], bytes, bool]:
            url = urlsplit(self.path)
            standin.asked.append(f"{self.command} {self.path}")
            for fault in standin.faults:
                if fault.times > 0 and fault.match in f"{self.command} {self.path}":
                    fault.times -= 1
                    return fault.status, fault.headers, fault.body, fault.break_off
            cookies: dict[str, Any] = {}
            if standin.sends_cookie:
                cookies["Set-Cookie"] = ["sid=session; Path=/; HttpOnly", "_gorilla_csrf=masked; Path=/; HttpOnly"]
                refused = self.command not in ("GET", "HEAD") and "sid=" in self.headers.get("Cookie", "")
                referrer = self.headers.get("Referer", "").startswith(f"{standin.url}/") or standin.url.startswith(
                    "http:"
                )
                if refused and (self.headers.get(CSRF) != standin.csrf_token or not referrer):
                    cookies[CSRF] = standin.csrf_token
                    return 403, {**cookies, **JSON_HEADERS}, errors("FORBIDDEN", "CSRF token invalid"), False
                if "sid=" in self.headers.get("Cookie", ""):
                    cookies[CSRF] = standin.csrf_token
            path = decode_once(url.path)
            found = standin.document.find(self.command, path)
            if found is None:
                return 404, {"Content-Type": "text/html"}, b"<html><body>404 page not found</body></html>", False
            operation, values = found
            try:
                status, headers, content = self.run(operation, values, url.path, url.query, body)
                standin.document.check_answer(operation, status, headers, content)
            except Violation as violation:
                standin.violations.append(str(violation))
                return 422, JSON_HEADERS, errors("UNPROCESSABLE_ENTITY", str(violation)), False
            return status, {**headers, **cookies}, content, False

        def run(
            self, operation: Operation, values: dict[str, str], path: str, query: str, body: bytes
        ) -> tuple[int, dict[str, Any], bytes]:
            decoded = standin.document.check_request(operation, values, query, self.headers, body)
            call = Call(
                operation,
                values,
                path,
                query,
                self.headers,
                decoded,
                standin.who(self.headers.get("Authorization", "")),
            )
            if standin.meanwhile:
                standin.meanwhile(operation.name)
            perform = getattr(standin, operation.name, None)
            if perform is None:
                raise Violation(f"the stand-in has no operation {operation.name}")
            try:
                answer = perform(call)
            except Refusal as refusal:
                return refusal.status, JSON_HEADERS, errors(refusal.code, str(refusal))
            if answer is None:
                return call.status, call.answer_headers, b""
            answer = standin.document.omit_empty(operation, call.status, answer)
            return call.status, {**call.answer_headers, **JSON_HEADERS}, json.dumps(answer).encode()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler


JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
