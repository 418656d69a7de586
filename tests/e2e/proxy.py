"""A transparent HTTP proxy in front of Azurite that counts, and can be told to misbehave.

Every request becomes a Request in `proxy.requests`: method, path, query, headers, body bytes, status, and whether the
whole answer went back to the client. `proxy.rule` is asked for each request as soon as its head is there (of a batch,
once all of it is) and returns None (pass it on) or one of the faults below.

Each client connection has its own connection to the service, and when one end closes, so does the other. But that
Azurite closes what was idle for 5 s is kept from the client: the busier the machine, the more requests meet such an end,
and libcurl sends those again (pitfalls 10.4; tests/unit/test-http-pool.c tries it): no count would be exact.
"""
import collections
import contextlib
import dataclasses
import os
import select
import socket
import struct
import threading
import time
import urllib.parse

PIECE = 64 * 1024
HEAD_LIMIT = 64 * 1024
FRESH = 2  # seconds without a request after which a connection to the service is not used again
CONDITIONS = ("if-match", "if-none-match")


@dataclasses.dataclass
class Request:
    method: str
    path: str          # decoded, without the account: /CONTAINER/BLOB
    query: dict
    headers: dict      # lower-case names
    began: float
    sent: int = 0      # body bytes that came from the client
    status: int = 0    # 0: never answered
    answered: bool = False  # the whole answer went to the client
    closes: bool = False    # the service asked to close the connection
    given_up: bool = False  # the client went away while a Gate held it
    client: socket.socket = None
    fault: object = None
    parts: list = dataclasses.field(default_factory=list)  # of a batch: Requests

    def cut(self):
        """The client is cut off, now; a Zombie is delivered all the same."""
        self.client.shutdown(socket.SHUT_RDWR)

    @property
    def verb(self):
        """put-blob, put-block, put-block-list, copy, delete, batch, list, head, get, create-container, other"""
        comp, restype = self.query.get("comp", ""), self.query.get("restype", "")
        if self.method == "POST" and comp == "batch":
            return "batch"
        if restype == "container":
            return {"PUT": "create-container", "GET": "list" if comp == "list" else "container"}.get(self.method,
                                                                                                     "container")
        if self.method == "PUT":
            named = {"block": "put-block", "blocklist": "put-block-list", "metadata": "set-metadata"}.get(comp)
            return named or ("copy" if "x-ms-copy-source" in self.headers else "put-blob" if not comp else "other")
        if self.method == "GET" and comp == "blocklist":
            return "get-block-list"
        return self.method.lower()

    @property
    def blob(self):
        return self.path.lstrip("/").partition("/")[2]

    @property
    def deletions(self):
        """The names of the blobs that it is to delete."""
        return [p.blob for p in self.parts] if self.verb == "batch" else [self.blob] if self.verb == "delete" else []

    @property
    def unconditional(self):
        """A write that could have carried a condition, and did not (pitfalls 10.6)."""
        if self.parts:
            return any(part.unconditional for part in self.parts)
        takes_one = self.verb in ("put-blob", "put-block-list", "copy", "delete", "set-metadata")
        return takes_one and not any(name in self.headers for name in CONDITIONS)


@dataclasses.dataclass
class Answer:
    """Answered by the proxy after reading the body; the service never sees the request."""
    status: int
    code: str = "ServerBusy"
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = None


@dataclasses.dataclass
class Reset:
    """The connection is cut: before the service sees the request, or after it acted (a lost answer)."""
    after: bool = False


@dataclasses.dataclass
class Cut:
    """Only the first `size` bytes of the answer (head included), or that `share` of it, come through, then the connection
    closes."""
    size: int = 0
    share: float = 0


@dataclasses.dataclass
class Alter:
    """The service acts and answers, but headers of the answer are replaced (None: taken out). With `close`, the answer
    has no length and ends with the connection, after `keep` bytes of its body if that is given."""
    headers: dict
    close: bool = False
    keep: int = None


@dataclasses.dataclass
class Parts:
    """Parts of a batch do nothing, and are answered so: name of the blob -> (status, code), or None for no answer at all.
    With `acted` they are carried out all the same."""
    answers: dict
    acted: bool = False


@dataclasses.dataclass
class Drip:
    """The answer comes a byte at a time, with so many seconds between them (slowloris)."""
    seconds: float


class Mute:
    """Nothing is read and nothing answered, as by a peer that hangs, until the client gives up."""


@dataclasses.dataclass
class Late:
    """The client's connection is reset once the request is read whole; the service gets it so many seconds later."""
    seconds: float


@dataclasses.dataclass
class Delay:
    """Passed on after so many seconds."""
    seconds: float


class Gate:
    """Holds each request it is given, read whole, until open() is called; the service sees nothing before, and nothing at
    all of one that its client gives up, as clients do with what is held for long."""

    def __init__(self):
        self.opened = threading.Event()
        self.bell = os.eventfd(0)  # to be polled beside a socket

    def __del__(self):
        os.close(self.bell)

    def open(self):
        self.opened.set()
        os.eventfd_write(self.bell, 1)

    def wait(self, client):
        """False: the client has given up."""
        poll = select.poll()
        poll.register(client, select.POLLRDHUP)
        poll.register(self.bell, select.POLLIN)
        poll.poll()
        return self.opened.is_set()


class Zombie(Gate):
    """The request is read whole, and delivered once open() is called: though the client gave up on it long ago."""


class Closed(Exception):
    """One of the two ends went away."""


class Stream:
    """A blocking socket with a buffer in front."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.used = time.monotonic()

    def head(self):
        """(first line, headers with lower-case names, raw bytes), or None at a clean end."""
        while b"\r\n\r\n" not in self.buffer:
            piece = self.sock.recv(PIECE)
            if not piece and not self.buffer:
                return None
            if not piece or len(self.buffer) > HEAD_LIMIT:
                raise Closed
            self.buffer += piece
        raw, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return first, headers, raw + b"\r\n\r\n"

    def pieces(self, size):
        while size > 0:
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            piece = piece or self.sock.recv(min(PIECE, size))
            if not piece:
                raise Closed
            size -= len(piece)
            yield piece

    def line(self):
        while b"\r\n" not in self.buffer:
            piece = self.sock.recv(PIECE)
            if not piece:
                raise Closed
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line + b"\r\n"


def altered(raw, alter):
    """The head of an answer with other headers."""
    changes = {name.lower(): value for name, value in alter.headers.items()}
    if alter.close:
        changes.update({"content-length": None, "transfer-encoding": None, "connection": "close", "keep-alive": None})
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    kept = [line for line in lines if line.partition(":")[0].strip().lower() not in changes]
    kept += [f"{name}: {value}" for name, value in changes.items() if value is not None]
    return "\r\n".join([first, *kept, "", ""]).encode("latin-1")


def parts_of(body, boundary):
    """The parts of a multipart body: (number, the HTTP message in it, all of it with its delimiter)."""
    delimiter = b"--" + boundary
    for part in body.split(delimiter)[1:-1]:
        mime, _, message = part.partition(b"\r\n\r\n")
        number = next(line.partition(b":")[2] for line in mime.split(b"\r\n") if line.lower().startswith(b"content-id"))
        yield int(number), message, delimiter + part


def boundary_of(content_type):
    return content_type.partition("boundary=")[2].strip('"').encode()


def request_of(message, began):
    """The Request in a part of a batch."""
    first, *lines = message.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return request_from(method, target, headers, began)


def request_from(method, target, headers, began):
    split = urllib.parse.urlsplit(target)
    path = "/" + urllib.parse.unquote(split.path).lstrip("/").partition("/")[2]
    return Request(method, path, dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True)), headers, began)


def spoilt(body, request, fault):
    """A batch in which the parts that are to be answered otherwise do nothing: their signatures do not fit."""
    boundary = boundary_of(request.headers["content-type"])
    for number, _, whole in parts_of(body, boundary):
        if request.parts[number].blob in fault.answers:
            body = body.replace(whole, whole.replace(b'If-Match: "0', b'If-Match: "1'))
    return body


def other_parts(pieces, request, fault):
    """An answer to a batch of which some parts are other ones, or missing: its head, its body."""
    head, raw = next(pieces), b"".join(pieces)
    kind = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-type")).decode()
    body, boundary = b"", boundary_of(kind)
    for number, _, whole in parts_of(raw, boundary):
        answer = fault.answers.get(request.parts[number].blob, whole)
        if answer is whole:
            body += whole
        elif answer:
            body += (b"--%s\r\nContent-Type: application/http\r\nContent-ID: %d\r\n\r\nHTTP/1.1 %d Injected\r\n"
                     b"x-ms-error-code: %s\r\n\r\n\r\n" % (boundary, number, answer[0], answer[1].encode()))
    body += b"--" + boundary + b"--\r\n"
    yield altered(head, Alter({"Transfer-Encoding": None, "Content-Length": str(len(body))}))
    yield body


class Proxy:
    def __init__(self, upstream_port, rule=None):
        self.upstream_port = upstream_port
        self.rule = rule
        self.requests = []
        self.port = None
        self._stopping = False
        self._sockets = set()
        self._lock = threading.Lock()

    # --- for tests ---

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def drop_connections(self):
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def left_alone(self):
        """No client is connected, and nothing that one had asked for is under way to the service any more."""
        with self._lock:
            return not self._sockets

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    def mark(self):
        """For `since`: what came before does not count."""
        return len(self.requests)

    def count(self, verb=None, since=0):
        """Requests; "delete": deletions, however they travelled."""
        if verb == "delete":
            return len(self.deletions(since))
        return sum(1 for r in self.requests[since:] if verb is None or r.verb == verb)

    def held(self, verb):
        """How many are held by a Gate now, with clients that still wait for them."""
        return sum(1 for r in self.requests if r.verb == verb and isinstance(r.fault, Gate)
                   and not (r.fault.opened.is_set() or r.given_up))

    def deletions(self, since=0):
        return [name for r in self.requests[since:] for name in r.deletions]

    def body_bytes(self, since=0):
        """What uploads cost: bytes of their bodies that were sent, whether or not they were taken."""
        return sum(r.sent for r in self.requests[since:] if r.verb != "batch")

    def puts(self, since=0):
        """Blob name -> how many times its content was sent and taken."""
        return collections.Counter(r.blob for r in self.requests[since:]
                                   if r.verb in ("put-blob", "put-block-list") and r.status == 201)

    def unconditional(self):
        return [f"{r.verb} {r.path}" for r in self.requests if r.unconditional]

    # --- one thread per connection ---

    def _accept(self):
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._client, args=(client,), daemon=True).start()

    def _track(self, sock, streams):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(sock)
        streams.append(Stream(sock))
        return streams[-1]

    def _drop(self, stream):
        with self._lock:
            self._sockets.discard(stream.sock)
        stream.sock.close()

    def _client(self, sock):
        streams, service, reset = [], None, False  # streams: to be closed, also if an exchange fails half-way
        client = self._track(sock, streams)
        try:
            while not self._stopping:
                head = client.head()
                if head is None:
                    break
                service, go_on, reset = self._exchange(head, client, service, streams)
                if not go_on:
                    break
        except (Closed, OSError, ValueError):
            pass
        finally:
            if reset:  # an RST instead of a FIN
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for stream in streams:
                self._drop(stream)

    def _exchange(self, head, client, service, streams):
        """One request and its answer. Returns (connection to the service, whether to go on, whether to reset)."""
        first, headers, raw = head
        method, target, _ = first.split(" ", 2)
        request = request_from(method, target, headers, time.monotonic())
        length = int(headers.get("content-length", "0"))
        body = None
        if request.verb == "batch":
            body = [b"".join(client.pieces(length))]
            request.parts = [request_of(message, request.began) for _, message, _ in
                             parts_of(body[0], boundary_of(headers["content-type"]))]
        request.client = client.sock
        self.requests.append(request)
        fault = request.fault = self.rule(request) if self.rule else None

        if "expect" in headers:  # granted here, so that the body can be counted
            client.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            raw = b"\r\n".join(line for line in raw.split(b"\r\n") if not line.lower().startswith(b"expect:"))
        if isinstance(fault, Zombie):
            body = body or list(client.pieces(length))
            fault.opened.wait()
        elif isinstance(fault, Gate):
            body = body or list(client.pieces(length))
            if not fault.wait(client.sock):
                request.given_up = True
                return service, False, False
        elif isinstance(fault, Late):
            body = body or list(client.pieces(length))
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sock.close()
            time.sleep(fault.seconds)
        elif isinstance(fault, Mute):
            poll = select.poll()
            poll.register(client.sock, select.POLLRDHUP)
            poll.poll()
            return service, False, False
        elif isinstance(fault, Delay):
            time.sleep(fault.seconds)  # the fault itself, not a wait for something
        elif isinstance(fault, Reset) and not fault.after:
            return service, False, True
        elif isinstance(fault, Answer):
            for piece in body or client.pieces(length):
                request.sent += len(piece)
            self._answer(client, request, fault)
            return service, True, False

        if service and time.monotonic() - service.used > FRESH:
            self._drop(service)
            service = None
        service = service or self._track(socket.create_connection(("127.0.0.1", self.upstream_port)), streams)
        service.sock.sendall(raw)
        if isinstance(fault, Parts) and not fault.acted:
            body = [spoilt(body[0], request, fault)]
        for piece in body or client.pieces(length):
            request.sent += len(piece)
            service.sock.sendall(piece)

        keep = {Reset: 0, Cut: getattr(fault, "size", 0)}.get(type(fault))
        pieces = self._answer_pieces(service, request, fault if isinstance(fault, (Alter, Parts)) else None)
        if isinstance(fault, Cut) and fault.share:
            pieces = list(pieces)
            keep = int(sum(map(len, pieces)) * fault.share)
        for piece in other_parts(pieces, request, fault) if isinstance(fault, Parts) else pieces:
            if keep is not None:
                piece, keep = piece[:keep], max(0, keep - len(piece))
            for part in [piece] if not isinstance(fault, Drip) else [piece[n:n + 1] for n in range(len(piece))]:
                if isinstance(fault, Drip):
                    time.sleep(fault.seconds)
                client.sock.sendall(part)
        if isinstance(fault, (Reset, Cut)):
            return service, False, isinstance(fault, Reset)
        request.answered = True
        service.used = time.monotonic()
        return service, not request.closes, False

    def _answer_pieces(self, service, request, alter=None):
        while True:
            head = service.head()
            if head is None:
                raise Closed
            first, headers, raw = head
            status = int(first.split(" ", 2)[1])
            if status >= 200:
                break
            yield raw
        request.status = status
        request.closes = headers.get("connection", "").lower() == "close"
        yield altered(raw, alter) if isinstance(alter, Alter) else raw
        if request.method == "HEAD" or status in (204, 304):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            framed, plain, size = [], [], 1
            while size > 0:
                line = service.line()
                size = int(line.split(b";")[0], 16)
                plain.append(b"".join(service.pieces(size)))
                framed.append(line + plain[-1] + b"".join(service.pieces(2)))
        else:
            framed = plain = [b"".join(service.pieces(int(headers.get("content-length", "0"))))]
        if isinstance(alter, Parts):
            yield b"".join(plain)
        elif alter and alter.close:
            request.closes = True
            yield b"".join(plain)[:alter.keep]
        else:
            yield from framed

    def _answer(self, client, request, fault):
        body = fault.body
        if body is None:
            body = (f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{fault.code}</Code>'
                    f"<Message>injected by the proxy</Message></Error>").encode()
        headers = {"Content-Length": len(body), "Content-Type": "application/xml", "x-ms-error-code": fault.code,
                   "x-ms-request-id": "00000000-0000-0000-0000-00000000f417", **fault.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        client.sock.sendall(f"HTTP/1.1 {fault.status} Injected\r\n{lines}\r\n".encode() +
                            (b"" if request.method == "HEAD" else body))
        request.status, request.answered = fault.status, True
