"""What the end-to-end tests and those with systemd are given alike: a real service, an account of its own, a proxy in
front of it, who compares, and trees of files."""
import shutil

import pytest

from azurite import Azurite
from compare import compare
from proxy import Proxy


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
def equal(account, folder):
    """equal() fails with every difference between the folder and the container, told by the SDK."""
    def check(where=None, container="box", **options):
        wrong = compare(account.client(), container, where or folder, **options)
        assert wrong == [], "\n".join(wrong[:20])
    return check
