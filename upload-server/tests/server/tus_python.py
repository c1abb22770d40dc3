"""Uploads files with tuspy by each of its options. Prints a line for each stored file: its name, and
that of the file that was sent.

python tus_python.py ENDPOINT CUTTING_ENDPOINT FOLDER
"""

import asyncio
import os
import sys

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

endpoint, cutting_endpoint, folder = sys.argv[1:]
files = 0


def make(length):
    """Makes a file of this length, with a content of its own."""
    global files
    files += 1
    path = os.path.join(folder, f"{files}.bin")
    with open(path, "wb") as file:
        file.write(bytes((i * 31 + (i >> 8) * 7 + files) & 255 for i in range(length)))
    return path


def stored(name, path):
    print(name, os.path.basename(path), sep="\t")


def upload(name, length, endpoint=endpoint, **options):
    path = make(length)
    TusClient(endpoint).uploader(path, metadata={"filename": name}, **options).upload()
    stored(name, path)


# The defaults, which have no name.
for length in (300_000, 0):
    path = make(length)
    uploader = TusClient(endpoint).uploader(path)
    uploader.upload()
    stored("upload-" + uploader.url.split("/")[-1][:8], path)

upload("naïve.txt", 350_000, chunk_size=100_000)
upload("checked", 250_000, chunk_size=100_000, upload_checksum=True)
upload("cut", 900_000, cutting_endpoint, retries=9, retry_delay=0, chunk_size=300_000)

# Stopped in the middle, and found again.
path = make(200_000)
storage = FileStorage(os.path.join(folder, "urls.json"))
options = {"chunk_size": 50_000, "store_url": True, "url_storage": storage}
metadata = {"filename": "resumed"}
TusClient(endpoint).uploader(path, metadata=metadata, **options).upload(stop_at=100_000)
again = TusClient(endpoint).uploader(path, **options)
assert again.offset == 100_000, again.offset
again.upload()
stored("resumed", path)

path = make(150_000)
uploader = TusClient(endpoint).async_uploader(path, metadata={"name": "asynchronous"})
asyncio.run(uploader.upload())
stored("asynchronous", path)
