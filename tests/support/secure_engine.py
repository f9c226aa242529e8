"""An Elasticsearch with its security on: HTTPS, users, roles and API keys. The distribution for integration tests has
that module, where OpenSearch's has none. What it lacks for API keys, a plugin adds (`email_analysis/`)."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import ssl
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.deliver.elasticsearch.templates import load
from support.certificates import Authority, Pair, authority
from support.engines import EngineUnavailable, find_java
from support.engines.cache import command
from support.engines.search import ELASTICSEARCH_9, READY_SECONDS, SearchEngine

ADMIN, PASSWORD = "admin", "correct horse"
PLUGIN = Path(__file__).parent / "email_analysis" / "EmailAnalysis.java"


@dataclass(frozen=True)
class SecureNode:
    """A running node that takes HTTPS only."""

    port: int
    ca: Authority
    client: Pair
    """Certificate of a client: the node takes no connection without one."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request of the administrator: (status, JSON)."""
        context = ssl.create_default_context(cafile=str(self.ca.cert))
        context.load_cert_chain(self.client.cert, self.client.key)
        pair = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            headers = {"content-type": "application/json", "authorization": f"Basic {pair}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        finally:
            connection.close()

    def key_of_role(self, name: str) -> str:
        """A new API key that may do what the shipped role of that name may, and no more."""
        body = {"name": name, "role_descriptors": {name: load("elasticsearch", "roles")[name]}}
        status, made = self.call("POST", "/_security/api_key", body)
        assert status == 200, made
        return str(made["encoded"])


@contextmanager
def secure_elasticsearch(folder: Path) -> Iterator[SecureNode]:
    """A running Elasticsearch 9.5 with an administrator; its authority's files are in `folder`."""
    ca = authority(folder)
    pair = ca.issue("node")
    settings = {
        "xpack.security.enabled": True,
        "xpack.security.http.ssl.enabled": True,
        "xpack.security.http.ssl.certificate": "node.pem",
        "xpack.security.http.ssl.key": "node.key",
        "xpack.security.http.ssl.certificate_authorities": ["ca.pem"],
        "xpack.security.http.ssl.client_authentication": "required",
        "xpack.security.authc.api_key.enabled": True,
        "xpack.security.autoconfiguration.enabled": False,
        "xpack.security.transport.ssl.enabled": False,
    }
    engine = SearchEngine(ELASTICSEARCH_9, settings)
    install_plugin(engine.home)
    config = engine.home / "config"
    for source, name in ((pair.cert, "node.pem"), (pair.key, "node.key"), (ca.cert, "ca.pem")):
        shutil.copy(source, config / name)
    (config / "users").write_text(f"{ADMIN}:{_hash(PASSWORD)}\n")
    (config / "users_roles").write_text(f"superuser:{ADMIN}\n")
    for path in config.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
    node = SecureNode(engine.port, ca, ca.issue("client"))
    keep = True
    try:
        engine.child.start()
        health = "/_cluster/health?wait_for_status=yellow&timeout=1s"
        engine.child.wait_until(lambda: node.call("GET", health)[0] == 200, READY_SECONDS)
        keep = False
        yield node
    finally:
        engine.child.stop(timeout=60)
        if not keep:
            engine.remove()


def _hash(password: str) -> str:
    """As the engine's file of users has it: PBKDF2 with HMAC-SHA512."""
    rounds, salt = 10_000, bytes(range(32))
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def install_plugin(home: Path) -> None:
    """Where the distribution for integration tests lacks what the security index asks for: passwords and API keys."""
    java = find_java(ELASTICSEARCH_9.java, ELASTICSEARCH_9.java_tried)
    compiler, folder = java / "bin" / "javac", home / "plugins" / "email-analysis"
    if not compiler.exists():
        raise EngineUnavailable(f"{java} has no javac: no API keys on the engine of tests")
    classes = home / "classes"
    libraries = f"{home / 'lib'}/*"
    command([compiler, "--release", "21", "-cp", libraries, "-d", classes, PLUGIN], "compile a plugin", 120)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "email-analysis.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.write(path, str(path.relative_to(classes)))
    version = ELASTICSEARCH_9.version
    (folder / "plugin-descriptor.properties").write_text(
        f"name=email-analysis\ndescription=for tests\nversion=1\nelasticsearch.version={version}\njava.version=21\n"
        "classname=sidecar.tests.EmailAnalysis\n"
    )
