import json
import logging

from django.conf import settings
from django.http import JsonResponse
from django.urls import path


class Signed:
    """Middleware of the app's own: what the settings say is in each answer."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response["X-Signed"] = f"{settings.ROOT_URLCONF} {settings.SECRET_KEY}"
        return response


def hello(request, number):
    logging.getLogger("shop").warning("hello %s", number)
    return JsonResponse({"hello": number, "agent": request.headers.get("X-Agent")})


def echo(request):
    return JsonResponse(json.loads(request.body))


def boom(request):
    raise ValueError("boom")


urlpatterns = [path("hello/<int:number>", hello), path("echo", echo), path("boom", boom)]
