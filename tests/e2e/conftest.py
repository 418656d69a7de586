"""What every end-to-end test is given besides given.py: a folder, a daemon."""
import itertools
import os
import pathlib
import random
import signal

import pytest

from daemon import AZSYNCD, SANITIZED, Daemon

pytest_plugins = ["given"]


def pytest_configure(config):
    config.addinivalue_line("markers", "asan: also run against the build with sanitizers")
    config.addinivalue_line("markers", "timing: measures time, or a race: run alone, and never under sanitizers")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # nohup and a shell's & have them ignored, by all that is started
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    assert AZSYNCD.exists(), f"{AZSYNCD} is missing: scripts/test builds it"


def pytest_collection_modifyitems(items):
    if SANITIZED:
        for item in items:
            if item.get_closest_marker("timing"):
                item.add_marker(pytest.mark.skip(reason="sanitizers change what it measures"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def make(tmp_path, account, folder):
    """make(...) -> a Daemon that mirrors `folder` to the container "box"; stopped at the end whatever happens. It does not
    rescan by itself: what is overlooked must not be found by chance while a test waits."""
    made, numbers = [], itertools.count()

    def new(mapping=None, port=None, base=None, accounts=None, mappings=None, **options):
        accounts = accounts or {"main": {"connection-string": account.connection_string(port)}}
        if mappings is None:
            mappings = {"docs": {"folder": str(folder), "container": "box", "rescan": "30d", **(mapping or {})}}
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
