"""The sink: Debian's nginx with its Lua module as a blob service that answers at once, or after a while. See sink.lua.

One worker, so its tables need no lock. It runs on the same machine as what is measured and takes a part of it: the
CPU time of the worker is kept beside every figure."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
MODULES = pathlib.Path("/usr/lib/nginx/modules")
# what Azurite and rclone's emulator mode know; the sink checks no signature
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "bench"
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {base}/pid;
error_log {base}/error.log warn;
events {{ worker_connections 4096; }}
http {{
        access_log off;
        server_tokens off;
        tcp_nodelay on;
        keepalive_timeout 300s;
        keepalive_time 1d;
        keepalive_requests 1000000000;
        client_max_body_size 0;
        # a body stays in memory, whatever its size, and is forgotten with its request
        client_body_buffer_size 64m;
        client_body_in_single_buffer on;
        client_header_buffer_size 4k;
        client_body_temp_path {base}/body;
        proxy_temp_path {base}/proxy;
        fastcgi_temp_path {base}/fastcgi;
        uwsgi_temp_path {base}/uwsgi;
        scgi_temp_path {base}/scgi;
        lua_package_path "{here}/?.lua;;";
        lua_check_client_abort off;
        init_worker_by_lua_block {{ require "sink" }}
        server {{
                listen 127.0.0.1:{port} backlog=4096;
                location /-/ {{ content_by_lua_block {{ require("sink").control() }} }}
                location / {{ content_by_lua_block {{ require("sink").serve() }} }}
        }}
}}
"""


def usable_port(wanted):
    """The port that is wanted, if it is free, or another."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", wanted))
        except OSError:
            return usable_port(0)
        return s.getsockname()[1]


class Sink:
    def __init__(self, base, port):
        self.base = pathlib.Path(base)
        self.port = port
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self):
        return f"{self.url}/{ACCOUNT}"

    def start(self):
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        config = self.base / "nginx.conf"
        config.write_text(CONFIG.format(modules=MODULES, base=self.base, here=HERE, port=self.port,
                                        user="user root;" if os.getuid() == 0 else ""))
        # freed buffers stay with the process: large bodies would otherwise fault in fresh pages each time
        keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
        with open(self.base / "out", "wb") as out:
            self.process = subprocess.Popen(["nginx", "-p", str(self.base), "-c", str(config)], stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **keep})
        for _ in range(500):
            try:
                self.counts()
                return self
            except OSError:
                time.sleep(0.01)
            if self.process.poll() is not None:
                break
        self.stop()
        raise RuntimeError("nginx did not start: " + (self.base / "out").read_text())

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def ask(self, what):
        with urllib.request.urlopen(f"{self.url}/-/{what}", timeout=300) as answer:
            return answer.read().decode()

    def set(self, delay_s=None, away=None):
        arguments = ([] if delay_s is None else [f"delay={delay_s}"]) + ([] if away is None else [f"away={away:d}"])
        self.ask("set?" + "&".join(arguments))

    def empty(self):
        """As new: no container, no blob, every count 0."""
        self.ask("empty")

    def reset(self):
        """Counts and stamps begin anew; what is stored stays."""
        self.ask("reset")

    def counts(self):
        """Requests by kind, `all` of them, `bytes` of content received, what is stored (`blobs`, `size`), and the
        monotonic clock at the `last` change."""
        return json.loads(self.ask("counts"))

    def stamps(self):
        """[(seconds of the monotonic clock, container/name)] of each change since the last reset."""
        lines = (line.split(" ", 1) for line in self.ask("stamps").splitlines())
        return [(float(at), key) for at, key in lines]

    def cpu(self):
        """Seconds that the worker has used."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS
