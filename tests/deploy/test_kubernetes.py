"""
C{deploy/kubernetes/}: valid by the schemas of Kubernetes, which kubernetes-validate brings, and of one mind with each
other and with the Containerfile.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import freePort, running, script

from .support import DEPLOY, adapted, deployed, get
from .test_container import stages
from .test_systemd import SHUTDOWN

pytestmark = pytest.mark.reactorless

FILES = (
    "kubernetes/deployment.yaml",
    "kubernetes/hpa.yaml",
    "kubernetes/networkpolicy.yaml",
    "kubernetes/pdb.yaml",
    "kubernetes/service.yaml",
)
# The oldest and the newest that they are for; the wheel has the schemas of both.
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def manifest(name: str) -> dict[str, Any]:
    """
    The one that a file holds.
    """
    (found,) = yaml.safe_load_all(deployed(f"kubernetes/{name}.yaml"))
    assert isinstance(found, dict)
    return found


def container() -> dict[str, Any]:
    (found,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def option(name: str) -> list[str]:
    """
    What the container's options of this name are set to.
    """
    found = [argument.partition("=") for argument in container()["args"]]
    return [value for key, _, value in found if key == f"--{name}"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_valid(name: str, version: str) -> None:
    """
    Strictly: what no schema knows is an error.
    """
    for document in yaml.safe_load_all(deployed(name)):
        kubernetes_validate.validate(document, version, strict=True)


def test_theSchemasAreHeld() -> None:
    """
    It is no empty check.
    """
    wrong = manifest("deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_theyMeanTheSamePods() -> None:
    labels = manifest("deployment")["spec"]["template"]["metadata"]["labels"]
    spec = manifest("deployment")["spec"]
    for selector in (
        spec["selector"]["matchLabels"],
        spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        manifest("service")["spec"]["selector"],
        manifest("pdb")["spec"]["selector"]["matchLabels"],
        manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    target = manifest("hpa")["spec"]["scaleTargetRef"]
    deployment = manifest("deployment")
    assert (target["apiVersion"], target["kind"]) == (deployment["apiVersion"], deployment["kind"])
    assert target["name"] == deployment["metadata"]["name"]
    # Else each apply would undo what the autoscaler has done.
    assert "replicas" not in spec
    # A budget that lets one go, of more than one.
    assert manifest("hpa")["spec"]["minReplicas"] > manifest("pdb")["spec"]["maxUnavailable"]


def test_ports() -> None:
    ports = {each["name"]: each["containerPort"] for each in container()["ports"]}
    assert option("listen") == [f"tcp:{ports['http']}"]
    assert option("status") == [f"0.0.0.0:{ports['status']}"]
    assert {str(port) for port in ports.values()} == set(stages()[-1].one("EXPOSE").split())
    (service,) = manifest("service")["spec"]["ports"]
    assert service["targetPort"] == "http"
    everybody, prometheus = manifest("networkpolicy")["spec"]["ingress"]
    assert ("from" in everybody, everybody["ports"]) == (False, [{"port": "http"}])
    assert ("from" in prometheus, prometheus["ports"]) == (True, [{"port": "status"}])
    annotations = manifest("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["status"])


def test_probes() -> None:
    for name, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container()[name]["httpGet"] == {"path": path, "port": "status"}


def test_anEndHasItsTime() -> None:
    """
    Nobody is killed who still drains; and it is noticed that a pod drains before it stops listening.
    """
    (delay,) = map(int, option("drain-delay"))
    limits = dict(each.split("=") for each in option("limits"))
    grace = manifest("deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > delay + int(limits["drain"]) + SHUTDOWN
    probe = container()["readinessProbe"]
    assert delay > probe["periodSeconds"] * probe["failureThreshold"]
    assert float(limits["drainIdle"]) > 0


def test_hardened() -> None:
    """
    What Kubernetes calls the restricted level of its Pod Security Standards, and a root that is read-only.
    """
    pod = manifest("deployment")["spec"]["template"]["spec"]
    user, group = stages()[-1].one("USER").split(":")
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert set(container()["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container()["resources"]["limits"]
    assert not re.search(r"(:|/)[a-z]+:latest|image: [^:]+$", deployed("kubernetes/deployment.yaml"), re.MULTILINE)


def test_whatItRuns(tmp_path: Path) -> None:
    """
    The container's arguments serve the app; its probes and the autoscaler's metric are there, when asked by the pod's
    address.
    """
    (tmp_path / "shop.py").write_bytes((DEPLOY / "shop.py").read_bytes())
    port, status = freePort(), freePort()
    text = adapted(json.dumps(container()["args"]), {"tcp:8080": f"tcp:{port}", "0.0.0.0:9000": f"0.0.0.0:{status}"})
    entry = json.loads(stages()[-1].one("ENTRYPOINT"))[1:]
    with running([script("twistd"), *entry, *json.loads(text)], tmp_path) as process:
        process.waitForPorts(port, status)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert get(status, container()[probe]["httpGet"]["path"])[0] == 200
        gauges = {
            family.name: family.type for family in text_string_to_metric_families(get(status, "/metrics")[1].decode())
        }
        (pods, _) = manifest("hpa")["spec"]["metrics"]
        assert gauges[pods["pods"]["metric"]["name"]] == "gauge"
        process.process.send_signal(signal.SIGTERM)
        process.waitForOutput("/readyz says draining")
        assert get(status, "/readyz")[0] == 503
        assert get(status, "/healthz")[0] == 200
        process.process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
