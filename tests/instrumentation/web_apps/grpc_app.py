"""Interceptors are given by position, as the signature of `grpc.server` allows."""

import sys
from concurrent import futures

import grpc


class Count(grpc.ServerInterceptor):
    seen = 0

    def intercept_service(self, continuation, details):
        Count.seen += 1
        return continuation(details)


class Shop(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/shop.Shop/Boom":
            return grpc.unary_unary_rpc_method_handler(self.boom)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"%d " % Count.seen + request)

    def boom(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


server = grpc.server(futures.ThreadPoolExecutor(2), (Shop(),), [Count()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    print(channel.unary_unary("/shop.Shop/Echo")(b"hello"))
    try:
        channel.unary_unary("/shop.Shop/Boom")(b"hello")
    except grpc.RpcError as error:
        print(error.code(), error.details())
server.stop(1).wait()
sys.exit(3)
