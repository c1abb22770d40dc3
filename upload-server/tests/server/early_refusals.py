"""Uploads each FILE in three ways, and expects STATUS: early_refusals.py [STATUS FILE URL]..."""

import sys
import urllib.error
import urllib.request

import requests


def with_urllib(path, url):
    with open(path, "rb") as body:
        headers = {"Content-Length": str(body.seek(0, 2))}
        body.seek(0)
        request = urllib.request.Request(url, data=body, method="PUT", headers=headers)
        try:
            return urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            assert b'"detail"' in error.read()
            return error.code


def with_requests(path, url):
    with open(path, "rb") as body:
        answer = requests.put(url, data=body)
        assert answer.json()["detail"]
        return answer.status_code


def with_a_session(path, url):
    """The connection of the refused upload is not used again."""
    with requests.Session() as session:
        for _ in range(2):
            with open(path, "rb") as body:
                status = session.put(url, data=body).status_code
        return status


cases = iter(sys.argv[1:])
for status, path, url in zip(cases, cases, cases):
    for client in (with_urllib, with_requests, with_a_session):
        got = client(path, url)
        assert got == int(status), f"{client.__name__}: {got} instead of {status}"
