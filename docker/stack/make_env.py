"""Makes what compose.yaml reads and nobody else shall have: `make stack-env [PROFILES="core metrics elk"]`.

`.env` (mode 0600): passwords by chance, profiles, whether the sidecar delivers to Elasticsearch.
`.stack/` (mode 0700): password files, what Prometheus scrapes and `sidecar health` asks in these profiles, and
Alertmanager's secrets, with placeholders to fill in. Passwords and Alertmanager's secrets that are there stay.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("core", "metrics", "elk")
PASSWORDS = ("ELASTIC_PASSWORD", "KIBANA_PASSWORD", "KIBANA_ENCRYPTION_KEY", "GRAFANA_PASSWORD")
TARGETS = {
    "core": {
        "model-sidecar": '- {targets: ["sidecar:9464"], labels: {service: wine}}\n',
        "node": '- {targets: ["node-exporter:9100"]}\n',
    },
    "metrics": {"cadvisor": '- {targets: ["cadvisor:8080"]}\n'},
    "elk": {},
}
"""Job of monitoring/prometheus/prometheus.yml -> its targets, where the profile is on."""
HEALTH = {
    "core": {
        "model": "{kind: model, url: 'http://localhost:8000'}",
        "sidecar": "{kind: sidecar, url: 'http://localhost:9464'}",
        "prometheus": "{kind: prometheus, url: 'http://localhost:9090'}",
        "alertmanager": "{kind: alertmanager, url: 'http://localhost:9093'}",
    },
    "metrics": {"grafana": "{kind: grafana, url: 'http://localhost:3000'}"},
    "elk": {
        "elasticsearch": "{kind: elasticsearch, url: 'http://localhost:9200', "
        "auth: {username: elastic, password_file: .stack/secrets/elastic-password}}",
        "logstash": "{kind: logstash, url: 'http://localhost:9600'}",
        "kibana": "{kind: kibana, url: 'http://localhost:5601'}",
    },
}
ALERTMANAGER = {
    "slack-url": "http://127.0.0.1:9/fill-in-the-address-of-a-slack-hook",
    "smtp-password": "fill-in",
    "pagerduty-routing-key": "fill-in",
}


def main() -> None:
    """Write the files; say where."""
    parser = argparse.ArgumentParser(description="What compose.yaml reads: .env and .stack/.")
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help="Profiles that run.  [default: core]")
    parser.add_argument("--root", type=Path, default=ROOT, help="Folder of compose.yaml.")
    given = parser.parse_args()
    profiles = given.profiles or ["core"]
    if unknown := set(profiles) - set(PROFILES):
        sys.exit(f"invalid profile: {', '.join(sorted(unknown))}; expected some of {', '.join(PROFILES)}")
    make(given.root, [profile for profile in PROFILES if profile in profiles])
    print(f"{given.root / '.env'} and {given.root / '.stack'}: profiles {', '.join(profiles)}")


def make(root: Path, profiles: list[str]) -> None:
    """All files, for those profiles."""
    passwords = _passwords(root / ".env")
    stack = root / ".stack"
    for folder in ("secrets", "targets", "alertmanager"):
        (stack / folder).mkdir(parents=True, exist_ok=True)
    # Nobody else comes through to the files, which users in containers have to be able to read.
    stack.chmod(0o700)
    for name, key in (("elastic-password", "ELASTIC_PASSWORD"), ("grafana-password", "GRAFANA_PASSWORD")):
        _write(stack / "secrets" / name, passwords[key], 0o644)
    for name, placeholder in ALERTMANAGER.items():
        if not (stack / "alertmanager" / name).exists():
            _write(stack / "alertmanager" / name, placeholder, 0o644)
    jobs = {job: text for profile in profiles for job, text in TARGETS[profile].items()}
    for file in sorted((ROOT / "monitoring" / "prometheus" / "targets").glob("*.yml")):
        _write(stack / "targets" / file.name, jobs.get(file.stem, "[]\n"), 0o644)
    asked = {name: text for profile in profiles for name, text in HEALTH[profile].items()}
    lines = [f"  - {{name: {name}, {text[1:]}" for name, text in asked.items()]
    _write(stack / "health-targets.yaml", "\n".join(["targets:", *lines, ""]), 0o644)
    delivers = "true" if "elk" in profiles else "false"
    settings = {
        "COMPOSE_PROFILES": ",".join(profiles),
        "SIDECAR_VERSION": _version(),
        "DELIVER_TO_ELASTICSEARCH": delivers,
        **passwords,
    }
    _write(root / ".env", "".join(f"{name}={value}\n" for name, value in settings.items()), 0o600)


def _passwords(file: Path) -> dict[str, str]:
    """Those of the file, and new ones."""
    text = file.read_text("utf-8") if file.exists() else ""
    there = dict(re.findall(r"(?m)^(\w+)=(.+)$", text))
    return {name: there.get(name) or secrets.token_urlsafe(32) for name in PASSWORDS}


def _version() -> str:
    found = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    if found is None:
        sys.exit("pyproject.toml has no version")
    return found[1]


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode)
    path.chmod(mode)
    path.write_text(text)


if __name__ == "__main__":
    main()
