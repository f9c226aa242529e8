"""Files and flags of a node's programs: certificates, accounts, addresses."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

import yaml

from support import certificates

ADDRESS = "192.168.77.1"
"""Of the node; also what pods ask for names."""
POD_NETWORK = "10.244.0.0/24"
_SERVICES = "10.96.0.0/24"
_API_NAMES = (
    f"IP:127.0.0.1,IP:{ADDRESS},IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local"
)
NODE = "node"


class Settings:
    """What is written below `home`, and the flags that name it."""

    def __init__(self, home: Path, cgroup: str) -> None:
        self.home, self.cgroup = home, cgroup
        # Where the kubelet's cAdvisor looks for it: without containerd it has the groups, and no pods to them.
        self.socket = Path("/run/containerd/containerd.sock")
        self.kubeconfig = home / "admin.kubeconfig"

    def write(self, cni: Path, runc: Path) -> None:
        """All files. cni, runc: where plugins and runtime are."""
        authority = certificates.authority(self.home)
        authority.issue("apiserver", _API_NAMES)
        authority.issue("front-proxy")
        authority.issue("kubelet", f"IP:{ADDRESS},DNS:{NODE}")
        certificates.authority(self.home, "accounts")
        token = secrets.token_hex(16)
        self._private("tokens.csv", f'{token},admin,1,"system:masters"\n')
        self._private("admin.kubeconfig", yaml.safe_dump(self._access(authority.cert, token)))
        (self.home / "containerd.toml").write_text(self._containerd(cni, runc))
        (self.home / "cni").mkdir()
        (self.home / "cni" / "10.conflist").write_text(json.dumps(self._network()))
        (self.home / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet()))
        (self.home / "Corefile").write_text(self._names())

    def _private(self, name: str, text: str) -> None:
        path = self.home / name
        path.touch(0o600)
        path.write_text(text)

    def _access(self, authority: Path, token: str) -> dict[str, object]:
        data = base64.b64encode(authority.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": data}}
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "admin"}}],
            "current-context": "c",
        }

    def _containerd(self, cni: Path, runc: Path) -> str:
        return f"""version = 2
root = "{self.home}/containerd"
state = "{self.home}/containerd-state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{self.home}/cni"
"""

    def _network(self) -> dict[str, object]:
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self.home / "cni-data"),
        }
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}

    def _kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(self.home / "kubelet.pem"),
            "tlsPrivateKeyFile": str(self.home / "kubelet.key"),
            "address": ADDRESS,
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
        }

    def _names(self) -> str:
        cluster = f"kubernetes cluster.local {{\n  kubeconfig {self.kubeconfig}\n  pods insecure\n }}"
        return f".:53 {{\n bind {ADDRESS}\n {cluster}\n}}\n"

    def flags(self) -> dict[str, list[str]]:
        """By program."""
        client = f"--kubeconfig={self.kubeconfig}"
        local = ["--bind-address=127.0.0.1"]
        return {
            "etcd": [
                f"--data-dir={self.home}/etcd",
                "--unsafe-no-fsync",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
            ],
            "containerd": [f"--config={self.home}/containerd.toml"],
            "apiserver": self._apiserver(),
            "controllers": [
                *(client, *local, "--leader-elect=false", "--controllers=*,-nodeipam"),
                *(f"--service-account-private-key-file={self.home}/accounts.key", f"--root-ca-file={self.home}/ca.pem"),
            ],
            "scheduler": [client, *local, "--leader-elect=false"],
            "kubelet": [
                *(client, f"--config={self.home}/kubelet.yaml", f"--root-dir={self.home}/kubelet"),
                *(f"--cert-dir={self.home}/kubelet-pki", f"--hostname-override={NODE}", f"--node-ip={ADDRESS}"),
            ],
            "proxy": [
                *(client, *local, f"--hostname-override={NODE}", "--proxy-mode=iptables", "--conntrack-max-per-core=0"),
                f"--cluster-cidr={POD_NETWORK}",
            ],
            "dns": [f"-conf={self.home}/Corefile"],
        }

    def _apiserver(self) -> list[str]:
        home = self.home
        return [
            *("--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", f"--advertise-address={ADDRESS}"),
            *("--secure-port=6443", f"--service-cluster-ip-range={_SERVICES}", "--authorization-mode=RBAC"),
            *(f"--tls-cert-file={home}/apiserver.pem", f"--tls-private-key-file={home}/apiserver.key"),
            "--service-account-issuer=https://127.0.0.1:6443",
            f"--service-account-key-file={home}/accounts.pem",
            f"--service-account-signing-key-file={home}/accounts.key",
            *(f"--token-auth-file={home}/tokens.csv", "--anonymous-auth=false"),
            f"--requestheader-client-ca-file={home}/ca.pem",
            *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *(f"--proxy-client-cert-file={home}/front-proxy.pem", f"--proxy-client-key-file={home}/front-proxy.key"),
            "--enable-aggregator-routing=true",
            "--kubelet-preferred-address-types=InternalIP",
        ]
