"""The asynchronous server, with an interceptor of its own, a stream, an error that is given and one that is raised."""

import asyncio
import logging
import sys

import grpc


class Count(grpc.aio.ServerInterceptor):
    seen = 0

    async def intercept_service(self, continuation, details):
        Count.seen += 1
        return await continuation(details)


async def echo(request, context):
    logging.getLogger("shop").warning("hello %d", Count.seen)
    return b"%d " % Count.seen + request


async def boom(request, context):
    await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


async def broken(request, context):
    raise ValueError("broken")


async def count(request, context):
    for n in range(3):
        yield b"%d" % n


class Shop(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name == "Count":
            return grpc.unary_stream_rpc_method_handler(count)
        return grpc.unary_unary_rpc_method_handler({"Echo": echo, "Boom": boom, "Broken": broken}[name])


async def main():
    server = grpc.aio.server(interceptors=[Count()])
    server.add_generic_rpc_handlers((Shop(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        print(await channel.unary_unary("/shop.Shop/Echo")(b"hello"))
        print([part async for part in channel.unary_stream("/shop.Shop/Count")(b"")])
        for name in ("Boom", "Broken"):
            try:
                await channel.unary_unary(f"/shop.Shop/{name}")(b"")
            except grpc.aio.AioRpcError as error:
                print(error.code(), error.details())
    await server.stop(1)


logging.getLogger("grpc").addHandler(logging.NullHandler())
logging.getLogger("grpc").propagate = False
asyncio.run(main())
sys.exit(3)
