"""The files in examples/deploying: checkers find nothing, and the server takes what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from server_stub.app import create_app
from server_stub.command_line import VARIABLE_PREFIX, parse_settings, unknown_variables
from server_stub.settings import Settings

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "deploying"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
UNIT = FOLDER / "noetl-metrics-server.service"
PAGE = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
PYTHON_OF_UNIT = "/opt/noetl-metrics/bin/python"
PORT = 8082
PASSWORD = "choose-another"


def run(*command):
    """Run a program; it has to end with code 0. Return what it printed."""
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == result.returncode, (command, result.stdout, result.stderr)
    return result.stdout + result.stderr


def program(name):
    """Return the path of a program that a package of the environment brings."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert path is not None, name
    return path


def documents(name):
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def of_compose(*names):
    """Return the variables of the server in compose files, as compose makes one of several."""
    found: dict[str, str] = {}
    for name in names:
        (document,) = documents(name)
        found |= document["services"]["server"]["environment"]
    return {key: value.replace("${POSTGRES_PASSWORD:?}", PASSWORD) for key, value in found.items()}


def of_pod():
    (variables,) = [
        container["env"]
        for document in documents("kubernetes.yml")
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    # The database's address is in a secret.
    return {one["name"]: one.get("value", f"postgresql://m:{PASSWORD}@d/m") for one in variables}


def of_lines(text, before):
    """Return the variables that are set in the lines of a file that begin in the same way."""
    return dict(re.findall(rf"^{before}({VARIABLE_PREFIX}\w+)=(.*)$", text, re.MULTILINE))


OF_IMAGE = of_lines(DOCKERFILE, "ENV ")
OF_UNIT = of_lines(UNIT.read_text(encoding="utf-8"), "Environment=")
OF_UNIT |= of_lines((FOLDER / "server.env").read_text(encoding="utf-8"), "")
ENVIRONMENTS = {
    "Dockerfile": OF_IMAGE,
    "compose.yml": OF_IMAGE | of_compose("compose.yml"),
    "compose.victoria-metrics.yml": OF_IMAGE
    | of_compose("compose.yml", "compose.victoria-metrics.yml"),
    "kubernetes.yml": OF_IMAGE | of_pod(),
    UNIT.name: OF_UNIT,
    "deploying.md": dict(re.findall(rf"--env ({VARIABLE_PREFIX}\w+)=(\S+)", PAGE)),
}


def test_hadolint_finds_nothing_in_the_dockerfile():
    """The Dockerfile follows what is held to be good practice."""
    assert "" == run(program("hadolint"), str(FOLDER / "Dockerfile"))


def test_kubernetes_knows_what_the_manifests_say():
    """Each manifest has the form of its kind, and no field that Kubernetes does not know."""
    run(program("kubernetes-validate"), "--strict", str(FOLDER / "kubernetes.yml"))


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze, of systemd, is not there"
)
def test_systemd_takes_the_unit(tmp_path):
    """systemd finds no mistake in the unit; its interpreter is another one here."""
    text = UNIT.read_text(encoding="utf-8")
    assert 1 == text.count(PYTHON_OF_UNIT)
    path = tmp_path / UNIT.name
    path.write_text(text.replace(PYTHON_OF_UNIT, sys.executable), encoding="utf-8")
    assert "" == run("systemd-analyze", "verify", "--man=no", str(path))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_server_takes_the_variables(name):
    """Each variable is one of the server's, and has a value that it takes."""
    environment = ENVIRONMENTS[name]
    assert environment
    assert [] == unknown_variables(environment)
    settings = parse_settings([], environment)
    assert PORT == settings.port
    if name != "Dockerfile":
        assert settings.database_url is not None
        assert settings.token_file is not None


def test_no_other_variable_is_named():
    """The files and the page name no setting that there is not."""
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.iterdir()]
    names = set(re.findall(rf"\b{VARIABLE_PREFIX}\w+", "\n".join([*texts, PAGE])))
    assert names
    assert [] == unknown_variables(dict.fromkeys(names, ""))


def test_the_server_is_started_by_its_own_command():
    """The image and the unit run the server's module, and give no flag beside their variables."""
    (command,) = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert ["python", "-P", "-m", "server_stub"] == json.loads(command)
    (start,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert [PYTHON_OF_UNIT, "-P", "-m", "server_stub"] == start.split()


def test_the_health_check_of_the_image_asks_a_server(server):
    """It ends with 0 while a server is ready, and with another code once there is none."""
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(command)
    arguments = [one.replace(str(PORT), server.url.rpartition(":")[2]) for one in arguments]
    assert "" == run(sys.executable, *arguments)
    assert 0 == server.stop()
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    assert 1 == ended.returncode


def test_the_probes_ask_routes_that_there_are():
    """Each probe has a path that the server answers without a token, and the port of the image."""
    routes = create_app("postgresql:///never", Settings()).openapi()["paths"]
    (deployment,) = [one for one in documents("kubernetes.yml") if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert ["/healthz", "/healthz", "/readyz"] == [probe["path"] for probe in probes]
    assert {probe["path"] for probe in probes} <= set(routes)
    assert [{"name": "http", "containerPort": PORT}] == container["ports"]
    assert {"http"} == {probe["port"] for probe in probes}
    assert f"EXPOSE {PORT}\n" in DOCKERFILE


def test_paths_are_the_same_on_both_sides():
    """What is mounted, copied or loaded is where the server looks for it."""
    (compose,) = documents("compose.yml")
    tokens = ENVIRONMENTS["compose.yml"][f"{VARIABLE_PREFIX}TOKEN_FILE"]
    assert tokens == f"/run/secrets/{compose['services']['server']['secrets'][0]}"
    (deployment,) = [one for one in documents("kubernetes.yml") if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    (item,) = secret["items"]
    tokens = ENVIRONMENTS["kubernetes.yml"][f"{VARIABLE_PREFIX}TOKEN_FILE"]
    assert tokens == f"{mounts['secrets']}/{item['path']}"
    text = UNIT.read_text(encoding="utf-8")
    assert "LoadCredential=tokens:/etc/noetl-metrics/tokens.txt\n" in text
    assert "%d/tokens" == OF_UNIT[f"{VARIABLE_PREFIX}TOKEN_FILE"]
    for path in ("/etc/noetl-metrics/tokens.txt", "/etc/noetl-metrics/server.env"):
        assert path in text
        assert path in PAGE


def test_the_image_is_built_from_what_the_build_needs():
    """The files that the image's build may see are those from which the package is made."""
    lines = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    names = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / name).exists() for name in names)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = {"README.md", "LICENSE", "pyproject.toml", "setup.py", "build_backend", "MANIFEST.in"}
    assert {*needed, "noetl_metrics_sdk", "server_stub"} == set(names)
    assert 'readme = "README.md"' in project


def test_no_user_of_the_image_is_root():
    """The image, and the pod, run as a user without rights, and it is the same one."""
    (user,) = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert f"--uid {user} " in DOCKERFILE
    (deployment,) = [one for one in documents("kubernetes.yml") if one["kind"] == "Deployment"]
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert (True, int(user)) == (context["runAsNonRoot"], context["runAsUser"])
