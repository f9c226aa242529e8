from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from flask_app import app  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

WSGIServer(("127.0.0.1", int(sys.argv[1])), app).serve_forever()
