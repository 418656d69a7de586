"""kill -9 at random moments under everything that users do (pitfalls 8, 8.1-8.3; invariants a, b and d of section 12)."""
import random
import time

from honesty import Honesty
from workload import NO_GUARD, Workload


def test_random_kills(make, account, folder, equal, seed, rounds):
    """After each kill nothing in the cloud is torn or lost, though nothing was finished; after each restart and `wait`
    it is equal, nothing is failed, and no write of our own is taken for somebody else's."""
    chance, client, kills = random.Random(seed), account.client(), 0
    workload, daemon = Workload(folder, seed), make(NO_GUARD)
    daemon.start()
    with Honesty(daemon, workload, client, seed) as honesty:
        while kills < rounds(8, 200):
            workload.start()
            for _ in range(chance.choice((1, 1, 2))):  # the second one hits the scan at the start
                if not daemon.process:
                    daemon.start(ready=False)
                time.sleep(chance.uniform(0, 1.2))  # the random moment
                daemon.kill9()
                kills += 1
                harm = workload.harm(workload.blobs(client))
                assert harm == [], f"after {kills} kills:\n" + "\n".join(harm[:20])
            workload.stop()
            daemon.start()
            daemon.wait_sync()
            equal()
            workload.settled()
            status = daemon.status()
            assert not any(status[k] for k in ("conflicts", "failed", "held", "pending")), status
    print(f"{kills} kills, {workload.sequence} states, {sum(workload.steps.values())} steps {dict(workload.steps)}: "
          f"equal each time, 0 torn, 0 lost, 0 conflicts; {honesty.check()}")
    assert daemon.stop() == 0
