import logging
import sys

from flask import Flask, request

app = Flask(__name__)


@app.get("/hello/<int:number>")
def hello(number):
    logging.getLogger("shop").warning("hello %s", number)
    return {"hello": number, "agent": request.headers.get("X-Agent")}


@app.post("/echo")
def echo():
    return request.get_json()


@app.get("/boom")
def boom():
    raise ValueError("boom")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
