"""What the end-to-end tests and those with systemd are given alike: a real service, an account of its own, a proxy in
front of it, who compares, and trees of files."""
import contextlib
import shutil
import time

import pytest

from azurite import Azurite
from compare import compare
from proxy import Proxy

YOUNG = 240  # seconds from its start


def tree(folder, count, size=200, per_folder=100):
    """`count` small files, each with content of its own."""
    for n in range(count):
        where = folder / f"d{n // per_folder:03d}"
        if n % per_folder == 0:
            where.mkdir(parents=True, exist_ok=True)
        (where / f"f{n:05d}.txt").write_bytes((b"%d " % n * size)[:size])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.passed = report.passed


@pytest.fixture(autouse=True)
def room(request, tmp_path):
    """For the others: all that the tests write is some gigabytes, and a /tmp may be small. What failed is kept."""
    yield
    if getattr(request.node, "passed", False):
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="module")
def azurites(tmp_path_factory):
    """azurites() -> one that is young. After ten minutes Azurite sweeps what nobody refers to any more, and in memory that can
    stop it for minutes; so each file of tests has its own, and another one when that is old, as on a slow machine."""
    with contextlib.ExitStack() as stack:
        def young():
            if time.monotonic() > young.until:
                stack.close()
                young.service = stack.enter_context(Azurite(tmp_path_factory.mktemp("azurite")))
                young.until = time.monotonic() + YOUNG
            return young.service
        young.until = 0
        yield young


@pytest.fixture
def azurite(azurites):
    return azurites()


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
def equal(account, folder):
    """equal() fails with every difference between the folder and the container, told by the SDK."""
    def check(where=None, container="box", **options):
        wrong = compare(account.client(), container, where or folder, **options)
        assert wrong == [], "\n".join(wrong[:20])
    return check
