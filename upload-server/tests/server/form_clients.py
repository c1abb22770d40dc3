# Uploads a file under each name with each client, in a form. `@` in a name is the client's own. Prints
# what the server answered, as JSON.
#
# python form_clients.py URL NAMES CLIENT...
import asyncio
import json
import sys

url, names, *clients = sys.argv[1:]


def content(name):
    return name.encode()


def with_requests(name):
    import requests

    answer = requests.post(url, files={"file": (name, content(name))})
    return answer.status_code, answer.content.decode()


def with_httpx(name):
    import httpx

    answer = httpx.post(url, files={"file": (name, content(name))})
    return answer.status_code, answer.text


def with_aiohttp(name):
    import aiohttp

    async def post():
        form = aiohttp.FormData()
        try:
            form.add_field("file", content(name), filename=name)
        except ValueError as refused:
            return None, str(refused)
        async with aiohttp.ClientSession() as session:
            async with session.post(url, data=form) as answer:
                return answer.status, await answer.text()

    return asyncio.run(post())


# Scripts put forms together with the library for mail: in base64, with folded fields and long names in
# sections.
def with_email(name):
    import email.message
    import email.policy
    import requests

    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail.make_mixed()
    try:
        mail.add_attachment(content(name), "application", "octet-stream", filename=name)
    except ValueError as refused:
        return None, str(refused)
    body = mail.as_bytes().partition(b"\r\n\r\n")[2]
    content_type = f'multipart/form-data; boundary="{mail.get_boundary()}"'
    answer = requests.post(url, data=body, headers={"Content-Type": content_type})
    return answer.status_code, answer.content.decode()


# The names that these give the bytes are empty, or none.
def without_name_urllib3(name):
    import urllib3

    fields = {"file": ("", content(name), "image/png")}
    answer = urllib3.PoolManager().request("POST", url, fields=fields)
    return answer.status, answer.data.decode()


def without_name_aiohttp(name):
    import aiohttp

    async def post():
        form = aiohttp.MultipartWriter("form-data")
        form.append("text").set_content_disposition("form-data", name="note")
        form.append(content(name)).set_content_disposition("form-data", name="file")
        async with aiohttp.ClientSession() as session:
            async with session.post(url, data=form) as answer:
                return answer.status, await answer.text()

    return asyncio.run(post())


def compressed_aiohttp(name):
    import aiohttp

    async def put():
        async with aiohttp.ClientSession() as session:
            async with session.put(url + name, data=content(name), compress="deflate") as answer:
                return answer.status, await answer.text()

    return asyncio.run(put())


answers = []
for client in clients:
    for name in json.loads(names):
        name = name.replace("@", client)
        status, text = globals()[client](name)
        answers.append({"sent": name, "status": status, "text": text})
print(json.dumps(answers))
