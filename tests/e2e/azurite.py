"""The real blob service of every test: Azurite, started on loopback, one storage account per test.

`Azurite()` keeps everything in memory on a free port; `Azurite(location=..., port=...)` stores on disk, so that it can
be stopped and started again as the same service. Never killed with -9: it would lose what it has confirmed.
"""
import base64
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

from azure.storage.blob import BlobServiceClient

TOP = pathlib.Path(__file__).resolve().parents[2]
MAIN = TOP / "tests/azurite/node_modules/azurite/dist/src/blob/main.js"
LISTENS = re.compile(rb"successfully listens? (?:on|at) http://127\.0\.0\.1:(\d+)")
START_LIMIT = 600


class Account:
    """One storage account of one Azurite; `port` of a proxy in front of it may be given to each method."""

    def __init__(self, service, number):
        self.service = service
        self.name = f"acct{number:04d}"
        self.key = base64.b64encode(hashlib.sha512(b"azsyncd test key %d" % number).digest()).decode()

    def endpoint(self, port=None):
        return f"http://127.0.0.1:{port or self.service.port}/{self.name}"

    def connection_string(self, port=None):
        return (f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey={self.key};"
                f"BlobEndpoint={self.endpoint(port)};")

    def client(self):
        """The official SDK, straight to the service: what a stranger would see."""
        return BlobServiceClient.from_connection_string(self.connection_string(), retry_total=3)


class Azurite:
    def __init__(self, folder, location=None, port=0, accounts=400):
        self.folder = pathlib.Path(folder)
        self.location = location
        self.port = port
        self.accounts = [Account(self, n) for n in range(accounts)]
        self.next_account = 0
        self.process = None
        self.log = bytearray()

    def account(self):
        account = self.accounts[self.next_account]
        self.next_account += 1
        return account

    def start(self):
        if not MAIN.exists():
            raise RuntimeError(f"{MAIN} is missing: scripts/test installs it")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [os.environ.get("AZSYNC_NODE", "node"), str(MAIN), "--silent", "--disableTelemetry",
                   "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        command += ["--location", str(self.location)] if self.location else ["--inMemoryPersistence"]
        environment = dict(os.environ, AZURITE_ACCOUNTS=";".join(f"{a.name}:{a.key}" for a in self.accounts))
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        listening = threading.Event()
        threading.Thread(target=self._read, args=(self.process.stdout, listening), daemon=True).start()
        if not listening.wait(START_LIMIT) or self.process.poll() is not None:
            self.stop()
            raise RuntimeError("Azurite did not start: " + self.log.decode(errors="replace"))
        return self

    def _read(self, pipe, listening):
        seen = b""
        for line in pipe:
            self.log += line
            seen += line
            found = LISTENS.search(seen)
            if found and not listening.is_set():
                self.port = int(found.group(1))
                listening.set()
        listening.set()  # it ended: whoever waits shall look

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(300)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()


def free_port():
    """A port for an Azurite that must come back under the same address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
