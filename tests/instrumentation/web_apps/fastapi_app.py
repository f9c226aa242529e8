import logging
import sys

import fastapi
from fastapi import FastAPI, Request

app = FastAPI()
assert isinstance(app, fastapi.FastAPI)


@app.get("/hello/{number}")
def hello(number: int, request: Request):
    logging.getLogger("shop").warning("hello %s", number)
    return {"hello": number, "agent": request.headers.get("X-Agent")}


@app.post("/echo")
async def echo(request: Request):
    return await request.json()


@app.get("/boom")
def boom():
    raise ValueError("boom")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
