"""Local server in place of Google Cloud Storage, for the tests of gs:// paths.

It implements the parts of the JSON API that its clients need: gcsfs (which epath uses
for gs:// paths), TensorStore and google-cloud-storage (which Orbax uses). These parts
are single, multipart and resumable uploads, range reads, paged listings, copies, moves,
deletions, and preconditions on generations. Objects are kept in memory.
"""

import functools
import itertools
import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec

PAGE = 50  # entries per page of a listing, so few that tests see several pages
NUMBERS = itertools.count(1)


class StoredObject(NamedTuple):
    """One object of a bucket."""

    content: bytes
    generation: int
    updated: str


def new_object(content):
    """Return an object with the next generation, written now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return StoredObject(bytes(content), next(NUMBERS), now)


class Server(ThreadingHTTPServer):
    """The server and its buckets.

    Attributes:
      stored: {bucket: {name: object}}.
      refusals: {bucket: (HTTP status, message)}: the answer to all requests for it.
      requests: all requests so far, such as 'GET /storage/v1/b/NAME'.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stored: dict[str, dict[str, StoredObject]] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}  # name, bytes so far
        self.refusals: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []

    def handle_error(self, request, client_address):
        """Print nothing when a client disconnects before it is answered."""


class Refused(Exception):
    """The request is answered with an HTTP status of 400 or more."""


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *arguments):
        pass

    def answer(self, status=200, content=b"", **headers):
        # In HTTP these answers have no body: a client would read its bytes as the next
        # answer on the connection.
        assert not content or status not in (204, 304)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_json(self, value):
        self.answer(content=json.dumps(value).encode(), Content_Type="application/json")

    def serve(self):
        url = urlsplit(self.path)
        self.query = {key: each[-1] for key, each in parse_qs(url.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, _, path = url.path.partition("/storage/v1/b")
        bucket, _, rest = path.removeprefix("/").partition("/o")
        # A slash in the name of an object comes as %2F.
        name, *action = [unquote(part) for part in rest.removeprefix("/").split("/")]
        try:
            with self.server.lock:
                self.server.requests.append(f"{self.command} {self.path}")
                if bucket in self.server.refusals:
                    raise Refused(*self.server.refusals[bucket])
                if bucket not in self.server.stored:
                    raise Refused(404, "The specified bucket does not exist.")
                objects = self.server.stored[bucket]
                if url.path.startswith("/upload/"):
                    self.upload(bucket, objects)
                elif action:
                    self.copy(bucket, objects, name, action)
                elif self.command == "DELETE":
                    self.expect(objects, name)
                    del objects[self.existing(objects, name)]
                    self.answer(204)
                elif name:
                    self.read(bucket, objects, self.existing(objects, name))
                elif rest or url.path.endswith("/o"):
                    self.list(bucket, objects)
                else:
                    self.answer_json({"kind": "storage#bucket", "name": bucket})
        except Refused as refused:
            status, message = refused.args
            content = {"error": {"code": status, "message": message}}
            self.answer(status, json.dumps(content).encode())

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def existing(self, objects, name):
        if name not in objects:
            raise Refused(404, f"No such object: {name}")
        return name

    def expect(self, objects, name):
        """Check that the object has the generation that the request expects."""
        found = objects[name].generation if name in objects else 0
        if self.query.get("ifGenerationMatch", str(found)) != str(found):
            raise Refused(412, "conditionNotMet")

    def store(self, bucket, objects, name, content):
        objects[name] = new_object(content)
        self.answer_json(resource(bucket, objects, name))

    def upload(self, bucket, objects):
        if "upload_id" in self.query:
            self.resume(bucket, objects)
            return
        name, content = self.query.get("name", ""), self.body
        kind = self.query["uploadType"]
        if kind == "multipart":
            mark = self.headers["Content-Type"].partition("boundary=")[2].strip("\"'")
            boundary = b"--" + mark.encode()
            _, meta, rest = self.body.split(boundary, 2)
            content = rest[: rest.rindex(b"\n" + boundary)]
            meta, content = (
                part.replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")[2]
                for part in (meta, content)
            )
            name = json.loads(meta)["name"]
        self.expect(objects, name)
        if kind == "resumable":
            number = str(next(NUMBERS))
            self.server.uploads[number] = name, bytearray()
            host = self.headers["Host"]
            self.answer(Location=f"http://{host}{self.path}&upload_id={number}")
        else:
            self.store(bucket, objects, name, content)

    def resume(self, bucket, objects):
        name, content = self.server.uploads[self.query["upload_id"]]
        content += self.body
        if self.headers["Content-Range"].endswith("/*"):
            self.answer(308, Range=f"bytes=0-{len(content) - 1}")
        else:
            self.store(bucket, objects, name, content)

    def copy(self, bucket, objects, name, action):
        """Answer .../rewriteTo/b/BUCKET/o/NAME and .../moveTo/o/NAME."""
        content = objects[self.existing(objects, name)].content
        if action[0] == "moveTo":
            del objects[name]
            self.store(bucket, objects, action[2], content)
            return
        _, _, to_bucket, _, to_name = action
        others = self.server.stored[to_bucket]
        others[to_name] = new_object(content)
        found = resource(to_bucket, others, to_name)
        self.answer_json({"done": True, "resource": found})

    def read(self, bucket, objects, name):
        if self.query.get("alt") != "media":
            self.answer_json(resource(bucket, objects, name))
            return
        content, generation, _ = objects[name]
        headers = {"X_Goog_Generation": str(generation), "ETag": str(generation)}
        if self.query.get("ifGenerationNotMatch") == str(generation):
            self.answer(304)  # the client knows the content already
            return
        if "Range" not in self.headers:
            self.answer(content=content, **headers)
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(len(content), int(last) + 1) if first and last else len(content)
        if start >= len(content):
            raise Refused(416, "Request range not satisfiable")
        part = f"bytes {start}-{stop - 1}/{len(content)}"
        self.answer(206, content[start:stop], Content_Range=part, **headers)

    def list(self, bucket, objects):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        start = self.query.get("startOffset", "")
        stop = self.query.get("endOffset")
        entries = {}
        for name in objects:
            if not name.startswith(prefix) or name < start or (stop and name >= stop):
                continue
            top, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            entry = prefix + top + delimiter if found and delimiter else name
            entries[entry] = bool(found and delimiter)
        first = int(self.query.get("pageToken", 0))
        last = first + min(PAGE, int(self.query.get("maxResults", PAGE)))
        names = sorted(entries)
        listing = {
            "kind": "storage#objects",
            "prefixes": [name for name in names[first:last] if entries[name]],
            "items": [
                resource(bucket, objects, name)
                for name in names[first:last]
                if not entries[name]
            ],
        }
        if last < len(names):
            listing["nextPageToken"] = str(last)
        self.answer_json(listing)


def resource(bucket, objects, name):
    """Return the API's description of an object."""
    content, generation, updated = objects[name]
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(len(content)),
        "generation": str(generation),
        "metageneration": "1",
        "etag": str(generation),
        "updated": updated,
        "timeCreated": updated,
    }


@functools.cache
def server():
    """Return this process's server; the first call starts it, and it never stops.

    There is one server for all tests, because the clients read its address from the
    environment once and keep it.
    """
    started = Server()
    threading.Thread(target=started.serve_forever, daemon=True).start()
    return started


def environment():
    """Return the environment variables that make a process use the server."""
    url = f"http://127.0.0.1:{server().server_port}"
    return {
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
        "CLOUD_STORAGE_EMULATOR_ENDPOINT": url,  # array_record's
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",  # TensorStore asks for no credentials
        # If true, gcsfs asks over gRPC what kind of bucket it is.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "GOOGLE_CLOUD_PROJECT": "none",
        "FSSPEC_GCS_TOKEN": "anon",
    }


def bucket():
    """Return 'gs://NAME' of a new, empty bucket that this process can use."""
    os.environ.update(environment())
    # fsspec reads the environment only when it is imported, perhaps long before.
    fsspec.config.conf.setdefault("gcs", {})["token"] = "anon"
    name = f"bucket-{next(NUMBERS)}"
    server().stored[name] = {}
    return f"gs://{name}"


def put(url, content):
    """Write an object, as another process would."""
    name, _, path = url.removeprefix("gs://").partition("/")
    server().stored[name][path] = new_object(content)


def remove(url):
    """Delete an object."""
    name, _, path = url.removeprefix("gs://").partition("/")
    del server().stored[name][path]


def upload(folder, url):
    """Copy all files of a local folder to objects below a gs:// URL."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())
