# Pushes each file as a layer, as docker does: POST, then PATCHes of a chunk, then PUT.
import hashlib, http.client, sys

host, port, *files = sys.argv[1:]
CHUNK = 1_000_000
connection = http.client.HTTPConnection(host, int(port))


def say(method, path, body, fields):
    token = {"Authorization": "Bearer " + "j" * 2500}
    connection.request(method, path, body, {**token, **fields})
    response = connection.getresponse()
    response.read()
    assert response.status in (201, 202), (method, path, response.status)
    return response.headers["Location"]


for number, file in enumerate(files):
    with open(file, "rb") as opened:
        content = opened.read()
    path = say("POST", f"/v2/layer-{number}/blobs/uploads/", None, {"Content-Length": "0"})
    for start in range(0, len(content), CHUNK):
        chunk = content[start : start + CHUNK]
        fields = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{start}-{start + len(chunk) - 1}",
        }
        path = say("PATCH", path, chunk, fields)
    digest = hashlib.sha256(content).hexdigest()
    say("PUT", f"{path}?digest=sha256:{digest}", None, {"Content-Length": "0"})
