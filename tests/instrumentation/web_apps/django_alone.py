"""A program of one file, whose settings are made by a call."""

import sys

from django.conf import settings

settings.configure(
    DEBUG=False, SECRET_KEY="alone", ROOT_URLCONF="shop.urls", ALLOWED_HOSTS=["*"], MIDDLEWARE=["shop.urls.Signed"]
)

from wsgiref.simple_server import make_server  # noqa: E402

from django.core.wsgi import get_wsgi_application  # noqa: E402

make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()).serve_forever()
