# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tools of the platform: which ports, containers, settings and secrets each of them has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.jobs import (
    JobError,
    Route,
    Secret,
    Shape,
    Task,
    host_name,
    text,
)

Json = dict[str, Any]

# deep-start of the platform's images refuses shorter ones.
MIN_PASSWORD = 9
# Where the data of an allocation is, inside of its containers; it follows the deployment through updates.
DATA = "${NOMAD_ALLOC_DIR}/data"
E_MAIL = re.compile(r"[^@\s:]+@[^@\s:]+")
TRUE_FALSE = (True, False)


@dataclass(frozen=True)
class Setting:
    """What may be set of a tool beside what all deployments have."""

    default: Any = None
    #: the values that it takes; any where empty
    choices: tuple[Any, ...] = ()
    lowest: float | None = None
    required: bool = False

    def check(self, name: str, value: Any) -> Any:
        """The value in the type of the setting, or a sentence that says what is wrong."""
        if isinstance(self.default, bool) and str(value).lower() in ("true", "false"):
            value = str(value).lower() == "true"
        if self.lowest is not None:
            try:
                value = float(value) if isinstance(self.default, float) else int(str(value))
            except (TypeError, ValueError) as error:
                raise JobError(f"settings.{name} is '{value}', but it is a number: give one.") from error
            if value < self.lowest:
                raise JobError(f"settings.{name} is {value}: give at least {self.lowest}.")
        if self.choices and value not in self.choices:
            raise JobError(f"settings.{name} is '{text(value)}': use {', '.join(map(text, self.choices))}.")
        if not self.choices and self.lowest is None and not isinstance(value, (str, int, float)):
            raise JobError(f"settings.{name} is {value}, but it is one value: write it as text.")
        return value if self.lowest is not None or isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Image:
    """The image of a container beside the main one."""

    default: str = ""


@dataclass(frozen=True)
class Tool:
    """One tool."""

    ports: Mapping[str, int]
    #: the rest of its shape, from its checked options, settings and images
    shape: Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, str]], Shape]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    #: secrets that it does not start without
    secrets: tuple[str, ...] = ()
    #: secrets that it takes beside those
    optional_secrets: tuple[str, ...] = ()
    #: secrets that are passwords of people
    passwords: tuple[str, ...] = ()
    #: least memory in MB with which it is of use
    memory: int = 0


def _host(options: Mapping[str, Any], port: str) -> str:
    """The public host name of a port; Nomad fills in the domain of the site."""
    return host_name(port, options["name"], options["base_domain"])


def _development(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    return Shape("tool", command="deep-start", args=(f"--{settings['service']}",))


def _flower(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    names = {"mu": "MU_FEDPROX", "learning_rate": "FEDAVGM_SERVER_FL", "momentum": "FEDAVGM_SERVER_MOMENTUM",
             "differential_privacy": "DP", "noise_multiplier": "NOISE_MULT", "sampled_clients": "SAMPLED_CLIENTS",
             "clip_norm": "CLIP_NORM"}  # fmt: skip
    env = {names.get(name, f"FEDERATED_{name.upper()}"): text(value) for name, value in settings.items()}
    env["DP"] = str(settings["differential_privacy"])
    return Shape(
        "tool",
        # gRPC is HTTP/2, without TLS behind Traefik.
        routes=[Route("fedserver", scheme="h2c"), Route("monitor"), Route("ide")],
        env=env,
    )


# The dashboard makes the server's certificates; the server fetches them with the administrator's account, once.
NVFLARE_START = """\
import io, json, os, secrets, subprocess, time, urllib.request, zipfile
from pathlib import Path

work = Path(os.environ["NOMAD_ALLOC_DIR"], "data", "server")
api = os.environ["DASHBOARD"] + "/nvflare-dashboard/api/v1"


def ask(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = "Bearer " + token
    request = urllib.request.Request(api + path, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.build_opener().open(request, timeout=60) as answer:
        return answer.read()


def start_kit():
    pin = secrets.token_hex(8)
    account = {"email": os.environ["NVFL_USERNAME"], "password": os.environ["NVFL_PASSWORD"]}
    token = json.loads(ask("/login", account))["access_token"]
    with zipfile.ZipFile(io.BytesIO(ask("/servers/1/blob", {"pin": pin}, token))) as kit:
        kit.extractall(work, pwd=pin.encode())
    for script in work.rglob("*.sh"):
        script.chmod(0o755)


for attempt in range(60):
    if next(work.rglob("start.sh"), None):
        break
    try:
        start_kit()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        print(f"the dashboard has no start-up kit yet: {error}", flush=True)
        time.sleep(10)
script = next(work.rglob("start.sh"), None)
if script is None:
    raise SystemExit("The dashboard gave no start-up kit; the lines above say why.")
subprocess.run(["/bin/bash", str(script)], cwd=script.parent, check=True)
settings = Path(os.environ["NOMAD_SECRETS_DIR"], "jupyter_server_config.py")
settings.touch(mode=0o600)
settings.write_text(
    "import os\\nfrom jupyter_server.auth import passwd\\n"
    "c.PasswordIdentityProvider.hashed_password = passwd(os.environ['NVFL_PASSWORD'])\\n"
)
os.execvp(
    "jupyter-lab",
    ["jupyter-lab", f"--config={settings}", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--allow-root",
     f"--ServerApp.root_dir={work}"],
)
"""


def _nvflare(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    username = settings["username"]
    if not E_MAIL.fullmatch(username):
        raise JobError(f"settings.username is '{username}', but NVFlare knows people by their e-mail address: give it.")
    if ":" in settings["organization"]:
        raise JobError(f"settings.organization is '{settings['organization']}': leave out the ':'.")
    server, dashboard = _host(options, "server"), _host(options, "dashboard")
    return Shape(
        "tool",
        routes=[
            Route("dashboard"),
            Route("server-fl", host="server", entry_point="nvflare_fl"),
            Route("server-admin", host="server", entry_point="nvflare_admin"),
            Route("server-jupyter", host="server"),
        ],
        command="python3",
        args=("${NOMAD_TASK_DIR}/start.py",),
        files={"local/start.py": NVFLARE_START},
        env={"DASHBOARD": f"https://{dashboard}", "NVFL_USERNAME": username},
        tasks=[
            Task(
                "dashboard",
                images["dashboard"],
                ports=("dashboard",),
                env={
                    "NVFL_SERVER1": server,
                    "NVFL_SERVER2": "",
                    "NVFL_HA_MODE": "False",
                    "NVFL_OVERSEER": "",
                    "NVFL_PROJECT_SHORT_NAME": settings["project"][:16],
                    "NVFL_PROJECT_TITLE": options["title"],
                    "NVFL_PROJECT_DESCRIPTION": options["description"],
                    "NVFL_PROJECT_APP_LOCATION": settings["app_location"],
                    "NVFL_PROJECT_STARTING_DATE": settings["starting_date"],
                    "NVFL_PROJECT_END_DATE": settings["end_date"],
                    "NVFL_PROJECT_PUBLIC": str(settings["public"]),
                    "NVFL_PROJECT_FROZEN": "True",
                    "VARIABLE_NAME": "app",
                },
                secrets={"NVFL_CREDENTIAL": [f"{username}:", Secret("NVFL_PASSWORD"), f":{settings['organization']}"]},
                hook="prestart",
                memory=1000,
            )
        ],
        keeps_data=True,
    )


# MLflow reads its administrator from a file only, which nobody else may read.
MLFLOW_START = """\
import configparser, os
from pathlib import Path

data = Path(os.environ["NOMAD_ALLOC_DIR"], "data")
file = Path("/tmp", "mlflow-authentication.ini")
parser = configparser.RawConfigParser()
parser["mlflow"] = {
    "default_permission": os.environ["MLFLOW_DEFAULT_PERMISSION"],
    "database_uri": f"sqlite:///{data}/users.db",
    "admin_username": os.environ["MLFLOW_ADMIN_USERNAME"],
    "admin_password": os.environ["MLFLOW_ADMIN_PASSWORD"].replace("%", "%%"),
    "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
}
descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
with open(descriptor, "w", encoding="utf-8") as stream:
    parser.write(stream)
os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(file)
os.execvp(
    "mlflow",
    ["mlflow", "server", "--host=0.0.0.0", "--port=5000", "--app-name=basic-auth",
     f"--backend-store-uri=sqlite:///{data}/tracking.db", f"--artifacts-destination={data}/artifacts"],
)
"""


def _mlflow(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    host = _host(options, "ui")
    return Shape(
        "tool",
        command="python3",
        args=("${NOMAD_TASK_DIR}/start.py",),
        files={"local/start.py": MLFLOW_START},
        env={
            "MLFLOW_ADMIN_USERNAME": settings["username"],
            "MLFLOW_DEFAULT_PERMISSION": settings["default_permission"],
            # It refuses requests for names that it does not know.
            "MLFLOW_SERVER_ALLOWED_HOSTS": host,
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"https://{host}",
        },
        keeps_data=True,
    )


def _ai4life(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    return Shape(
        "tool",
        command="deep-start",
        args=("--deepaas",),
        env={"MODEL_NAME": settings["model"]},
        tasks=[
            Task(
                "ui",
                images["ui"],
                ports=("ui",),
                # It waits until the model has been fetched, and stays.
                env={"DURATION": "10000d", "UI_PORT": "80", "MAX_RETRIES": "1000"},
                hook="poststart",
                cpu=500,
            )
        ],
    )


def _llm(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    return Shape(
        "tool",
        args=("--model", settings["model"], "--port", "8000"),
        tasks=[
            Task(
                "ui",
                images["ui"],
                ports=("ui",),
                env={
                    "OPENAI_API_BASE_URL": f"https://{_host(options, 'vllm')}/v1",
                    "WEBUI_AUTH": "true",
                    "ENABLE_SIGNUP": "false",
                    "WEBUI_ADMIN_EMAIL": settings["username"],
                    "WEBUI_ADMIN_NAME": options["owner_name"] or "Administrator",
                    "DATA_DIR": f"{DATA}/ui",
                },
                secrets={
                    "OPENAI_API_KEY": [Secret("VLLM_API_KEY")],
                    "WEBUI_ADMIN_PASSWORD": [Secret("WEBUI_ADMIN_PASSWORD")],
                    "WEBUI_SECRET_KEY": [Secret("VLLM_API_KEY"), Secret("WEBUI_ADMIN_PASSWORD")],
                },
                hook="poststart",
                cpu=1000,
                memory=settings["ui_memory"],
            )
        ],
        keeps_data=True,
    )


CVAT_QUEUES = ("import", "export", "annotation", "webhooks", "quality-reports")


def _cvat(options: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, str]) -> Shape:
    # All containers share one network, so each of them is at 127.0.0.1 for the others.
    django = {
        "ALLOWED_HOSTS": "*",
        "CVAT_POSTGRES_HOST": "127.0.0.1",
        "CVAT_REDIS_HOST": "127.0.0.1",
        "CVAT_REDIS_INMEM_HOST": "127.0.0.1",
        "CVAT_REDIS_ONDISK_HOST": "127.0.0.1",
        "CVAT_REDIS_ONDISK_PORT": "6379",
        "IAM_OPA_HOST": "http://127.0.0.1:8181",
        "CVAT_HOST": _host(options, "ui"),
        "CVAT_BASE_URL": f"https://{_host(options, 'ui')}",
        "CVAT_ANALYTICS": "0",
        "DJANGO_LOG_SERVER_HOST": "",
    }
    database = {"CVAT_POSTGRES_PASSWORD": [Secret("CVAT_DATABASE_PASSWORD")]}
    queues = [
        Task(
            f"worker-{queue}", options["image"], args=("run", f"worker.{queue.replace('-', '_')}"), env=django,
            secrets=database, hook="poststart", memory=settings["worker_memory"],
        )
        for queue in CVAT_QUEUES
    ]  # fmt: skip
    return Shape(
        "tool",
        routes=[
            Route("ui"),
            Route("server", host="ui", paths=("/api/", "/static/", "/admin", "/documentation/", "/django-rq")),
        ],
        args=("init", "run", "server"),
        env={
            **django,
            "DJANGO_SUPERUSER_USERNAME": settings["username"],
            "DJANGO_SUPERUSER_EMAIL": options["owner_email"],
        },
        bridge=True,
        keeps_data=True,
        tasks=[
            Task(
                "db",
                images["db"],
                env={"POSTGRES_USER": "root", "POSTGRES_DB": "cvat", "PGDATA": f"{DATA}/db"},
                secrets={"POSTGRES_PASSWORD": [Secret("CVAT_DATABASE_PASSWORD")]},
                hook="prestart",
                memory=1000,
            ),
            Task("redis", images["redis"], args=("--dir", DATA, "--appendonly", "yes"), hook="prestart"),
            Task(
                "opa",
                images["opa"],
                args=("run", "--server", "--addr=127.0.0.1:8181", "--log-level=error", "--set=services.cvat.url=http://127.0.0.1:8080",
                      "--set=bundles.cvat.service=cvat", "--set=bundles.cvat.resource=/api/auth/rules"),
                hook="prestart",
            ),
            Task("utils", options["image"], args=("run", "utils"), env=django, secrets=database, hook="poststart"),
            *queues,
            Task("ui", images["ui"], hook="poststart", memory=250),
            Task(
                "administrator",
                options["image"],
                args=("bash", "-c", "until python3 manage.py createsuperuser --no-input || python3 manage.py shell -c "
                      "'import os; from django.contrib.auth import get_user_model as m; "
                      "m().objects.get(username=os.environ[\"DJANGO_SUPERUSER_USERNAME\"])'; do sleep 10; done; "
                      "exec sleep infinity"),
                env={
                    **django,
                    "DJANGO_SUPERUSER_USERNAME": settings["username"],
                    "DJANGO_SUPERUSER_EMAIL": options["owner_email"],
                },
                secrets={**database, "DJANGO_SUPERUSER_PASSWORD": [Secret("CVAT_PASSWORD")]},
                hook="poststart",
            ),
        ],
    )  # fmt: skip


STRATEGIES = (
    "Federated Averaging (FedAvg)",
    "FedProx strategy (FedProx)",
    "Federated Optimization with Adam (FedAdam)",
    "Federated Median (FedMedian)",
    "Federated Averaging with Momentum (FedAvgM)",
    "Adaptive Federated Optimization (FedOpt)",
    "Adaptive Federated Optimization using Yogi (FedYogi)",
)
TOOLS: Mapping[str, Tool] = {
    "devenv": Tool(
        ports={"api": 5000, "monitor": 6006, "ide": 8888, "custom": 80},
        shape=_development,
        settings={"service": Setting("jupyter", ("jupyter", "vscode"))},
        secrets=("jupyterPASSWORD",),
        passwords=("jupyterPASSWORD",),
    ),
    "fl": Tool(
        ports={"fedserver": 5000, "monitor": 6006, "ide": 8888},
        shape=_flower,
        settings={
            "rounds": Setting(5, lowest=1),
            "metric": Setting("accuracy"),
            "min_fit_clients": Setting(2, lowest=2),
            "min_available_clients": Setting(2, lowest=2),
            "strategy": Setting(STRATEGIES[0], STRATEGIES),
            "mu": Setting(1.0, lowest=0),
            "learning_rate": Setting(1.0, lowest=0),
            "momentum": Setting(0.0, lowest=0),
            "differential_privacy": Setting(False, TRUE_FALSE),
            "noise_multiplier": Setting(0.1, lowest=0),
            "sampled_clients": Setting(2, lowest=1),
            "clip_norm": Setting(0.1, lowest=0),
        },
        secrets=("jupyterPASSWORD",),
        passwords=("jupyterPASSWORD",),
    ),
    "nvflare": Tool(
        ports={"dashboard": 80, "server-fl": 8002, "server-admin": 8003, "server-jupyter": 8888},
        shape=_nvflare,
        settings={
            "username": Setting(required=True),
            "organization": Setting(required=True),
            "project": Setting("project"),
            "app_location": Setting(""),
            "starting_date": Setting(""),
            "end_date": Setting(""),
            "public": Setting(True, TRUE_FALSE),
        },
        images={"dashboard": Image()},
        secrets=("NVFL_PASSWORD",),
        passwords=("NVFL_PASSWORD",),
    ),
    "mlflow": Tool(
        ports={"ui": 5000},
        shape=_mlflow,
        settings={
            "username": Setting("admin"),
            "default_permission": Setting("READ", ("READ", "EDIT", "MANAGE", "NO_PERMISSIONS")),
        },
        secrets=("MLFLOW_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"),
        passwords=("MLFLOW_ADMIN_PASSWORD",),
    ),
    "ai4life": Tool(
        ports={"api": 5000, "ui": 80, "custom": 8080},
        shape=_ai4life,
        settings={"model": Setting(required=True)},
        images={"ui": Image()},
    ),
    "llm": Tool(
        ports={"ui": 8080, "vllm": 8000},
        shape=_llm,
        settings={
            "model": Setting(required=True),
            "username": Setting(required=True),
            "ui_memory": Setting(8000, lowest=500),
        },
        images={"ui": Image()},
        secrets=("VLLM_API_KEY", "WEBUI_ADMIN_PASSWORD"),
        optional_secrets=("HUGGING_FACE_HUB_TOKEN",),
        passwords=("WEBUI_ADMIN_PASSWORD",),
    ),
    "cvat": Tool(
        ports={"ui": 80, "server": 8080},
        shape=_cvat,
        settings={"username": Setting("admin"), "worker_memory": Setting(1000, lowest=100)},
        images={
            "ui": Image(),
            "db": Image("docker.io/library/postgres:16-alpine"),
            "redis": Image("docker.io/library/redis:7-alpine"),
            "opa": Image("docker.io/openpolicyagent/opa:0.63.0"),
        },
        secrets=("CVAT_PASSWORD", "CVAT_DATABASE_PASSWORD"),
        passwords=("CVAT_PASSWORD",),
    ),
}


def checked_settings(name: str, tool: Tool, given: Mapping[str, Any]) -> Json:
    """All settings of a tool, those that were not given by their defaults."""
    unknown = sorted(set(given) - set(tool.settings))
    if unknown:
        known = f"use {', '.join(tool.settings)}" if tool.settings else "it has none"
        raise JobError(f"settings gives '{unknown[0]}', which the tool '{name}' does not know: {known}.")
    missing = [key for key, one in tool.settings.items() if one.required and not given.get(key)]
    if missing:
        raise JobError(f"settings.{missing[0]} is not set, but the tool '{name}' needs it: give it.")
    return {
        key: one.check(key, given[key]) if given.get(key) is not None else one.default
        for key, one in tool.settings.items()
    }


def checked_images(name: str, tool: Tool, given: Mapping[str, Any]) -> dict[str, str]:
    """The images of all containers beside the main one."""
    unknown = sorted(set(given) - set(tool.images))
    if unknown:
        known = f"use {', '.join(tool.images)}" if tool.images else "it has one container only, whose image is image"
        raise JobError(f"images gives '{unknown[0]}', which the tool '{name}' does not have: {known}.")
    found = {key: str(given.get(key) or one.default) for key, one in tool.images.items()}
    missing = [key for key, image in found.items() if not image]
    if missing:
        raise JobError(f"images.{missing[0]} is not set, but the tool '{name}' needs it: give it.")
    return found


def check_secrets(name: str, tool: Tool, names: list[str], given: Mapping[str, str]) -> None:
    """Refuse a tool that would run without its password, or with one that is too short; values are not told."""
    missing = [one for one in tool.secrets if one not in names]
    if missing:
        raise JobError(f"secrets.{missing[0]} is not set, but the tool '{name}' needs it: give it.")
    for one in tool.passwords:
        if one in given and len(given[one]) < MIN_PASSWORD:
            raise JobError(f"secrets.{one} is too short: give at least {MIN_PASSWORD} characters.")


def current_images(job: Mapping[str, Any] | None, tool: Tool) -> dict[str, str]:
    """The images that the containers of a job have."""
    tasks = ((job or {}).get("TaskGroups") or [{}])[0].get("Tasks") or []
    return {task["Name"]: task["Config"]["image"] for task in tasks if task["Name"] in tool.images}
