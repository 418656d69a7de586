"""What every end-to-end test is given: a real service, an account of its own, a folder, a daemon."""
import itertools
import os
import pathlib
import random

import pytest

from azurite import Azurite
from compare import compare
from daemon import AZSYNCD, SANITIZED, Daemon
from proxy import Proxy


def pytest_configure(config):
    config.addinivalue_line("markers", "asan: also run against the build with sanitizers")
    config.addinivalue_line("markers", "timing: measures time, or a race: run alone, and never under sanitizers")
    assert AZSYNCD.exists(), f"{AZSYNCD} is missing: scripts/test builds it"


def pytest_collection_modifyitems(items):
    if SANITIZED:
        for item in items:
            if item.get_closest_marker("timing"):
                item.add_marker(pytest.mark.skip(reason="sanitizers change what it measures"))


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """One for each file of tests: after ten minutes Azurite sweeps what nobody refers to any more, and in memory that can
    stop it for minutes; and a young one is a fast one."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as service:
        yield service


@pytest.fixture
def account(azurite):
    return azurite.account()


@pytest.fixture
def proxy(azurite):
    """The counting proxy. Whatever the test does, no write goes without a condition (pitfalls 10.6, invariant f)."""
    with Proxy(azurite.port) as p:
        yield p
    assert p.unconditional() == []


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def make(tmp_path, account, folder):
    """make(...) -> a Daemon that mirrors `folder` to the container "box"; stopped at the end whatever happens."""
    made, numbers = [], itertools.count()

    def new(mapping=None, port=None, base=None, accounts=None, mappings=None, **options):
        accounts = accounts or {"main": {"connection-string": account.connection_string(port)}}
        if mappings is None:
            mappings = {"docs": {"folder": str(folder), "container": "box", **(mapping or {})}}
        daemon = Daemon(base or tmp_path / f"daemon{next(numbers)}", accounts, mappings, **options)
        made.append(daemon)
        return daemon

    yield new
    for daemon in made:
        if daemon.process:
            daemon.process.kill()
            daemon.process.wait()
    for daemon in made:
        daemon.check_sanitizers()


@pytest.fixture
def equal(account, folder):
    """equal() fails with every difference between the folder and the container, told by the SDK."""
    def check(where=None, container="box", **options):
        wrong = compare(account.client(), container, where or folder, **options)
        assert wrong == [], "\n".join(wrong[:20])
    return check


@pytest.fixture
def rounds():
    """rounds(sample, full): how often an experiment is repeated: `sample` times in every test run, `full` under
    scripts/torture, or as often as was asked for there."""
    def choose(sample, full):
        asked = os.environ.get("AZSYNC_ROUNDS", "")
        return full if asked == "full" else int(asked) if asked else sample
    return choose


@pytest.fixture
def seed():
    """Of whatever is random in a test; printed, and AZSYNC_SEED repeats it."""
    number = int(os.environ.get("AZSYNC_SEED") or random.SystemRandom().randrange(1, 10**9))
    print(f"AZSYNC_SEED={number}")
    return number


@pytest.fixture(scope="session")
def headers(tmp_path_factory):
    """Real files in real sub-folders: the machine's own kernel headers."""
    source = pathlib.Path("/usr/include/linux")
    assert source.is_dir(), "linux-libc-dev is missing"
    return source


def tree(folder, count, size=200, per_folder=100):
    """`count` small files, each with content of its own."""
    for n in range(count):
        where = folder / f"d{n // per_folder:03d}"
        if n % per_folder == 0:
            where.mkdir(parents=True, exist_ok=True)
        (where / f"f{n:05d}.txt").write_bytes((b"%d " % n * size)[:size])
