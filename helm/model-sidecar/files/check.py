"""`helm test`: asks the webhook about a pod, as the API server would, and expects the sidecar in its answer."""

import base64
import json
import ssl
import sys
import urllib.request

url, ca_file = sys.argv[1:3]
pod = {
    "metadata": {"name": "probe", "annotations": {"model-sidecar/inject": "true"}},
    "spec": {"containers": [{"name": "model", "image": "model"}]},
}
request = {"uid": "probe", "kind": {"kind": "Pod"}, "namespace": "probe", "operation": "CREATE", "object": pod}
body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
post = urllib.request.Request(url, body, {"content-type": "application/json"})
with urllib.request.urlopen(post, timeout=20, context=ssl.create_default_context(cafile=ca_file)) as answer:
    response = json.load(answer)["response"]
patch = json.loads(base64.b64decode(response["patch"]))
added = [c["name"] for part in patch if part["path"].endswith("ontainers") for c in part["value"]]
print(f"allowed: {response['allowed']}; containers: {', '.join(added)}")
sys.exit("model-sidecar" not in added)
