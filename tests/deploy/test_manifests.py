"""Tests of the files for service managers, Kubernetes and Prometheus, by the checkers of those."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mcpgateway.cli.balancers.configurations import NodeBehind, haproxy
from mcpgateway.cluster.key_file import KEY_VARIABLE, read_key
from mcpgateway.cluster.membership import octets_of
from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http import metrics
from mcpgateway.frontends.http.nodes.metrics import CLUSTER_FAMILIES
from tests.support.gateway import BIN, LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PROMTOOL = ROOT / "build" / "promtool" / "usr" / "bin" / "promtool"
OF_HISTOGRAMS = re.compile(r"_(?:bucket|sum|count)$")


def ran(*argv: str, cwd: Path = ROOT, **environ: str) -> str:
    """Run a checker, which has to find no fault; return its output."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def manifests() -> dict[str, Any]:
    """The resources for Kubernetes, by kind and name."""
    texts = [path.read_text() for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml"]
    found = [each for text in texts for each in YAML(typ="safe").load_all(text)]
    return {f"{each['kind']} {each['metadata']['name']}": each for each in found}


class SystemdTests:
    """The template unit."""

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
    def test_unit(self, tmp_path: Path) -> None:
        """The checker of systemd finds no fault in the unit of a node."""
        text = (DEPLOY / "systemd" / "mcpgateway@.service").read_text()
        (tmp_path / "mcpgateway@.service").write_text(text.replace("/opt/mcpgateway/bin", str(BIN)))
        assert ran("systemd-analyze", "verify", str(tmp_path / "mcpgateway@a.service")) == ""

    def test_time_to_stop(self) -> None:
        """The unit and the pod wait longer for the end of a node than its drain takes by default."""
        unit = (DEPLOY / "systemd" / "mcpgateway@.service").read_text()
        pod = manifests()["StatefulSet mcpgateway"]["spec"]["template"]["spec"]
        assert int(unit.partition("TimeoutStopSec=")[2].partition("\n")[0]) > 600
        assert pod["terminationGracePeriodSeconds"] > 600


class KubernetesTests:
    """The manifests."""

    def test_schema(self) -> None:
        """Every manifest fits the schema of its kind, and has no key that the schema does not know."""
        paths = [str(path) for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml"]
        said = ran(sys.executable, "-m", "kubernetes_validate", "--strict", *paths)
        assert said.count(" passed for resource ") == len(manifests())

    def test_whole(self) -> None:
        """The list of resources names every file."""
        listed = YAML(typ="safe").load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
        assert {*listed, "kustomization.yaml"} == {path.name for path in KUBERNETES.glob("*.yaml")}

    def test_names(self) -> None:
        """Services, the policy and the budget select the pods; the pods find their ConfigMap and Secret."""
        found = manifests()
        pod = found["StatefulSet mcpgateway"]["spec"]["template"]
        labels = pod["metadata"]["labels"]
        selected = [
            found["StatefulSet mcpgateway"]["spec"]["selector"]["matchLabels"],
            found["Service mcpgateway"]["spec"]["selector"],
            found["Service mcpgateway-nodes"]["spec"]["selector"],
            found["PodDisruptionBudget mcpgateway"]["spec"]["selector"]["matchLabels"],
            found["NetworkPolicy mcpgateway"]["spec"]["podSelector"]["matchLabels"],
        ]
        assert selected == [labels] * 5
        (container,) = pod["spec"]["containers"]
        wanted = {
            each["valueFrom"]["secretKeyRef"]["key"]
            for each in container["env"]
            if "secretKeyRef" in each["valueFrom"]
        }
        assert wanted == set(found["Secret mcpgateway"]["stringData"])
        assert {each["name"] for each in container["volumeMounts"]} == {
            *(each["name"] for each in pod["spec"]["volumes"]),
            *(
                each["metadata"]["name"]
                for each in found["StatefulSet mcpgateway"]["spec"]["volumeClaimTemplates"]
            ),
        }

    def test_configuration(self, tmp_path: Path) -> None:
        """The configuration in the ConfigMap is valid with the variables that the pods have."""
        found = manifests()
        path = tmp_path / "config.yaml"
        path.write_text(found["ConfigMap mcpgateway"]["data"]["config.yaml"])
        pod = found["StatefulSet mcpgateway"]["spec"]["template"]["spec"]["containers"][0]
        environ = {each["name"]: f"postgresql://u@h/{each['name'].lower()}" for each in pod["env"]}
        environ |= {"HOSTNAME": "mcpgateway-0", "POD_IP": "10.1.2.3", "HOME": str(tmp_path)}
        ran(str(BIN / "mcpgateway"), "--home", str(tmp_path), "config", "check", str(path), **environ)

    def test_placeholder(self) -> None:
        """A node refuses the key that stands in the Secret as an example."""
        key = manifests()["Secret mcpgateway"]["stringData"]["cluster-key"]
        with pytest.raises(ConfigError, match="at least 32 characters"):
            read_key(ClusterSettings(), {KEY_VARIABLE: key})


class ComposeTests:
    """The compose file."""

    def test_variables(self, tmp_path: Path) -> None:
        """The script writes all variables that the file demands, for its owner alone, once."""
        shutil.copy(DEPLOY / "compose" / "secrets.sh", tmp_path)
        ran("sh", str(tmp_path / "secrets.sh"))
        made = tmp_path / ".env"
        assert made.stat().st_mode & 0o777 == 0o600
        variables = dict(line.split("=", 1) for line in made.read_text().splitlines())
        demanded = re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose" / "compose.yaml").read_text())
        assert set(demanded) == set(variables)
        assert min(map(len, variables.values())) >= 32
        assert len(set(variables.values())) == len(variables)
        before = made.read_text()
        ran("sh", str(tmp_path / "secrets.sh"))
        assert made.read_text() == before

    def test_services(self) -> None:
        """Every node has a name and a home of its own, only the balancer has a port, and networks and volumes exist."""
        found = YAML(typ="safe").load((DEPLOY / "compose" / "compose.yaml").read_text())
        nodes = {name: found["services"][name] for name in "abc"}
        assert [each["hostname"] for each in nodes.values()] == list(nodes)
        assert [each["volumes"] for each in nodes.values()] == [
            ["./:/deploy:ro", f"{name}:/home/gateway"] for name in nodes
        ]
        assert [name for name, each in found["services"].items() if "ports" in each] == ["balancer"]
        named = {network for each in found["services"].values() for network in each["networks"]}
        assert named == set(found["networks"])
        assert {"store", *nodes} == set(found["volumes"])

    def test_balancer(self) -> None:
        """The configuration of HAProxy is that of the three nodes, by their names."""
        nodes = [NodeBehind(name, octets_of(name), f"{name}:9100") for name in "abc"]
        assert (DEPLOY / "compose" / "haproxy.cfg").read_text() == haproxy(nodes, 9100)


class PrometheusTests:
    """The alerts."""

    @pytest.mark.skipif(not PROMTOOL.exists(), reason="make test-cluster brings promtool")
    def test_alerts(self) -> None:
        """The tests of the alerts hold: each alert fires when it has to, and not before."""
        ran(str(PROMTOOL), "check", "rules", "--lint-fatal", "alerts.yaml", cwd=DEPLOY / "prometheus")
        ran(str(PROMTOOL), "test", "rules", "alerts_test.yaml", cwd=DEPLOY / "prometheus")

    def test_metrics(self) -> None:
        """The alerts name metrics that a gateway has."""
        rules = YAML(typ="safe").load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
        text = " ".join(rule["expr"] for group in rules for rule in group["rules"])
        named = {OF_HISTOGRAMS.sub("", each) for each in re.findall(r"\b((?:mcpgateway|process)_\w+)", text)}
        assert named <= {each.name for each in (*metrics.FAMILIES, *CLUSTER_FAMILIES)}
        tested = (DEPLOY / "prometheus" / "alerts_test.yaml").read_text()
        assert [
            rule["alert"] for group in rules for rule in group["rules"] if rule["alert"] not in tested
        ] == []
