# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the whole of a Harbor, as the modules see it: its configuration and its garbage collection."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    HarborClient,
    HarborError,
    flag,
    number,
    part,
    text,
)
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import check_cron

# Never shown; Harbor returns some of them all the same.
SECRET_SETTINGS = ("ldap_search_password", "oidc_client_secret", "uaa_client_secret")
SCHEDULES = {"none": "None", "hourly": "Hourly", "daily": "Daily", "weekly": "Weekly", "custom": "Custom"}
CRONS = {"hourly": "0 0 * * * *", "daily": "0 0 0 * * *", "weekly": "0 0 0 * * 0"}
ENDED = ("success", "error", "stopped", "finished")
POLL_SECONDS = 1.0


def read_configuration(client: HarborClient) -> tuple[Json, Json]:
    """Values of all settings but the secret ones, and which of them may be changed."""
    values: Json = {}
    editable: Json = {}
    for name, item in client.get("configurations", "reading the configuration").items():
        if name not in SECRET_SETTINGS and isinstance(item, dict) and "value" in item:
            values[name] = item["value"]
            editable[name] = flag(item, "editable")
    if not values:
        raise HarborError(
            f"{client.url} answered without any setting while reading the configuration: check that harbor_url is the "
            "address of Harbor.",
            "protocol",
        )
    return values, editable


def configure(client: HarborClient, params: Mapping[str, Any], check_mode: bool) -> Json:
    """Bring settings to their values; of the secrets only those that go with a change, unless told otherwise."""
    values, editable = read_configuration(client)
    before: Json = {}
    after: Json = {}
    for name, value in (params["settings"] or {}).items():
        wanted = _setting(name, value, values)
        if _known(values[name]) != _known(wanted):
            if not editable[name]:
                why = "read-only there"
                if name == "auth_mode":
                    why += ", as always once there are users besides its administrator"
                raise ObjectError(
                    f"{name} cannot be changed in Harbor at {client.url} from {values[name]!r} to {wanted!r}: it is "
                    f"{why}; remove it from settings."
                )
            before[name] = values[name]
            after[name] = wanted
    secrets = {name: value for name, value in (params["secrets"] or {}).items() if value is not None}
    providers = {name.partition("_")[0] for name in after}
    due = [name for name in secrets if params["update_secrets"] == "always" or name.partition("_")[0] in providers]
    body = {**after, **{name: secrets[name] for name in due}}
    for name in due:
        before[name], after[name] = "kept", "set anew"
    if body and not check_mode:
        client.put("configurations", f"updating the configuration ({', '.join(sorted(body))})", body)
    values.update({name: value for name, value in after.items() if name not in SECRET_SETTINGS})
    return {"changed": bool(body), "diff": {"before": before, "after": after}, "configuration": values}


def _setting(name: str, value: Any, values: Mapping[str, Any]) -> Any:
    """A value in the type that Harbor has for the setting."""
    if name in SECRET_SETTINGS:
        raise ObjectError(f"{name} is a secret: give it in secrets, not in settings.")
    if name not in values:
        raise ObjectError(f"Harbor has no setting '{name}': use one of {', '.join(sorted(values))}.")
    current = values[name]
    if isinstance(current, bool):
        if isinstance(value, bool) or str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise ObjectError(f"{name} is '{value}', but Harbor wants true or false: correct it.")
    if isinstance(current, int):
        try:
            return int(str(value))
        except ValueError:
            raise ObjectError(f"{name} is '{value}', but Harbor wants a whole number: correct it.") from None
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _known(value: Any) -> Any:
    """A value to compare: the order in a JSON object means nothing."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def no_schedule() -> Json:
    """Garbage is collected by hand only."""
    return {"schedule": "none", "cron": "", "delete_untagged": False, "workers": 1}


def schedule_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a schedule as Harbor returns it; nothing comes back where there is none."""
    schedule = part(raw, "schedule")
    kinds = {theirs: ours for ours, theirs in SCHEDULES.items()}
    kind = kinds.get(text(schedule, "type"), "custom" if text(schedule, "cron") else "none")
    if kind == "none":
        return no_schedule()
    parameters = parameters_of(raw)
    return {
        "schedule": kind,
        "cron": text(schedule, "cron"),
        "delete_untagged": flag(parameters, "delete_untagged"),
        "workers": number(parameters, "workers") or 1,
    }


def parameters_of(raw: Mapping[str, Any]) -> Json:
    """The parameters of a job, which Harbor writes as a string."""
    try:
        parameters = json.loads(text(raw, "job_parameters") or "{}")
    except ValueError:
        parameters = {}
    return parameters if isinstance(parameters, dict) else {}


def describe_execution(raw: Mapping[str, Any]) -> Json:
    """A run of the garbage collection as the modules return it."""
    parameters = parameters_of(raw)
    return {
        "id": number(raw, "id"),
        "status": text(raw, "job_status").lower(),
        "trigger": text(raw, "job_kind").lower(),
        "dry_run": flag(parameters, "dry_run"),
        "delete_untagged": flag(parameters, "delete_untagged"),
        "creation_time": text(raw, "creation_time"),
        "update_time": text(raw, "update_time"),
    }


def read_schedule(client: HarborClient) -> Json:
    """The schedule of the garbage collection."""
    return schedule_state(client.get("system/gc/schedule", "reading the schedule of the garbage collection"))


def wanted_schedule(params: Mapping[str, Any], current: Json) -> Json:
    """The schedule that the options ask for; options that were not given keep what is there."""
    kind = params["schedule"] or current["schedule"]
    if kind == "none":
        if params["cron"]:
            raise ObjectError("cron has no effect without a schedule: set schedule to custom, or leave it out.")
        return no_schedule()
    cron = params["cron"]
    if not cron:
        cron = current["cron"] if kind == current["schedule"] else CRONS.get(kind, "")
    if not cron:
        raise ObjectError("cron is not set, but the schedule custom needs it: give cron.")
    check_cron("cron", cron)
    state = {**current, "schedule": kind, "cron": " ".join(cron.split())}
    for option in ("delete_untagged", "workers"):
        if params[option] is not None:
            state[option] = params[option]
    return state


def collect_garbage(client: HarborClient, params: Mapping[str, Any], check_mode: bool) -> Json:
    """Bring the schedule to its state, and collect now where that is asked for."""
    if params["workers"] is not None and not 1 <= params["workers"] <= 5:
        raise ObjectError(f"workers is {params['workers']}: give 1 to 5.")
    before = read_schedule(client)
    after = wanted_schedule(params, before)
    changed = before != after
    if changed and not check_mode:
        body = {
            "schedule": {"type": SCHEDULES[after["schedule"]], "cron": after["cron"]},
            "parameters": {"delete_untagged": after["delete_untagged"], "workers": after["workers"]},
        }
        what = "setting the schedule of the garbage collection"
        if before["schedule"] == "none":
            client.create("system/gc/schedule", what, body)
        else:
            client.put("system/gc/schedule", what, body)
    result: Json = {"changed": changed, "diff": {"before": before, "after": after}, "schedule": after}
    if params["run"]:
        result["changed"] = changed or not params["dry_run"]
        if not check_mode:
            result["execution"] = _run(client, params, result)
    return result


def _run(client: HarborClient, params: Mapping[str, Any], done: Json) -> Json:
    body = {
        "schedule": {"type": "Manual"},
        "parameters": {
            "delete_untagged": bool(params["delete_untagged"]),
            "dry_run": params["dry_run"],
            "workers": params["workers"] or 1,
        },
    }
    identifier = client.create("system/gc/schedule", "starting the garbage collection", body)[0]
    if identifier is None:
        raise HarborError(
            f"{client.url} started a garbage collection without naming it: look for it in Harbor.", "protocol"
        )
    deadline = time.monotonic() + params["wait_timeout"]
    while True:
        raw = client.get(f"system/gc/{identifier}", f"reading the garbage collection {identifier}")
        execution = describe_execution(raw)
        if not params["wait"] or execution["status"] == "success":
            return execution
        if execution["status"] in ENDED or time.monotonic() >= deadline:
            ended = execution["status"] in ENDED
            words = (
                f"ended with '{execution['status']}'" if ended else f"has not ended after {params['wait_timeout']} s"
            )
            remedy = "read its log in Harbor" if ended else "raise wait_timeout"
            failure = HarborError(f"The garbage collection {identifier} {words}: {remedy}.", "failed")
            failure.result = {**done, "execution": execution}
            raise failure
        time.sleep(POLL_SECONDS)
