import logging
import sys

from aiohttp import web


async def hello(request):
    logging.getLogger("shop").warning("hello %s", request.match_info["number"])
    return web.json_response({"hello": int(request.match_info["number"]), "agent": request.headers.get("X-Agent")})


async def echo(request):
    return web.json_response(await request.json())


async def boom(request):
    raise ValueError("boom")


async def make():
    app = web.Application()
    app.add_routes([web.get("/hello/{number}", hello), web.post("/echo", echo), web.get("/boom", boom)])
    return app


if __name__ == "__main__":
    web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]))
