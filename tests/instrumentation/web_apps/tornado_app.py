import asyncio
import json
import logging
import sys

import tornado.web


class Hello(tornado.web.RequestHandler):
    def get(self, number):
        logging.getLogger("shop").warning("hello %s", number)
        self.write({"hello": int(number), "agent": self.request.headers.get("X-Agent")})


class Echo(tornado.web.RequestHandler):
    def post(self):
        self.write(json.loads(self.request.body))


class Boom(tornado.web.RequestHandler):
    async def get(self):
        raise ValueError("boom")


async def main():
    app = tornado.web.Application([(r"/hello/(\d+)", Hello), (r"/echo", Echo), (r"/boom", Boom)])
    app.listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
