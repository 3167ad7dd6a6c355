# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""How long a push of a large image takes: harbor_image, skopeo and Docker, each to an empty registry."""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from driver.console import Console, Failed, table
from driver.settings import CHECKOUT, VENV, Settings
from oci_registry import PASSWORDS, Registry, TokenServer, start_registry
from throwaway import free_ports, write_certificates

from benchmarks.measure import process, report
from benchmarks.measure.runs import HERE, Json, machine

IMAGE = "imagine-bench/large"
LAYERS = 12
GIGABYTES = 2.0
FILE = 16 * 1024 * 1024
BLOCK = 1024 * 1024
USER = "pusher"
COLD_RATIO, NETWORK_SECONDS = 1.1, 1.0
TOOLS = ("harbor_image", "skopeo copy", "docker push")


def _content(noise: random.Random, words: list[bytes], size: int) -> bytes:
    """A third noise, as in the weights of a model, the rest text, as in libraries."""
    parts = []
    for number, position in enumerate(range(0, size, BLOCK)):
        length = min(BLOCK, size - position)
        if number % 3:
            parts.append(b" ".join(noise.choices(words, k=length // 6))[:length].ljust(length))
        else:
            parts.append(noise.randbytes(length))
    return b"".join(parts)


def write_image(path: Path, gigabytes: float, name: str) -> None:
    """An archive as `docker save` writes it; the same at each run."""
    noise = random.Random(20260101)  # noqa: S311
    words = [noise.randbytes(5).hex().encode()[: noise.randint(3, 10)] for _ in range(300)]
    pool = [_content(noise, words, FILE) for _ in range(4)]
    files = max(1, round(gigabytes * 1e9 / LAYERS / FILE))
    listed: list[str] = []
    diff_ids: list[str] = []
    with tarfile.open(path, "w") as archive:
        for number in range(LAYERS):
            with tempfile.TemporaryFile(dir=path.parent) as layer:
                with tarfile.open(fileobj=layer, mode="w") as inner:
                    for part in range(files):
                        content = pool[(number + part) % len(pool)]
                        # A byte that differs now and then, so that no two files are the same.
                        mark = hashlib.sha256(f"{number} {part}".encode()).digest()
                        content = b"".join(
                            mark + content[at + len(mark) : at + 4096 * 16] for at in range(0, len(content), 4096 * 16)
                        )
                        member = tarfile.TarInfo(f"opt/layer-{number}/file-{part}")
                        member.size = len(content)
                        inner.addfile(member, io.BytesIO(content))
                size = layer.tell()
                layer.seek(0)
                diff_ids.append(hashlib.file_digest(layer, "sha256").hexdigest())
                layer.seek(0)
                listed.append(f"{hashlib.sha256(f'{number}'.encode()).hexdigest()}/layer.tar")
                member = tarfile.TarInfo(listed[-1])
                member.size = size
                archive.addfile(member, layer)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["true"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in diff_ids]},
            }
        ).encode()
        entry = {"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": [name], "Layers": listed}
        for file, content in ((entry["Config"], config), ("manifest.json", json.dumps([entry]).encode())):
            member = tarfile.TarInfo(str(file))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


class Bench:
    """A registry that is emptied for each push, and the tools."""

    def __init__(self, console: Console, results: Path, work: Path, settings: Settings, gigabytes: float) -> None:
        self.console, self.results, self.work, self.settings, self.gigabytes = (
            console,
            results,
            work,
            settings,
            gigabytes,
        )
        self.archive = work / "image.tar"
        self.docker = ""
        self.rows: dict[tuple[str, str], Json] = {}
        self.certificates = work / "certificates"
        self.certificates.mkdir()
        write_certificates(self.certificates)
        self.tokens = TokenServer(self.certificates, 3600)
        self.home = work / "home"
        (self.home / ".docker").mkdir(parents=True)

    @contextlib.contextmanager
    def registry(self) -> Iterator[Registry]:
        """An empty one, with logins for all tools."""
        registry = start_registry(self.certificates, free_ports(1)[0], self.tokens)
        login = base64.b64encode(f"{USER}:{PASSWORDS[USER]}".encode()).decode()
        (self.home / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
        try:
            yield registry
        finally:
            registry.close()
            shutil.rmtree(self.certificates / "storage", ignore_errors=True)

    def prepare(self) -> None:
        """The image, in a file and in the Docker daemon."""
        with self.console.phase(f"An image of {self.gigabytes:g} GB in {LAYERS} layers"):
            write_image(self.archive, self.gigabytes, f"{IMAGE}:1")
        with self.console.phase("Docker daemon"):
            started = subprocess.run(
                [CHECKOUT / "testbed" / "docker-daemon", "start"], stdout=subprocess.PIPE, text=True, check=False
            )
            if started.returncode:
                raise Failed("There is no Docker daemon; see above.")
            self.docker = started.stdout.strip()
            self._run("load", ["docker", "--host", self.docker, "load", "--quiet", "--input", self.archive])

    def _run(self, name: str, command: list[str | Path]) -> process.Cost:
        # Logins come from a home of its own; programs of the user are found as ever.
        env = {**os.environ, **self.settings.environment(), "HOME": str(self.home), "DOCKER_HOST": self.docker}
        env["ANSIBLE_PYTHON_INTERPRETER"] = str(VENV / "bin" / "python")
        env.pop("DOCKER_CONFIG", None)
        return process.run(command, self.results / "logs" / f"{name}.log", self.console, env=env, cwd=CHECKOUT)

    def _module(self, registry: Registry, source: str) -> list[str | Path]:
        options: Json = {
            "name": f"{registry.host}/bench/image:1",
            "registry_ca_cert": registry.ca,
            "registry_auth_file": str(self.home / ".docker" / "config.json"),
            "work_dir": str(self.work),
            "docker_host": self.docker,
        }
        options |= {"docker_image": f"{IMAGE}:1"} if source == "daemon" else {"docker_archive": str(self.archive)}
        play = self.work / "play.json"
        play.write_text(
            json.dumps(
                [{"hosts": "localhost", "gather_facts": False, "tasks": [{"imagine.platform.harbor_image": options}]}]
            )
        )
        return [VENV / "bin" / "ansible-playbook", "-i", "localhost,", "-c", "local", "-v", play]

    def command(self, tool: str, source: str, registry: Registry) -> list[str | Path]:
        """The command line of a push."""
        name = f"{registry.host}/bench/image:1"
        if tool == "harbor_image":
            return self._module(registry, source)
        if tool == "skopeo copy":
            origin = f"docker-daemon:{IMAGE}:1" if source == "daemon" else f"docker-archive:{self.archive}"
            daemon = ["--src-daemon-host", self.docker] if source == "daemon" else []
            logins = ["--dest-authfile", str(self.home / ".docker" / "config.json")]
            return [
                "skopeo",
                "--insecure-policy",
                "copy",
                "--dest-tls-verify=false",
                *logins,
                *daemon,
                origin,
                f"docker://{name}",
            ]
        return ["docker", "--host", self.docker, "push", "--quiet", name]

    def measure(self, tool: str, source: str, number: int) -> None:
        """Push to an empty registry and once more."""
        row = self.rows.setdefault(
            (tool, source), {"tool": tool, "source": source, "cold": [], "again": [], "network": []}
        )
        row.setdefault("load", []).append(round(os.getloadavg()[0], 2))
        name = f"{tool.split()[0]}-{source}-{number}"
        with self.registry() as registry, self._tagged(tool, registry):
            command = self.command(tool, source, registry)
            with self.console.phase(f"{tool} from {source}, empty registry"):
                row["cold"].append(self._run(name, command))
                self.console.note = f"{row['cold'][-1].seconds:.1f} s"
            row["stored"] = self.stored(registry)
            with self.console.phase(f"{tool} from {source}, nothing new"):
                row["again"].append(self._run(f"{name}-again", command))
                self.console.note = f"{row['again'][-1].seconds:.1f} s"
            if tool == "harbor_image":
                if "changed=0" not in self._log(f"{name}-again"):
                    raise Failed("The second push changed something.", self.results / "logs" / f"{name}-again.log")
                row["network"].append(self.network(registry, source))

    @contextlib.contextmanager
    def _tagged(self, tool: str, registry: Registry) -> Iterator[None]:
        """The name by which Docker pushes."""
        if tool != "docker push":
            yield
            return
        target = f"{registry.host}/bench/image:1"
        docker = ["docker", "--host", self.docker]
        subprocess.run([*docker, "tag", f"{IMAGE}:1", target], check=True)
        try:
            yield
        finally:
            subprocess.run([*docker, "rmi", target], stdout=subprocess.DEVNULL, check=False)

    def document(self) -> list[Json]:
        """The figures of each tool, medians first."""
        found = []
        for row in self.rows.values():
            summed = {
                key: {
                    "seconds": round(statistics.median(cost.seconds for cost in row[key]), 2),
                    "all": [round(cost.seconds, 2) for cost in row[key]],
                    "cpu_seconds": round(statistics.median(cost.cpu_seconds for cost in row[key]), 2),
                    "memory": max(cost.memory for cost in row[key]),
                }
                for key in ("cold", "again")
                if row[key]
            }
            if len(summed) == 2:
                found.append({**row, **summed})
        return found

    def _log(self, name: str) -> str:
        return (self.results / "logs" / f"{name}.log").read_text(errors="replace")

    @staticmethod
    def stored(registry: Registry) -> int:
        """Bytes of blobs in the registry."""
        return sum(file.stat().st_size for file in (registry.storage / "blobs").rglob("data"))

    def network(self, registry: Registry, source: str) -> Json:
        """What an unchanged push does over the network, on its own: the registry, and the daemon."""
        program = (
            "import json, sys, time\n"
            "from ansible_collections.imagine.platform.plugins.module_utils.images import *\n"
            "from ansible_collections.imagine.platform.plugins.module_utils.oci import *\n"
            "name, ca, logins, docker, image = sys.argv[1:]\n"
            "reference = parse_reference(name)\n"
            "client = RegistryClient(reference.host, Access(auth_file=logins, ca_cert=ca))\n"
            "import docker as _warm\n"
            "started = time.perf_counter()\n"
            "manifest = client.manifest(reference)\n"
            "asked = time.perf_counter()\n"
            "same = not docker or DaemonImage(DockerAccess(docker), image, None, '').identity().matches(manifest)\n"
            "ended = time.perf_counter()\n"
            "print(json.dumps({'registry': asked - started, 'daemon': ended - asked, 'requests': client.requests,"
            " 'same': same}))\n"
        )
        done = subprocess.run(
            [
                *(VENV / "bin" / "python", "-c", program, f"{registry.host}/bench/image:1", registry.ca),
                *(self.home / ".docker" / "config.json", self.docker if source == "daemon" else "", f"{IMAGE}:1"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")},
        )
        found: Json = json.loads(done.stdout)
        return found

    def close(self) -> None:
        """Leave the daemon as it was."""
        self.tokens.close()
        if self.docker:
            subprocess.run(
                ["docker", "--host", self.docker, "rmi", f"{IMAGE}:1"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def targets(rows: list[Json]) -> list[Json]:
    """What was aimed at, and what came out."""
    by = {(row["tool"], row["source"]): row for row in rows}
    found = []
    for source in ("daemon", "archive"):
        ours, theirs = by.get(("harbor_image", source)), by.get(("skopeo copy", source))
        if ours and theirs:
            ratio = ours["cold"]["seconds"] / theirs["cold"]["seconds"]
            found.append(
                {"name": f"cold push from {source}, times skopeo", "value": round(ratio, 2), "limit": COLD_RATIO}
            )
        if ours:
            network = max(item["registry"] + item["daemon"] for item in ours["network"])
            found.append(
                {
                    "name": f"unchanged push from {source}, network, seconds",
                    "value": round(network, 3),
                    "limit": NETWORK_SECONDS,
                }
            )
    return [{**item, "met": item["value"] <= item["limit"]} for item in found]


def sections(result: Json) -> list[tuple[list[str], list[list[str]]]]:
    """The tables."""
    rows = [
        [
            *(row["tool"], row["source"], f"{row['cold']['seconds']:.1f}", f"{row['cold']['cpu_seconds']:.1f}"),
            *(f"{row['cold']['memory'] / 2**20:.0f}", f"{row['stored'] / 1e6:.0f}", f"{row['again']['seconds']:.1f}"),
        ]
        for row in result["rows"]
    ]
    aims = [
        [item["name"], f"{item['value']:g}", f"{item['limit']:g}", "yes" if item["met"] else "no"]
        for item in result["targets"]
    ]
    return [
        (["Tool", "From", "Cold s", "CPU s", "Memory MiB", "Stored MB", "Again s"], rows),
        (["Target", "Value", "At most", "Met"], aims),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/images", description="Measure pushes of a large image.")
    parser.add_argument("--gigabytes", type=float, default=GIGABYTES, help="size of the image (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="pushes of each kind, of which the median counts")
    parser.add_argument("--only", default="", help="only these tools, such as harbor_image,skopeo")
    parser.add_argument("--work", default=None, help="directory for temporary files, some six times the image's size")
    return parser.parse_args()


def _measure(bench: Bench, arguments: argparse.Namespace) -> None:
    chosen = [tool for tool in TOOLS if not arguments.only or tool.split()[0] in arguments.only.split(",")]
    bench.prepare()
    # In turns, so that what else the machine does meets all of them.
    for number in range(arguments.rounds):
        for source in ("daemon", "archive"):
            for tool in chosen:
                if (tool, source) != ("docker push", "archive"):
                    bench.measure(tool, source, number)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measure and write."""
    arguments = _arguments()
    missing = [name for name in ("skopeo", "docker", "docker-registry") if not shutil.which(name)]
    if missing:
        print(f"Install {', '.join(missing)} first; the packages of Debian will do.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    results = HERE / "results" / time.strftime("%Y%m%d-%H%M%S-images")
    results.mkdir(parents=True)
    console = Console(results / "logs")
    result: Json = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine()}
    status = 0
    work = Path(tempfile.mkdtemp(prefix="bench-images-", dir=arguments.work))
    bench = Bench(console, results, work, Settings.from_environment(), arguments.gigabytes)
    try:
        _measure(bench, arguments)
    except (Failed, OSError, subprocess.SubprocessError) as problem:
        print(problem, file=sys.stderr)
        result["problem"], status = str(problem), 1
    except KeyboardInterrupt:
        status = 130
    finally:
        bench.close()
        shutil.rmtree(work, ignore_errors=True)
    rows = bench.document()
    result.update(rows=rows, targets=targets(rows))
    (results / "results.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    made = [section for section in sections(result) if section[1]]
    remark = (
        f"{result['machine']['processors']} processors, load before {result['machine']['load_before'][0]:.2f}; "
        f"{arguments.gigabytes:g} GB in {LAYERS} layers, median of {arguments.rounds}; {result['started']}."
    )
    (results / "results.md").write_text(report.page("Image pushes", made, [remark]), encoding="utf-8")
    console.say("\n\n".join([*(table(rows, header) for header, rows in made), remark]))
    return status
