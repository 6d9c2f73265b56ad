"""django-allauth: a Django site whose people sign in with TikTok, at TikTok's own addresses."""

import json
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

APP = {"client_id": "sbawtokhubsandbox", "secret": "CNRYsandboxclientsecret"}

settings.configure(
    SECRET_KEY="any",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.tiktok",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    SOCIALACCOUNT_PROVIDERS={"tiktok": {"APPS": [APP]}},
    SOCIALACCOUNT_STORE_TOKENS=True,
)
django.setup()
urlpatterns = [path("accounts/", include("allauth.urls"))]
call_command("migrate", verbosity=0)

from allauth.socialaccount.models import SocialAccount, SocialToken
from django.test import Client

browser = Client()
print(browser.post("/accounts/tiktok/login/").headers["Location"], flush=True)
back = urlsplit(input())
answer = browser.get(f"{back.path}?{back.query}")
account, token = SocialAccount.objects.get(), SocialToken.objects.get()
seen = {"status": answer.status_code, "uid": account.uid, "profile": account.extra_data}
print(json.dumps({**seen, "access_token": token.token, "refresh_token": token.token_secret}))
