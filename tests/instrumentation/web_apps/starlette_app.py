import logging

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def hello(request):
    logging.getLogger("shop").warning("hello %s", request.path_params["number"])
    return JSONResponse({"hello": request.path_params["number"], "agent": request.headers.get("X-Agent")})


async def echo(request):
    return JSONResponse(await request.json())


async def boom(request):
    raise ValueError("boom")


app = Starlette(
    routes=[Route("/hello/{number:int}", hello), Route("/echo", echo, methods=["POST"]), Route("/boom", boom)]
)
