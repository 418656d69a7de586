"""Changes of every kind to a folder of many small files, and what they have to cost: the requests, and the bytes."""
import collections

LEAST = 2000  # files


class Changes:
    """Fifty changes to a tree() of LEAST files or more, of which `cost` keeps the account: requests by their verb (of
    deletions the names, however many travel together), and `bytes` of content."""

    def __init__(self, folder, per_folder=100):
        self.folder, self.per_folder = folder, per_folder
        self.cost = collections.Counter()

    def _file(self, n):
        return self.folder / f"d{n // self.per_folder:03d}/f{n:05d}.txt"

    def _write(self, path, data):
        path.write_bytes(data)
        self.cost.update({"put-blob": 1, "bytes": len(data)})

    def make(self):
        for n in range(10):
            self._write(self.folder / f"d000/new{n}", b"new %d" % n)
        for n in range(100, 110):  # another size
            self._write(self._file(n), b"edited %d" % n)
        for n in range(200, 205):  # of the same size
            self._write(self._file(n), self._file(n).read_bytes()[::-1])
        for n in range(300, 305):  # saved as editors do
            other = self._file(n).with_name("saving~")
            self._write(other, b"saved %d" % n)
            other.rename(self._file(n))
        for n in range(400, 410):  # renamed, within a folder and into another one
            self._file(n).rename(self.folder / f"d{n % 2:03d}/renamed{n}")
            self.cost.update({"copy": 1, "deletions": 1})
        for n in range(500, 508):
            self._file(n).unlink()
            self.cost.update(deletions=1)
        (self.folder / "d006").rename(self.folder / "moved")
        self.cost.update({"copy": self.per_folder, "deletions": self.per_folder})
        self._file(700).chmod(0o640)  # what a file is besides its content
        self.cost.update({"set-metadata": 1})
        return self


def spent(proxy, since=0):
    """What a counting proxy saw, in the terms of Changes.cost."""
    seen = collections.Counter(r.verb for r in proxy.requests[since:])
    deletions = len(proxy.deletions(since))
    for verb in ("batch", "delete"):
        seen.pop(verb, None)
    content = sum(r.sent for r in proxy.requests[since:] if r.verb != "batch")
    return +collections.Counter(seen, deletions=deletions, bytes=content)


def check(proxy, since, cost):
    """Fails unless exactly `cost` was spent. What the service left unanswered (Azurite does, with many blobs) has to be
    asked about and deleted once more; nothing but that may come on top, and only then."""
    seen = spent(proxy, since)
    more, less = seen - cost, cost - seen
    unanswered = [r.verb for r in proxy.requests[since:] if not r.answered]
    assert not less, f"not made: {less}"
    assert set(more) <= ({"head", "deletions"} if unanswered else set()), f"too much: {more}; unanswered: {unanswered}"
