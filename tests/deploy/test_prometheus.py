"""
C{deploy/prometheus/} and C{deploy/grafana-dashboard.json}: what they ask for is what C{/metrics} really has.
"""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import PATIENCE
from tests.support import needsTool
from wasinet_twisted.http import WasiRequest
from wasinet_twisted.server import Statistics, StatusApp

from .support import adapted, deployed

pytestmark = pytest.mark.reactorless

CONFIGURATION = "prometheus/prometheus.yml"
ALERTS = "prometheus/alerts.yml"
DASHBOARD = "grafana-dashboard.json"

# What Prometheus adds to each sample.
ADDED = {"job", "instance"}


@cache
def samples() -> dict[str, set[str]]:
    """
    The labels of each sample that a server gives, which has seen all that there is to be counted.
    """
    statistics = Statistics()
    statistics.opened()
    statistics.requests += 1
    statistics.answered(200, 0.1, 1)
    statistics.refused(408, "head timeout")
    statistics.dropped("idle")
    text = StatusApp(statistics)(WasiRequest("GET", "/metrics")).text()
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    """
    All alerts.
    """
    return [rule for group in yaml.safe_load(deployed(ALERTS))["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found = json.loads(deployed(DASHBOARD))
    assert isinstance(found, dict)
    return found


def plain(query: str) -> str:
    """
    A query of Grafana's, with its variables filled in.
    """
    filled = query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
    assert "$" not in filled
    return filled


def queries() -> list[str]:
    """
    All that is asked of Prometheus.
    """
    found = [rule["expr"] for rule in rules()]
    page = dashboard()
    found += [plain(target["expr"]) for panel in page["panels"] for target in panel["targets"]]
    found += [plain(each["expr"]) for each in page["annotations"]["list"]]
    return found


def test_theSamplesAreThere() -> None:
    """
    And the labels, which are what is summed by and selected by.
    """
    for query in queries():
        selected = re.findall(r"\b((?:wasinet|process|python)_\w+|up)\b(?:\{([^}]*)\})?", query)
        assert selected, query
        known = set(ADDED)
        for name, matchers in selected:
            assert name in samples(), f"/metrics has no {name}: {query}"
            labels = samples()[name] | ADDED
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)) <= labels, query
            known |= labels
        for grouped in re.findall(r"\bby \(([^)]*)\)", query):
            assert {label.strip() for label in grouped.split(",")} <= known, query


def test_theLegendsHaveTheirLabels() -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                grouped = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                assert all(label in each for each in grouped), target
                assert grouped or label in ADDED, target


def test_everythingThatIsCountedIsShown() -> None:
    """
    On the dashboard: each of ours, in one form or another.
    """
    text = deployed(DASHBOARD)
    for name in samples():
        if name.startswith("wasinet_"):
            assert name in text, name


def test_theDashboard() -> None:
    """
    No panel lies on another, and each has its own number and the data source that is chosen.
    """
    page = dashboard()
    assert len({panel["id"] for panel in page["panels"]}) == len(page["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [each["name"] for each in page["templating"]["list"]] == ["datasource", "job", "instance"]


def test_promtoolTakesThem(tmp_path: Path) -> None:
    """
    The configuration and the alerts; and each query of the dashboard, as a rule.
    """
    program = needsTool("promtool")
    asked = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))
    (tmp_path / "alerts.yml").write_text(deployed(ALERTS))
    # Debian's is built without Kubernetes: there, the pods come from a file.
    text = adapted(
        deployed(CONFIGURATION),
        {"kubernetes_sd_configs:\n      - role: pod\n": "file_sd_configs:\n      - files: [pods.json]\n"},
    )
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "pods.json").write_text("[]")
    for command in (["config", "prometheus.yml"], ["rules", "alerts.yml", "asked.yml"]):
        checked = subprocess.run(
            [program, "check", *command], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_theJobs() -> None:
    """
    Servers are asked at the status port that the other files give them.
    """
    jobs = {job["job_name"]: job for job in yaml.safe_load(deployed(CONFIGURATION))["scrape_configs"]}
    assert set(jobs) == {"wasinet", "haproxy", "pods"}
    servers = re.findall(r"^    server \w+ ([\d.]+):8080", deployed("haproxy.cfg"), re.MULTILINE)
    (checked,) = re.findall(r" check port (\d+) ", deployed("haproxy.cfg"))
    (wasinet,) = jobs["wasinet"]["static_configs"]
    assert wasinet["targets"] == [f"{server}:{checked}" for server in servers]
    (haproxy,) = jobs["haproxy"]["static_configs"]
    assert f"bind {haproxy['targets'][0]}" in deployed("haproxy.cfg")
    # Whoever scales by a metric finds it by these.
    assert {rule.get("target_label") for rule in jobs["pods"]["relabel_configs"]} >= {"namespace", "pod"}
    assert all('job=~"wasinet|pods"' in rule["expr"] for rule in rules() if "process_" in rule["expr"])


# What servers tell, a sample a minute; after how long there is an alert, with which labels, and what it says.
CASES: list[tuple[str, dict[str, str], str, dict[str, str], str]] = [
    (
        "ServerDown",
        {'up{job="wasinet",instance="a:9000"}': "1 0 0 0"},
        "3m",
        {"instance": "a:9000"},
        "a:9000 has not answered /metrics for a minute",
    ),
    (
        "ServerErrors",
        {
            'wasinet_answers_total{job="wasinet",instance="a:9000",status="200"}': "0+970x20",
            'wasinet_answers_total{job="wasinet",instance="a:9000",status="503"}': "0+30x20",
        },
        "15m",
        {},
        "3% of the answers of wasinet are errors of the server",
    ),
    (
        "SlowAnswers",
        {
            'wasinet_answer_seconds_bucket{job="wasinet",instance="a:9000",le="1.048576"}': "0+900x30",
            'wasinet_answer_seconds_bucket{job="wasinet",instance="a:9000",le="4.194304"}': "0+1000x30",
            'wasinet_answer_seconds_bucket{job="wasinet",instance="a:9000",le="+Inf"}': "0+1000x30",
        },
        "20m",
        {},
        "one of a hundred answers of wasinet takes more than 3.88s",
    ),
    (
        "RequestsAbandoned",
        {
            'wasinet_requests_abandoned_total{job="wasinet",instance="a:9000"}': "0+10x30",
            'wasinet_requests_total{job="wasinet",instance="a:9000"}': "0+100x30",
        },
        "20m",
        {"instance": "a:9000"},
        "10% of the requests at a:9000 are abandoned",
    ),
    (
        "CoreBusy",
        {'process_cpu_seconds_total{job="pods",instance="a:9000"}': "0+57x30"},
        "20m",
        {"job": "pods", "instance": "a:9000"},
        "a:9000 uses 95% of its core: add a process",
    ),
    (
        "DescriptorsRunOut",
        {
            'process_open_fds{job="pods",instance="a:9000"}': "900x30",
            'process_max_fds{job="pods",instance="a:9000"}': "1024x30",
        },
        "20m",
        {"job": "pods", "instance": "a:9000"},
        "a:9000 has 87.89% of its file descriptors in use",
    ),
    (
        "MemoryGrows",
        {'process_resident_memory_bytes{job="pods",instance="a:9000"}': "1e8+1e7x120"},
        "2h",
        {"job": "pods", "instance": "a:9000"},
        "a:9000 would have 3.446GiB of memory in four hours",
    ),
    (
        "Restarts",
        {'process_start_time_seconds{job="pods",instance="a:9000"}': "0+60x20"},
        "16m",
        {"job": "pods", "instance": "a:9000"},
        "a:9000 has been restarted 15 times in a quarter of an hour",
    ),
]


def test_eachAlertHasACase() -> None:
    assert [rule["alert"] for rule in rules()] == [name for name, *_ in CASES]
    for rule in rules():
        assert set(rule["labels"]) == {"severity"}
        assert set(rule["annotations"]) == {"summary"}


def test_theAlerts(tmp_path: Path) -> None:
    """
    Each comes when it is to, and a server that does well brings none.
    """
    program = needsTool("promtool")
    well = {
        'up{job="wasinet",instance="a:9000"}': "1x120",
        'wasinet_answers_total{job="wasinet",instance="a:9000",status="200"}': "0+1000x120",
        'wasinet_answer_seconds_bucket{job="wasinet",instance="a:9000",le="0.016384"}': "0+1000x120",
        'wasinet_answer_seconds_bucket{job="wasinet",instance="a:9000",le="+Inf"}': "0+1000x120",
        'wasinet_requests_abandoned_total{job="wasinet",instance="a:9000"}': "0+1x120",
        'wasinet_requests_total{job="wasinet",instance="a:9000"}': "0+1000x120",
        'process_cpu_seconds_total{job="wasinet",instance="a:9000"}': "0+30x120",
        'process_open_fds{job="wasinet",instance="a:9000"}': "100x120",
        'process_max_fds{job="wasinet",instance="a:9000"}': "1024x120",
        'process_resident_memory_bytes{job="wasinet",instance="a:9000"}': "1e8x120",
        'process_start_time_seconds{job="wasinet",instance="a:9000"}': "60x120",
    }
    (tmp_path / "alerts.yml").write_text(deployed(ALERTS))
    tests: list[dict[str, Any]] = []
    for name, told, when, labels, summary in CASES:
        (rule,) = [rule for rule in rules() if rule["alert"] == name]
        for series, expected in ((told, True), (well, False)):
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": key, "values": values} for key, values in series.items()],
                    "alert_rule_test": [{"alertname": name, "eval_time": when, "exp_alerts": []}],
                }
            )
            if expected:
                tests[-1]["alert_rule_test"][0]["exp_alerts"] = [
                    {
                        "exp_labels": {"severity": rule["labels"]["severity"], "job": "wasinet", **labels},
                        "exp_annotations": {"summary": summary},
                    }
                ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": tests}))
    checked = subprocess.run(
        [program, "test", "rules", "tests.yml"], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
