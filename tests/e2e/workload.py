"""A random, seeded workload over a folder, which remembers every state that each path was ever in.

So it can tell, whatever happens meanwhile: which contents a blob may have (a state that the path really had: anything
else is torn), which blobs must be there (nothing that exists is lost on its way to another name), and what must be in
the cloud when `wait` says so. A state is written down before the system call that makes it, under `lock`; so whoever
holds the lock sees a folder at rest.
"""
import collections
import concurrent.futures
import hashlib
import os
import random
import threading
import time

from azure.core.exceptions import ResourceNotFoundError

from compare import blob_to_name

LARGE = 5 * 2**20 + 4321  # above 4 MiB a file is sent by blocks
PIECE = 64 * 1024
NO_GUARD = {"delete-guard": {"files": 10**9, "percent": 100}}  # for a mapping: it deletes all the time


def digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()


def short(digest):
    return digest.hex()[:8] if digest else "no file"


class Node:
    """A file: what it holds, under which names, and since which step it exists."""

    def __init__(self, data, path, born):
        self.data, self.paths, self.born = bytearray(data), {path}, born
        self.names = {path}  # all that it ever had since the last settled()
        self.known = set()   # those that it had then
        self.fresh = set()   # others that it was written through while it had more than one


class Workload:
    def __init__(self, folder, seed, files=40, folders=6, large=1, hard_links=True):
        self.folder, self.seed = str(folder), seed
        self.random = random.Random(seed)
        self.files, self.folders, self.hard_links = files, folders, hard_links
        self.lock = threading.RLock()
        self.sequence = 0      # of the last state that was written down
        self.made = 0          # numbers names and contents
        self.steps = collections.Counter()
        self.history = collections.defaultdict(lambda: [(0, None)])  # path -> [(sequence, digest; None: no file)]
        self.nodes = {}        # path -> Node
        self.etags = {}        # blob -> (etag, digest) of what was downloaded last
        self.settled_nodes = []
        self.said = collections.deque(maxlen=20000)  # (seconds, sequence, step or path, what it was or became)
        self.questions = set()  # sequences that somebody still asks about with older()
        self.thread, self.running, self.error = None, False, None
        for n in range(folders):
            os.makedirs(self._at(f"d{n}"), exist_ok=True)
        for n in range(files):
            self.new()
        for n in range(large):
            self.new(size=LARGE)

    # --- the folder and its history ---

    def _at(self, path):
        return os.path.join(self.folder, path)

    def _say(self, path, data):
        self.sequence += 1
        self.said.append((time.monotonic(), self.sequence, path, short(data if data is None else digest(data))))
        self.history[path].append((self.sequence, None if data is None else digest(data)))

    def _state(self, node, data):
        """Every name of it will hold `data`."""
        node.data = data if isinstance(data, bytearray) else bytearray(data)
        for path in node.paths:
            self._say(path, node.data)

    def _put(self, path, node):
        """`path` will be `node`, whatever it was."""
        self._drop(path, absent=False)
        node.paths.add(path)
        node.names.add(path)
        self.nodes[path] = node
        self._say(path, node.data)

    def _drop(self, path, absent=True):
        node = self.nodes.pop(path, None)
        if node:
            node.paths.discard(path)
        if absent:
            self._say(path, None)

    def _content(self, size=None):
        """No two are alike."""
        self.made += 1
        size = self.random.choice((20, 300, 3000, 20000)) if size is None else size
        line = b"version %d of the workload with seed %d\n" % (self.made, self.seed)
        return (line * (size // len(line) + 1))[:max(size, len(line))]

    def _name(self):
        self.made += 1
        return f"{self.random.choice(self._folders())}/f{self.made}"

    def _folders(self):
        return sorted(e.name for e in os.scandir(self.folder) if e.is_dir(follow_symlinks=False))

    def _pick(self):
        return self.random.choice(sorted(self.nodes)) if self.nodes else None

    def _kept(self, path):
        """What was written through a new hard link is not known to be its file's if nobody looks before the link goes
        (docs/reliability.md, Known limits): so it stays until the next settled()."""
        return path in self.nodes and path in self.nodes[path].fresh

    def _write(self, path, flags, data, at=None):
        fd = os.open(self._at(path), flags | os.O_CLOEXEC, 0o644)
        try:
            n = os.write(fd, data) if at is None else os.pwrite(fd, data, at)
            assert n == len(data)
        finally:
            os.close(fd)

    # --- the operations; each is one change that a user or a program would make ---

    def new(self, size=None):
        path, data = self._name(), self._content(size)
        self._say(path, b"")
        self._put(path, Node(data, path, self.sequence))
        self._write(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, data)

    def rewrite(self, path):
        """What an editor without manners does: truncate, then write."""
        node, data = self.nodes[path], self._content()
        self._state(node, b"")
        self._state(node, data)
        self._write(path, os.O_WRONLY | os.O_TRUNC, data)

    def overwrite(self, path):
        """Bytes in the middle, the size stays."""
        node = self.nodes[path]
        if not node.data:
            return
        data = bytearray(node.data)
        piece = self._content(min(len(data), PIECE))[:len(data)]
        at = self.random.randrange(len(data) - len(piece) + 1)
        data[at:at + len(piece)] = piece
        self._state(node, data)
        self._write(path, os.O_WRONLY, piece, at)

    def append(self, path):
        node, data = self.nodes[path], self._content(self.random.choice((40, 2000)))
        if len(node.data) > LARGE + PIECE:
            return
        self._state(node, node.data + data)
        self._write(path, os.O_WRONLY | os.O_APPEND, data)

    def truncate(self, path):
        node = self.nodes[path]
        size = 0 if self.random.random() < 0.5 else len(node.data) // 2
        if len(node.data) >= LARGE:
            return  # one stays large
        self._state(node, node.data[:size])
        os.truncate(self._at(path), size)

    def save(self, path):
        """Atomically: another file is renamed over it."""
        temporary, data = path + "~", self._content()
        if len(self.nodes[path].data) >= LARGE:
            data = self._content(LARGE)
        self._say(temporary, b"")
        self._say(temporary, data)
        self._write(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, data)
        self._put(path, Node(data, path, self.sequence))
        self._say(temporary, None)
        os.rename(self._at(temporary), self._at(path))

    def delete(self, path):
        if len(self.nodes[path].data) >= LARGE:
            return
        self._drop(path)
        os.unlink(self._at(path))

    def rename(self, path):
        """To a new name, or over another file."""
        target = self._name() if self.random.random() < 0.7 else self._pick()
        node = self.nodes[path]
        if self.nodes.get(target) is node or self._kept(target):
            return  # rename(2) does nothing between two names of one file
        self._put(target, node)
        self._drop(path)
        os.rename(self._at(path), self._at(target))

    def link(self, path):
        if not self.hard_links:
            return
        target = self._name()
        self._put(target, self.nodes[path])
        os.link(self._at(path), self._at(target))

    def chmod(self, path):
        if len(self.nodes[path].paths) == 1:  # reported for one name only, and no bytes change: the rescan's task (5.4)
            os.chmod(self._at(path), self.random.choice((0o600, 0o640, 0o644, 0o755)))

    def touch(self, path):
        """Also backwards, as cp -p, tar and rsync do (4.1)."""
        if len(self.nodes[path].paths) == 1:
            when = time.time_ns() - self.random.choice((0, 10**9, 86400 * 10**9 * 365))
            os.utime(self._at(path), ns=(when, when))

    def move_folder(self):
        source = self.random.choice(self._folders())
        self.made += 1
        target = f"d{self.made}"
        paths = [p for p in sorted(self.nodes) if p.startswith(source + "/")]
        if any(self._kept(path) for path in paths):
            return
        for path in paths:
            self._put(target + path[len(source):], self.nodes[path])
            self._drop(path)
        os.rename(self._at(source), self._at(target))

    def swap_kind(self, path):
        """A file becomes a folder of the same name with a file in it, and the other way round (5.7)."""
        if len(self.nodes[path].data) >= LARGE or path.count("/") > 1:
            return
        data = self._content()
        self.delete(path)
        os.mkdir(self._at(path))
        inner = path + "/inner"
        self._say(inner, b"")
        self._put(inner, Node(data, inner, self.sequence))
        self._write(inner, os.O_WRONLY | os.O_CREAT, data)
        if self.random.random() < 0.5:
            return
        self.delete(inner)
        os.rmdir(self._at(path))
        self._say(path, b"")
        self._put(path, Node(data, path, self.sequence))
        self._write(path, os.O_WRONLY | os.O_CREAT, data)

    WEIGHTS = {"rewrite": 6, "overwrite": 4, "append": 5, "truncate": 2, "save": 6, "delete": 3, "rename": 5, "link": 1,
               "chmod": 2, "touch": 2, "swap_kind": 1}

    WRITES = {"rewrite", "overwrite", "append", "truncate"}
    TAKES_AWAY = {"save", "delete", "rename", "swap_kind"}

    def step(self):
        with self.lock:
            if len(self.nodes) < self.files or self.random.random() < 0.1:
                kind = "new"
            elif self.random.random() < 0.04:
                kind = "move_folder"
            else:
                kind = self.random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
            if len(self.nodes) > 2 * self.files:
                kind = "delete"
            picked = [self._pick()] if kind in self.WEIGHTS else []
            if kind in self.TAKES_AWAY and self._kept(picked[0]):
                return
            if kind in self.WRITES and len(self.nodes[picked[0]].paths) > 1:
                self.nodes[picked[0]].fresh |= set(picked) - self.nodes[picked[0]].known
            self.said.append((time.monotonic(), self.sequence, kind, sorted(self.nodes[picked[0]].paths) if picked else ""))
            getattr(self, kind)(*picked)
            self.steps[kind] += 1

    # --- in the background ---

    def start(self, pause=0.01):
        """Steps in a thread of its own, with random pauses around `pause` seconds: the workload, no wait."""
        def run():
            try:
                while self.running:
                    self.step()
                    time.sleep(self.random.expovariate(1 / pause))
            except Exception as error:  # told in stop(), where somebody looks
                self.error = error
        self.running = True
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.running = False
        if self.thread:
            self.thread.join()
            self.thread = None
        if self.error:
            raise self.error

    def reread(self):
        """The folder is another one now (a power cut took the newest changes back): what is there is the truth."""
        with self.lock:
            self.nodes, self.settled_nodes, inodes, found = {}, [], {}, {}
            for where, _, names in os.walk(self.folder):
                for name in names:
                    at = os.path.join(where, name)
                    with open(at, "rb") as f:
                        found[os.path.relpath(at, self.folder)] = (os.fstat(f.fileno()).st_ino, f.read())
            for path in self.history.keys() - found.keys():
                self._say(path, None)
            for path, (inode, data) in sorted(found.items()):
                self._put(path, inodes.setdefault(inode, Node(data, path, self.sequence)))

    def names(self, path):
        """Each that its file ever had."""
        return {path} | (self.nodes[path].names if path in self.nodes else set())

    def story(self, path):
        """What was done to it, and to each name that its file ever had."""
        names = self.names(path)
        return "\n".join(f"{at:.3f} {what} {how}" for at, _, what, how in self.said if what in names or names & set(how or ()))

    # --- what must be true of the container, at any moment ---

    @staticmethod
    def _download(blob):
        """Its ETag, and the digest of the bytes that bear it."""
        while True:
            stream = blob.download_blob()
            data, etag = stream.readall(), stream.properties.etag
            # An empty blob is asked for twice by the SDK, which takes the second answer's ETag, and none of its bytes.
            if data:
                return etag.strip('"'), digest(data)
            now = blob.get_blob_properties()
            if now.etag == etag and now.size == 0:
                return etag.strip('"'), digest(data)

    def blobs(self, client, container="box"):
        """{path: digest} of all blobs that one listing has, downloaded unless the ETag is one that was downloaded before. None
        is the digest of those that went between: by then their file may have a blob of another name."""
        service = client.get_container_client(container)

        def one(blob):
            known = self.etags.get(blob.name)
            if not known or known[0] != blob.etag.strip('"'):
                try:
                    known = self._download(service.get_blob_client(blob.name))
                except ResourceNotFoundError:
                    return blob.name, ("", None)
            return blob.name, known
        try:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                found = dict(pool.map(one, list(service.list_blobs())))
        except ResourceNotFoundError:
            return {}  # no container yet
        self.etags = found
        return {os.fsdecode(blob_to_name(name)): known[1] for name, known in found.items()}

    def settled(self):
        """Equal now: from here on, what exists must never be without a blob, and what was before is history."""
        with self.lock:
            floor = min(self.questions, default=self.sequence)
            for path, states in list(self.history.items()):
                del states[:max((i for i, (n, _) in enumerate(states) if n <= floor), default=0)]
                if len(states) == 1 and states[0][1] is None and states[0][0] <= floor:
                    del self.history[path]
            self.settled_nodes = list({id(n): n for n in self.nodes.values()}.values())
            for node in self.settled_nodes:
                node.names, node.known, node.fresh = set(node.paths), set(node.paths), set()

    def harm(self, blobs):
        """What is wrong with these blobs, however little the daemon has done: torn ones, and lost files."""
        with self.lock:
            wrong = [f"torn: {path!r} holds what the file never held" for path, found in sorted(blobs.items())
                     if found and all(found != was for _, was in self.history[path])]
            wrong += [f"lost: {sorted(node.names)} exists, and no blob of it" for node in self.settled_nodes
                      if node.paths and not node.names & blobs.keys()]
        return wrong

    def older(self, blobs, sequence):
        """Paths whose blob is older than `sequence`: `wait` was asked then, and said that they are in the cloud."""
        wrong = []
        with self.lock:
            for path, states in self.history.items():
                then = max((i for i, (n, _) in enumerate(states) if n <= sequence), default=0)
                if all(blobs.get(path) != state for _, state in states[then:]):
                    wrong.append(f"not in sync: {path!r} is {short(blobs.get(path))}, etag {self.etags.get(path, ('',))[0]}, "
                                 f"not {[short(state) for _, state in states[then:]]}")
        return wrong
