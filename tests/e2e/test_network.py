"""Every request may go wrong, in seven ways, while everything changes (pitfalls section 10; invariants a-f of section 12)."""
import collections
import random
import threading
import time

from daemon import until
from honesty import Honesty
from proxy import Alter, Answer, Cut, Late, Reset
from workload import NO_GUARD, Workload

WAYS = {"503", "500", "reset", "answer lost", "cut answer", "portal", "late"}
NOT_OURS = {"x-ms-error-code": None, "x-ms-request-id": None}


class Storm:
    """A rule: hits so many of a hundred requests, at random, each in one of seven ways."""

    def __init__(self, seed):
        self.random, self.lock = random.Random(seed), threading.Lock()  # one thread per connection asks
        self.percent, self.hits = 0, collections.Counter()

    def ways(self, request):
        # A new blob's request may not come late: no condition stops it once its file is gone (see
        # test_zombie_of_a_file_that_is_gone), and only what the daemon can answer for is asserted here.
        late = "if-match" in request.headers
        return {"503": Answer(503), "500": Answer(500, "InternalError"), "reset": Reset(), "answer lost": Reset(after=True),
                "cut answer": Cut(self.random.choice((10, 60, 120))),
                "portal": Answer(200, "", {"Content-Type": "text/html", **NOT_OURS}, b"<html>log in</html>"),
                "late": Late(self.random.uniform(0.1, 3)) if late else Alter({"ETag": '"0x8D', "x-ms-request-id": None})}

    def __call__(self, request):
        with self.lock:
            if self.random.uniform(0, 100) >= self.percent:
                return None
            way = self.random.choice(sorted(self.ways(request)))
            self.hits[way] += 1
            return self.ways(request)[way]


def or_told(check, proxy, workload):
    """With the story of each blob that is wrong: a storm is not repeated exactly by its seed, for threads take part."""
    try:
        return check()
    except AssertionError as wrong:
        for name in sorted({r.blob for r in proxy.requests if r.blob and f"'{r.blob}'" in str(wrong)}):
            names = tuple(workload.names(name))
            print(f"--- {name}\n{workload.story(name)}")
            for r in proxy.requests:
                if r.blob in names or r.headers.get("x-ms-copy-source", "").endswith(names):
                    condition = {k: v for k, v in r.headers.items() if k in ("if-match", "if-none-match")}
                    print(f"{r.began:.3f} {r.verb} {r.blob} {condition} {r.headers.get('x-ms-copy-source', '')} -> "
                          f"{r.status} {r.fault or ''}")
        raise


def test_requests_that_fail(make, account, proxy, folder, equal, seed, rounds):
    """30 % of all requests fail in seven ways under a random workload, then 5 %, then none: equal each time, nothing failed, nobody's
    blob in conflict, never called in sync while it was not, and no write without a condition."""
    seconds, storm, client = rounds(8, 60), Storm(seed), account.client()
    workload = Workload(folder, seed, large=0)
    proxy.rule = storm
    counts = []
    with make(NO_GUARD, port=proxy.port, speedup=100) as d:
        with Honesty(d, workload, client, seed) as honesty:
            for percent in (30, 5, 0):
                storm.percent, before = percent, proxy.mark()
                workload.start(pause=0.02)
                time.sleep(seconds if percent == 30 else seconds / 2)  # the storm itself
                until(lambda: storm.hits.keys() == WAYS, what="a storm of each way")
                workload.stop()
                harm = workload.harm(workload.blobs(client))
                assert harm == [], "\n".join(harm[:20])
                d.wait_sync()  # at the same rate of faults: patience is enough
                late = [r for r in proxy.requests if isinstance(r.fault, Late)]
                until(lambda late=late: all(r.status for r in late), what="what was late has arrived")
                or_told(equal, proxy, workload)
                workload.settled()
                status = d.status()
                assert not any(status[k] for k in ("conflicts", "failed", "held", "pending")), status
                counts.append(f"{percent} %: {proxy.count(since=before)} requests")
        taken = collections.Counter(r.status for r in proxy.requests if isinstance(r.fault, Late) and r.fault)
        honest = or_told(honesty.check, proxy, workload)
        print(f"{'; '.join(counts)}; hit {dict(storm.hits)}; late ones answered {dict(taken)}; {workload.sequence} states: "
              f"equal, 0 failed, 0 conflicts; {honest}")
