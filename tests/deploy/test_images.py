"""The images' steps work, run here one by one, and what they hold runs the chart's commands."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from fnmatch import fnmatch
from pathlib import Path

import pytest

from shared.settings import Settings
from workers import fleet, health, local
from workers.console import app as console
from workers.intake import service as intake

ROOT = Path(__file__).parents[2]
DOCKERFILES = [ROOT / "Dockerfile.audio", ROOT / "Dockerfile.video"]
TOOLS = Path(sys.executable).parent
PROCESSES = ("intake", "audio", "video", "aggregator", "console")
each = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)


def stages(dockerfile):
    """Instructions of each stage: name → (base, [(word, rest), …])."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    found, current = {}, None
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found.setdefault(name, (base, []))[1]
        elif current is not None:
            current.append((word, rest.strip()))
    return found


def all_of(dockerfile, stage, word):
    """Instructions of a stage and of the stages that it is made from."""
    known = stages(dockerfile)
    found = []
    while stage in known:
        base, instructions = known[stage]
        found = [rest for name, rest in instructions if name == word] + found
        stage = base
    return found


def ignored(path):
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        parts = [path, *(str(parent) for parent in Path(path).parents)]
        if any(fnmatch(part, pattern) or fnmatch(part, f"{pattern}/*") for part in parts):
            verdict = not line.startswith("!")
    return verdict


@each
def test_hadolint_finds_nothing(dockerfile):
    done = subprocess.run(
        [TOOLS / "hadolint", dockerfile], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


@each
def test_what_is_copied_exists_and_is_sent(dockerfile):
    for _, instructions in stages(dockerfile).values():
        for word, rest in instructions:
            if word != "COPY" or rest.startswith("--from"):
                continue
            *sources, _ = rest.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert not ignored(source.rstrip("/"))


def test_nothing_else_is_sent():
    for path in ("tests", ".git", ".venv", "deploy/helm", "shared/__pycache__"):
        assert ignored(path)
    assert not ignored("shared/models/models.toml")
    assert not ignored("deploy/aws/stack.yaml")


@each
@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_runs_as_nobody_in_an_empty_directory(dockerfile, target):
    modality = dockerfile.suffix.removeprefix(".")

    assert all_of(dockerfile, target, "USER") == ["10001:10001"]
    assert all_of(dockerfile, target, "WORKDIR") == ["/run/guardian"]
    assert all_of(dockerfile, target, "ENTRYPOINT") == ['["guardian"]']
    assert all_of(dockerfile, target, "CMD") == [f'["worker", "{modality}"]']
    (check,) = all_of(dockerfile, target, "HEALTHCHECK")
    assert "/health" in check
    assert all_of(dockerfile, target, "COPY") == [f"--from={target}-build /opt/venv /opt/venv"]
    assert "PYTHONPATH" not in dockerfile.read_text()
    installed = " ".join(all_of(dockerfile, target, "RUN"))
    assert "ffmpeg" in installed
    assert "util-linux" in installed


@each
@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_whatever_an_image_runs_is_asked_for_its_health(dockerfile, target):
    modality = dockerfile.suffix.removeprefix(".")
    (line,) = all_of(dockerfile, target, "HEALTHCHECK")
    _, _, code = json.loads(line.partition("CMD ")[2])
    ports = (fleet.PORTS[modality], fleet.PORTS["aggregator"], console.PORT)
    assert fleet.PORTS["aggregator"] == intake.PORT
    assert sorted(re.findall(r"\b\d{4}\b", code)) == sorted(map(str, ports))
    for asked in ports:
        server = health.start(0, lambda: False)
        here = only_at(server.server_port, asked, code)
        assert healthy(here)
        assert healthy(code, GUARDIAN_METRICS_PORT=str(server.server_port))
        server.shutdown()
        server.server_close()
        assert not healthy(here)


def only_at(here, port, code):
    """Put one port in the place of another, and one that nobody listens on for all others."""
    known = {str(port): str(here)}
    return re.sub(r"\b\d{4}\b", lambda found: known.get(found[0], "1"), code)


def healthy(code, **settings):
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, check=False, capture_output=True
    )
    return done.returncode == 0


@each
def test_each_target_has_its_onnxruntime_alone(dockerfile):
    for target, other in (("cpu", "gpu"), ("gpu", "cpu")):
        steps = " ".join(all_of(dockerfile, f"{target}-build", "RUN"))
        assert f"--extra {target} " in steps
        assert f"--extra {other} " not in steps
        assert "--frozen" in steps
        assert "--require-hashes" in steps


@each
def test_bases_are_pinned(dockerfile):
    bases = dict(re.findall(r"^ARG (\w+_BASE)=(\S+)$", dockerfile.read_text(), re.MULTILINE))

    assert len(bases) == 2
    for base in bases.values():
        assert re.search(r":\d+\.\d+\.\d+-", base)


def test_the_two_dockerfiles_differ_in_their_worker_alone():
    audio, video = (path.read_text().splitlines()[2:] for path in DOCKERFILES)
    translated = [line.replace("audio", "video").replace("8000", "8001") for line in audio]

    assert translated == video


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A directory where the steps of the CPU image have been run: build stage, then its venv."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    source.mkdir()
    (root / "opt").mkdir()
    uv = TOOLS / "uv"
    for word, rest in stages(DOCKERFILES[0])["cpu-build"][1]:
        if word == "COPY":
            *sources, target = rest.split()
            for name in sources:
                destination = source / (Path(name).name if target == "./" else target)
                destination.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-r", ROOT / name, destination], check=True)
        if word != "RUN":
            continue
        # The same steps, with uv from here, its cache, and hard links instead of copies.
        step = rest.replace("/opt/uv/bin/uv", shlex.quote(str(uv))).replace("--no-cache ", "")
        step = step.replace("--compile-bytecode ", "").replace("/opt/", f"{root}/opt/")
        if "-m venv /opt/uv" in rest:
            continue
        step = step.replace("python3 -m venv", f"{sys.executable} -m venv")
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "GUARDIAN", "VIRTUAL_ENV"))
        }
        done = subprocess.run(
            step,
            shell=True,
            cwd=source,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{step}\n{done.stderr}"
    return root


def guardian(image, *arguments, **environment):
    """Run the image's guardian as a container does: empty directory, nothing but its settings."""
    empty = image / "empty"
    empty.mkdir(exist_ok=True)
    path = f"{image}/opt/venv/bin:/usr/bin:/bin"
    return subprocess.run(
        [f"{image}/opt/venv/bin/guardian", *arguments],
        cwd=empty,
        env={"PATH": path, "HOME": "/nonexistent", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_image_holds_our_wheel_and_one_onnxruntime(image):
    packages = image.glob("opt/venv/lib/python3*/site-packages")
    (site,) = packages
    names = {path.name.split("-")[0] for path in site.glob("*.dist-info")}

    assert {"silver_guardian", "onnxruntime"} <= names
    assert not {"onnxruntime_gpu", "moto", "pytest", "ruff", "pip"} & names
    assert (site / "shared" / "models" / "models.toml").is_file()


def test_the_image_verifies_its_models_with_no_source_beside_it(image):
    done = guardian(image, "models", "verify", GUARDIAN_DEVICE="cpu")

    assert done.returncode == 0, done.stderr


def test_the_pods_of_the_chart_run_as_plain_processes(image, render, tmp_path):
    """Command and environment as rendered, against a stand-in; only addresses are from here."""
    keys = {"credentialsSecret": "keys"}
    with local.running(Settings(state_dir=tmp_path / "state"), roles=()) as system:
        endpoint = {"endpointUrl": system.endpoint_url, **keys}
        off = {"gpus": 0}
        polls = {"GUARDIAN_RECEIVE_WAIT_S": "1"}  # a process is ready after its first
        pods = render({"global": endpoint, "audio": off, "video": off, "settings": polls})
        running = [start(image, pods.container(process), tmp_path) for process in PROCESSES]
        try:
            for process in running:
                wait_until_ready(*process)
        finally:
            for process, _, _ in running:
                process.terminate()
            statuses = [process.wait(60) for process, _, _ in running]

    logs = [log.read_text()[-500:] for _, _, log in running]
    assert statuses[:-1] == [0] * (len(PROCESSES) - 1), logs
    # uvicorn shuts down and then ends by the signal that asked it to.
    assert statuses[-1] in (0, -signal.SIGTERM), logs[-1]


def start(image, container, tmp_path):
    """Start a container's command from the image's venv."""
    port = local.free_port()
    name = container["name"]
    here = {
        "PATH": f"{image}/opt/venv/bin:/usr/bin:/bin",
        "GUARDIAN_HOST": "127.0.0.1",
        "GUARDIAN_METRICS_PORT": str(port),
        "GUARDIAN_WORK_DIR": str(tmp_path / name / "scratch"),
        "TMPDIR": str(tmp_path / name),
        "HOME": "/nonexistent",
    }
    rendered = {item["name"]: item.get("value", "from-a-secret") for item in container["env"]}
    (tmp_path / name).mkdir()
    log = tmp_path / f"{name}.log"
    _, *words = [str(port) if word == "8080" else word for word in container["command"]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [f"{image}/opt/venv/bin/guardian", *words],
            cwd=tmp_path / name,
            env={**rendered, **here},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return process, port, log


def wait_until_ready(process, port, log):
    for path in ("/health", "/ready"):
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, f"{path}: {log.read_text()[-2000:]}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
