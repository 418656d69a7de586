"""The rows in which a daemon stays: how soon it is there, what it costs, what it asks of the service."""
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import time

import trees
from life import Life, kept
from tools import LIMIT, Command, Measured, environment, reference

CHANGES = 200
IDLE_SECONDS = 60
WATCHES = pathlib.Path("/proc/sys/fs/inotify/max_user_watches")
MANY = 10_000
OPEN_GUARD = {"files": 1_000_000, "percent": 100}


# --- start to ready ---

def start_azsyncd(state, folder, sink):
    sink.reset()
    with Life(state, folder, sink) as life:
        ready = life.wait() - life.program.began
        result = life.end()
    return {**result, "wall": ready, "requests": sink.counts()}


def start_lsyncd(base, folder):
    """lsyncd sets its watches, and then its action at startup is called; here it compares nothing."""
    ready, config = base / "ready", base / "lsyncd.lua"
    config.write_text(f"""settings {{ nodaemon = true, insist = true, logfile = "{base}/log" }}
sync {{ source = "{folder}", target = "nowhere", delay = 1, onCreate = function(event) end,
        onStartup = function(event) spawnShell(event, "touch {ready}") end }}
""")
    with Measured(Command(["lsyncd", str(config)], environment(base)), base) as program:
        while not ready.exists():
            if program.process.poll() is not None or time.monotonic() - program.began > LIMIT:
                raise RuntimeError("lsyncd: " + program.output())
            time.sleep(0.002)
        wall = time.monotonic() - program.began
        return {**program.terminate(expect=143), "wall": wall}


def watchman_calls(base, *calls):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT)
        while True:
            try:
                s.connect(str(base / "sock"))
                break
            except OSError:
                time.sleep(0.002)
        with s.makefile("rw") as stream:
            for call in calls:
                stream.write(json.dumps(call) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                if "error" in answer:
                    raise RuntimeError(f"watchman: {answer['error']}")


def start_watchman(base, folder):
    """watchman answers a question about its clock once it has crawled the tree and watches all of it."""
    arguments = ["watchman", "--foreground", f"--sockname={base}/sock", f"--statefile={base}/state",
                 f"--logfile={base}/log", f"--pidfile={base}/pid"]
    with Measured(Command(arguments, environment(base)), base) as program:
        watchman_calls(base, ["watch", str(folder)], ["clock", str(folder), {"sync_timeout": 60_000}])
        wall = time.monotonic() - program.began
        watchman_calls(base, ["shutdown-server"])
        return {**program.end(), "wall": wall}


def watch(bench):
    """100,000 folders with 200,000 files watched and compared, nothing changed: start to in sync"""
    folder = trees.wide(bench.base)
    if int(WATCHES.read_text()) < 110_000:
        print(f"  {WATCHES} is too low: azsyncd will poll, the others fail")
    with bench.sink() as sink:
        state = kept(bench, sink, folder) if bench.wanted(["azsyncd"]) else None
        trees.warm(folder, content=False)
        starts = {"azsyncd": lambda: start_azsyncd(state, folder, sink),
                  "lsyncd": lambda: start_lsyncd(bench.work(), folder),
                  "watchman": lambda: start_watchman(bench.work(), folder),
                  "du": lambda: reference(bench.work(), "du", "-s", str(folder))}
        return bench.interleaved(starts, lambda tool: starts[tool]())


def restart(bench):
    """1,000,000 files, restart, nothing changed: start to in sync"""
    folder = trees.million(bench.base)
    with bench.sink() as sink:
        state = kept(bench, sink, folder) if bench.wanted(["azsyncd"]) else None
        trees.warm(folder, content=False)
        starts = {"azsyncd": lambda: start_azsyncd(state, folder, sink),
                  "du": lambda: reference(bench.work(), "du", "-s", str(folder))}
        return bench.interleaved(starts, lambda tool: starts[tool]())


# --- while it runs ---

def offline(bench):
    """200,000 files come while the service is away: until all are pending, and ten seconds more"""
    files = trees.pending(bench.base)

    def run(tool):
        folder = trees.emptied(bench.base / "offline-folder")
        sink.empty()
        sink.set(away=False)
        with Life(bench.work(), folder, sink) as life:
            life.wait()
            sink.set(away=True)
            files.rename(folder / "files")
            try:
                began = time.monotonic()
                while (state := life.status())["pending"] < 200_000:
                    if time.monotonic() - began > LIMIT:
                        raise RuntimeError(f"only {state['pending']} pending")
                    time.sleep(0.1)
                wall = time.monotonic() - began
                time.sleep(10)
                return {**life.end(), "wall": wall}
            finally:
                (folder / "files").rename(files)

    with bench.sink() as sink:
        return bench.interleaved(["azsyncd"], run)


def change(bench):
    """one small file after the other is rewritten among 200,000 idle ones: from close to the sink's answer"""
    folder = trees.wide(bench.base)
    chance = random.Random(4)

    def run(tool):
        sink.reset()
        closed = {}
        with Life(state, folder, sink) as life:
            life.wait()
            while len(closed) < CHANGES:
                name = f"t{chance.randrange(100):02d}/s{chance.randrange(999):03d}/file00000.dat"
                if f"bench/{name}" in closed:
                    continue
                with open(folder / name, "wb") as f:
                    f.write(os.urandom(16))
                closed[f"bench/{name}"] = time.monotonic()
                time.sleep(chance.uniform(0.03, 0.12))
            life.wait()
            cost = life.end()
        first = {}
        for at, key in sink.stamps():
            first.setdefault(key, at)
        took = sorted((first[key] - at) * 1000 for key, at in closed.items())
        return {"cpu": cost["cpu"], "rss": cost["rss"], "median_ms": statistics.median(took),
                "p99_ms": took[int(len(took) * 0.99) - 1], "worst_ms": took[-1], "requests": sink.counts()}

    with bench.sink() as sink:
        state = kept(bench, sink, folder)
        return bench.interleaved(["azsyncd"], run)


def moved(bench, move, blobs):
    """10,000 files in a folder beside 100 others are in sync; then move(folder): what the service is asked until they
    are in sync again."""
    def run(tool):
        folder = trees.emptied(bench.base / "many-folder")
        trees.fill_folder(folder / "kept", 100, 16)
        trees.fill_folder(folder / "many", MANY, 16)
        sink.empty()
        with Life(bench.work(), folder, sink, delete_guard=OPEN_GUARD) as life:
            life.wait()
            sink.reset()
            began = time.monotonic()
            move(folder)
            wall = life.wait() - began
            rss = life.end()["rss"]
        counts = sink.counts()
        if counts["blobs"] != blobs:
            raise RuntimeError(f"{counts['blobs']} blobs in the end: {life.program.output()}")
        return {"wall": wall, "rss": rss, "requests": counts}

    with bench.sink() as sink:
        return bench.interleaved(["azsyncd"], run)


def delete(bench):
    """a folder of 10,000 files is deleted, the guard raised for it"""
    return moved(bench, lambda folder: shutil.rmtree(folder / "many"), 100)


def rename(bench):
    """a folder of 10,000 files is renamed"""
    return moved(bench, lambda folder: (folder / "many").rename(folder / "renamed"), 100 + MANY)


def idle(bench):
    """100,000 folders with 200,000 files, in sync, nothing happens for a minute"""
    folder = trees.wide(bench.base)

    def run(tool):
        with Life(state, folder, sink) as life:
            life.wait()
            time.sleep(5)
            sink.reset()
            ticks, wakes = life.ticks(), life.field("voluntary_ctxt_switches")
            time.sleep(IDLE_SECONDS)
            result = {"ticks": life.ticks() - ticks, "wakes": life.field("voluntary_ctxt_switches") - wakes,
                      "memory": life.field("VmRSS") / 1024, "requests": sink.counts()}
            life.end()
        return result

    with bench.sink() as sink:
        state = kept(bench, sink, folder)
        return bench.interleaved(["azsyncd"], run)


ROWS = {"watch": watch, "restart": restart, "offline": offline, "change": change, "delete": delete, "rename": rename,
        "idle": idle}
