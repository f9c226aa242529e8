"""Breast-cancer screening by xgboost behind the standard library's HTTP server. `server.py PORT`."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import xgboost
from sklearn.datasets import load_breast_cancer

data = load_breast_cancer()
model = xgboost.XGBClassifier(n_estimators=20, max_depth=3).fit(data.data, data.target)


class Handler(BaseHTTPRequestHandler):
    """POST rows as a JSON array of arrays, get the probability of each being benign."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        benign = model.predict_proba(rows)[:, 1]
        self.answer({"benign": [round(float(p), 4) for p in benign]})

    def do_GET(self) -> None:
        self.answer({"status": "ok"})

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
