"""docs/deploy.md and deploy/kubernetes/values.yaml: what they name exists; both deployments have the same settings."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/deploy.md").read_text()
METRICS = (ROOT / "docs/metrics.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
VALUES = yaml.safe_load((ROOT / "deploy/kubernetes/values.yaml").read_text())
IN_CODE = "\n".join(
    path.read_text() for folder in ("include", "plugins", "dags") for path in (ROOT / folder).rglob("*.py")
)
BLOCKS = re.findall(r"^ *```bash\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)

# Keys of the chart, version 1.22.0, as docs/deploy.md says where they were looked up. "*": any key below.
CHART_KEYS = {
    "executor",
    "airflowVersion",
    "images.airflow.repository",
    "images.airflow.tag",
    "fernetKeySecretName",
    "apiSecretKeySecretName",
    "jwtSecretName",
    "data.metadataSecretName",
    "secret",
    "postgresql.enabled",
    "env",
    "config.*",  # sections and options of airflow.cfg: checked against Airflow itself
    "migrateDatabaseJob.args",
    "createUserJob.defaultUser.username",
    "createUserJob.defaultUser.role",
    "createUserJob.defaultUser.email",
    "createUserJob.defaultUser.firstName",
    "createUserJob.defaultUser.lastName",
    "workers.kubernetes.terminationGracePeriodSeconds",
    "workers.kubernetes.resources.*",
    "scheduler.resources.*",
    "dagProcessor.resources.*",
    "triggerer.persistence.enabled",
    "triggerer.resources.*",
    "apiServer.resources.*",
}

# What compose has to say and the chart says itself, or what belongs to Celery alone.
OF_THE_CHART = {
    "AIRFLOW__CORE__EXECUTOR": "executor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "config.core.load_examples",
    "AIRFLOW__CORE__FERNET_KEY": "fernetKeySecretName",
    "AIRFLOW__API__SECRET_KEY": "apiSecretKeySecretName",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwtSecretName",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "data.metadataSecretName",
}
OF_COMPOSE = {
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",  # the chart's configmap has its own service's
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",  # the chart takes FAB
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK",  # the chart asks `airflow jobs check`
}
DIFFERENT = {"ULTRALINK_STORE"}  # object storage in the one, a folder in the other
KUBERNETES_EXECUTOR = {  # options of the provider, which is in the image and not in our lock
    "delete_worker_pods",
    "delete_worker_pods_on_failure",
    "worker_pods_creation_batch_size",
}


def leaves(node: object, path: str = "") -> set[str]:
    """Dotted paths of all values; a list is a value."""
    if not isinstance(node, dict):
        return {path}
    return {leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}" if path else key)}


def at(path: str) -> object:
    node: object = VALUES
    for key in path.split("."):
        assert isinstance(node, dict)
        node = node[key]
    return node


def compose_environment() -> dict[str, str]:
    """What compose gives to every Airflow process, with .env.example's defaults for what is optional."""
    given = COMPOSE["x-airflow"]["environment"]
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)) for name, value in given.items()}


def chart_environment() -> dict[str, str]:
    return {each["name"]: each["value"] for each in VALUES["env"]}


def has_option(section: str, option: str) -> bool:
    """Airflow, or a provider that is installed, knows the option."""
    from airflow.configuration import conf

    if section == "kubernetes_executor":
        return option in KUBERNETES_EXECUTOR
    return conf.get(section, option, fallback=None) is not None or option in conf.configuration_description.get(
        section, {}
    ).get("options", {})


def setting(name: str) -> tuple[str, str]:
    section, _, option = name.removeprefix("AIRFLOW__").partition("__")
    return section.lower(), option.lower()


# --- Kubernetes ---------------------------------------------------------------------------------------


def test_every_key_is_the_charts() -> None:
    anywhere = tuple(key.removesuffix("*") for key in CHART_KEYS if key.endswith("*"))
    unknown = {leaf for leaf in leaves(VALUES) if leaf not in CHART_KEYS and not leaf.startswith(anywhere)}
    assert unknown == set()


def test_both_deployments_have_the_same_settings() -> None:
    ours, theirs = chart_environment(), compose_environment()
    secrets = {each["envName"] for each in VALUES["secret"]}
    for name, value in theirs.items():
        if name.startswith("AIRFLOW__CELERY") or name in OF_COMPOSE:
            continue
        if name in OF_THE_CHART:
            assert at(OF_THE_CHART[name]), name
        elif name.startswith("AIRFLOW_CONN_"):
            assert name in secrets
        else:
            assert name in ours, f"docker-compose.yaml has {name}, values.yaml has not"
            assert name in DIFFERENT or ours[name] == value, name
    only_here = ours.keys() - theirs.keys()
    assert only_here == {"AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"}
    assert not any(ours[name] == theirs[name] for name in DIFFERENT)
    assert (OF_THE_CHART.keys() | OF_COMPOSE | DIFFERENT) <= theirs.keys(), "an exception for what is no longer there"
    assert not any(re.search("PASSWORD|SECRET|FERNET", name) for name in ours), "secrets are in Secrets"


def test_environment_and_config_of_the_chart_exist() -> None:
    for name in chart_environment():
        if name.startswith("AIRFLOW__"):
            assert has_option(*setting(name)), name
        else:
            assert f'"{name}"' in IN_CODE, name
    for section, options in VALUES["config"].items():
        for option in options:
            assert has_option(section, option), f"[{section}] {option}"


def test_the_image_and_the_pools_are_ours() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    version = VALUES["airflowVersion"]
    assert f"FROM apache/airflow:{version}-" in dockerfile
    assert f"Airflow {version}" in TEXT
    image = VALUES["images"]["airflow"]
    assert f"{image['repository']}:{image['tag']}" in TEXT
    job = VALUES["migrateDatabaseJob"]["args"][-1]
    assert job.startswith("airflow db migrate")
    (path,) = re.findall(r"/opt/airflow/(\S+\.json)", job)
    assert (ROOT / path).is_file()
    assert path.split("/")[0] in re.findall(r"^COPY \S+ (\w+) ", dockerfile, re.MULTILINE)
    assert f"pools import /opt/airflow/{path}" in str(COMPOSE["services"]["airflow-init"]["command"])


def test_every_secret_of_the_chart_is_made_in_the_guide() -> None:
    named = {VALUES["data"]["metadataSecretName"]: "connection"} | {
        VALUES[f"{key}SecretName"]: literal
        for key, literal in (("fernetKey", "fernet-key"), ("apiSecretKey", "api-secret-key"), ("jwt", "jwt-secret"))
    }
    wanted = set(named.items()) | {(each["secretName"], each["secretKey"]) for each in VALUES["secret"]}
    made = set()
    for command in re.findall(r"create secret generic (.*?)(?=\nkubectl|\nhelm)", TEXT, re.DOTALL):
        name, _, rest = command.partition(" ")
        made |= {(name, literal) for literal in re.findall(r"--from-literal=([\w-]+)=", rest)}
    assert made == wanted


def test_the_chart_is_the_one_that_was_looked_up() -> None:
    versions = set(re.findall(r"--version (\S+)", TEXT)) | set(re.findall(r"chart,\s+version ([\d.]+\d)", TEXT))
    assert versions == {"1.22.0"}
    assert "version 1.22.0" in (ROOT / "deploy/kubernetes/values.yaml").read_text()


# --- the guide ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TEXT, METRICS], ids=["deploy", "metrics"])
def test_settings_of_airflow_exist(text: str) -> None:
    names = set(re.findall(r"AIRFLOW__[A-Z_]+[A-Z]", text))
    assert names
    for name in names:
        assert has_option(*setting(name)), name


def test_our_own_settings_exist() -> None:
    for name in set(re.findall(r"\b(ULTRALINK_[A-Z]+)\b", TEXT)):
        assert f'"{name}"' in IN_CODE, name
    example = (ROOT / ".env.example").read_text()
    for name in ("AIRFLOW_UID", "WORKER_CONCURRENCY", "AIRFLOW_CONN_OPENAI_DEFAULT"):
        assert name in TEXT
        assert re.search(rf"^{name}=", example, re.MULTILINE), name


def test_services_and_files_exist() -> None:
    services = set(re.findall(r"`(?:[^`\n]* )?(airflow-[a-z-]+)(?:=\d)?`", TEXT))
    assert services
    assert services <= set(COMPOSE["services"])
    named = set(re.findall(r"`([\w./-]+\.(?:yaml|json|txt|md|example))`", TEXT))
    files = named - {"config/passwords.json"}  # which the reader makes
    assert len(files) > 4
    for name in files:
        assert (ROOT / name).exists(), name


def test_commands_of_airflow_and_ultralink_parse() -> None:
    from airflow.cli.cli_parser import get_parser

    from ultralink.__main__ import main

    commands = {line.strip() for block in BLOCKS for line in block.splitlines()} | set(re.findall(r"`([^`\n]+)`", TEXT))
    seen = 0
    for command in commands:
        if not command.startswith(("airflow ", "python -m ultralink")):
            continue
        words = shlex.split(command, comments=True)
        if words[0] == "airflow":
            get_parser().parse_args(words[1:])
            seen += 1
        else:
            with pytest.raises(SystemExit) as ended:
                main([*words[3:], "--help"])
            assert ended.value.code == 0, command
            seen += 1
    assert seen >= 5


@pytest.mark.parametrize("backend", ["SecretsManagerBackend", "LocalFilesystemBackend"])
def test_a_secrets_backend_takes_what_the_guide_gives_it(backend: str) -> None:
    from airflow.sdk._shared.module_loading import import_string

    ((path,), (kwargs,)) = (
        re.findall(rf"(airflow\.[\w.]+\.{backend})", TEXT),
        re.findall(rf"{backend}.*?({{\"conn.*?}})", TEXT, re.DOTALL),
    )
    import_string(path)(**json.loads(kwargs))


def test_what_it_says_of_times_is_composes() -> None:
    environment = compose_environment()
    assert f"after {environment['AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT']} to 65 s" in TEXT
    tries = int(environment["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"])
    least = (tries - 1) * int(environment["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN"])
    assert f"for up to {least} s" in TEXT
    assert COMPOSE["services"]["airflow-worker"]["stop_grace_period"] == "2m"


def test_it_is_linked() -> None:
    assert "docs/deploy.md" in (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
