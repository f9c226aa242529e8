import logging
import sys

import litserve


class Api(litserve.LitAPI):
    def setup(self, device):
        self.add = 1

    def predict(self, x):
        logging.getLogger("shop").warning("hello %s", x["n"])
        return {"n": x["n"] + self.add}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
