"""azsyncctl add: from a folder and a URL to a mapping that runs; and if not, nothing was changed, and nobody saw the secret."""
import datetime
import fcntl
import json
import os
import pathlib
import shutil
import stat
import subprocess
import threading

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from daemon import AZSYNCCTL, AZSYNCD, LIMIT, SLOW, WITHOUT_POWERS, Daemon, Result, until
from proxy import Gate
from terminal import terminal

EMULATOR = "http://127.0.0.1:10000/devstoreaccount1"


def shot(d):
    """Every file of the configuration: content, mode and owner."""
    found = {}
    for path in sorted(d.config.rglob("*")):
        st = path.lstat()
        found[str(path.relative_to(d.config))] = (stat.filemode(st.st_mode), st.st_uid, st.st_gid,
                                                   path.read_bytes() if path.is_file() else None)
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def add(d, *args, secret="", wrapper=(), **options):
    """With the secret on standard input; it must come back in no output, and no command line."""
    done = subprocess.run([*wrapper, *d.ctl_arguments("--state-dir", str(d.state), "add", *map(str, args))],
                          env=d.environment(), input=secret.encode(), capture_output=True, timeout=LIMIT * SLOW, **options)
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    if secret.strip():
        assert secret.strip() not in result.out + result.err
    return result


def added(d, *args, secret="", rc=0):
    done = add(d, "--json", *args, secret=secret)
    assert (done.rc, done.err) == (rc, ""), done
    return json.loads(done.out)


def until_in_sync(d, name, *args):
    """It follows a mapping for ten seconds: on a machine where they were not enough, it is removed and added again."""
    def once():
        done = add(d, *args)
        if "going_on" not in done.out and "still at it" not in done.out:
            return done
        d.wait_sync()
        assert d.ctl("remove", name).rc == 0
        return None
    return until(once)


def by_a_person(d, account):
    """azsyncd.yaml as people write it, in lines."""
    return d.write("azsyncd.yaml", f"accounts:\n  main:\n    connection-string: {account.connection_string()}\n")


@pytest.fixture
def bare(tmp_path, folder):
    """A machine where nothing is configured yet."""
    (folder / "file").write_text("content")
    d = Daemon(tmp_path / "daemon")
    (d.config / "azsyncd.yaml").unlink()
    (d.config / "mappings.d").rmdir()
    d.config.rmdir()
    yield d
    if d.process:
        d.stop()
    d.check_sanitizers()


@pytest.mark.asan
def test_two_commands(bare, account, folder):
    """Nothing is there but a folder and an account: one command writes it all, the other one starts it."""
    done = add(bare, folder, f"{account.endpoint()}/box/a%20b", "--exclude", "*.tmp", "--exclude", "!keep # \"me\"",
               secret=account.key + "\n")
    assert (done.rc, done.err) == (0, ""), done
    assert f"folder: added\n  {folder} -> {account.endpoint()}/box/a b\n" in done.out
    assert done.out.endswith("azsyncd does not run yet: start azsyncd with the same --config\n")
    assert "ok   account " + account.name + ": login: the account key is accepted" in done.out
    key = bare.config / f"{account.name}.key"
    assert key.read_text() == account.key + "\n" and mode(key) == 0o600
    assert mode(bare.config / "mappings.d/folder.yaml") == mode(bare.config / "azsyncd.yaml") == 0o640
    assert account.key not in (bare.config / "azsyncd.yaml").read_text()
    assert bare.run("--check-config").rc == 0
    (folder / "x.tmp").write_text("not this")
    with bare:
        bare.wait_sync()
        names = {b.name for b in account.client().get_container_client("box").list_blobs()}
        assert names == {"a b/file"}
        assert account.key not in bare.log()


@pytest.mark.asan
def test_while_it_runs(make, account, folder, tmp_path):
    """A second folder, of an account that is there: no question, and it is in sync when the command comes back."""
    d = make()
    second = tmp_path / "My Photos (2024)"
    second.mkdir()
    for name in "abc":
        (second / name).write_text(name)
    with d:
        told = json.loads(until_in_sync(d, "My-Photos-2024", "--json", second, f"{account.endpoint()}/photos/p").out)
        assert {key: told[key] for key in ("result", "name", "file", "folder", "url", "account", "secret_file")} == {
            "result": "in_sync", "name": "My-Photos-2024", "file": f"{d.config}/mappings.d/My-Photos-2024.yaml",
            "folder": str(second), "url": f"{account.endpoint()}/photos/p", "account": "main", "secret_file": None}
        assert {c["check"] for c in told["checks"]} >= {"endpoint", "login", "container", "rights", "folder"}
        assert {b.name for b in account.client().get_container_client("photos").list_blobs()} == {"p/a", "p/b", "p/c"}
        # by the account's name; the prefix is not encoded there
        third = tmp_path / "third"
        third.mkdir()
        done = until_in_sync(d, "third", third, "main/photos/100%", "--name", "third")
        assert done.rc == 0 and done.out.endswith("third: in sync\n"), done
        assert d.status("third")["url"] == f"{account.endpoint()}/photos/100%"


LOGINS = {
    "key": lambda a: (a.key, "key"),
    "connection string": lambda a: (a.connection_string(), "key"),
    "sas": lambda a: (sas(a), "sas"),
    "sas with ?": lambda a: ("?" + sas(a), "sas"),
    "url with a sas": lambda a: (f"{a.endpoint()}/box?{sas(a)}", "sas"),
}


def sas(account, permissions="racwdl"):
    return generate_container_sas(account.name, "box", account_key=account.key,
                                  permission=ContainerSasPermissions.from_string(permissions),
                                  expiry=datetime.datetime.utcnow() + datetime.timedelta(days=30))


@pytest.mark.parametrize("kind", LOGINS)
def test_logins(bare, account, folder, kind):
    """Whatever a person has at hand; what is kept is the key or the signature alone."""
    account.client().create_container("box")
    secret, ending = LOGINS[kind](account)
    told = added(bare, folder, f"{account.endpoint()}/box", "--account", "mine", secret=secret)
    assert told["result"] == "not_running" and told["account"] == "mine"
    assert told["secret_file"] == f"{bare.config}/mine.{ending}"
    kept = (bare.config / f"mine.{ending}").read_text().strip()
    assert kept == account.key if ending == "key" else "sig=" in kept and kept in secret
    with bare:
        bare.wait_sync()


def test_the_emulator_needs_no_secret(bare, folder):
    """At its usual place, where nobody listens here: the question is not asked, and nothing is changed."""
    done = add(bare, folder, f"{EMULATOR}/box")
    assert done.rc == 1 and "FAIL account devstoreaccount1: endpoint:" in done.out and "not be read" not in done.err
    assert not bare.config.exists()


REFUSALS = {
    "no folder": lambda d, a, f: ((f / "none", f"{a.endpoint()}/box"), "make it first"),
    "a file": lambda d, a, f: ((f / "file", f"{a.endpoint()}/box"), "expected a folder"),
    "a link": lambda d, a, f: ((f / "link", f"{a.endpoint()}/box"), f"write the real path: {f}/sub"),
    "the root": lambda d, a, f: (("/", f"{a.endpoint()}/box"), "whole file system"),
    "its own state": lambda d, a, f: ((d.base, f"{a.endpoint()}/box"), "holds azsyncd's state directory"),
    "an overlap": lambda d, a, f: ((f, f"{a.endpoint()}/box/below"), "overlaps that of mapping docs"),
    "a name in use": lambda d, a, f: ((f, f"{a.endpoint()}/box2", "--name", "docs"), "there is a mapping docs already"),
    "a bad name": lambda d, a, f: ((f, f"{a.endpoint()}/box2", "--name", "../x"), "is no mapping's name"),
    "a bad container": lambda d, a, f: ((f, f"{a.endpoint()}/B--x"), "is no container name"),
    "no container": lambda d, a, f: ((f, a.endpoint()), "the container is missing"),
    "a bad prefix": lambda d, a, f: ((f, f"{a.endpoint()}/box2/a%5Cb"), "cannot be part of it"),
    "a wrong account": lambda d, a, f: ((f, f"{a.endpoint()}/box2", "--account", "other", "--name", "../../x"),
                                        "is no mapping's name"),
    "no such account": lambda d, a, f: ((f, "other/box2"), "neither a URL nor the name of an account"),
    "far http": lambda d, a, f: ((f, "http://example.invalid/box"), "plain http is accepted for this machine"),
    "no answer": lambda d, a, f: ((f, "http://127.0.0.1:1/acct/box"), "first; nothing was changed"),
    "a wrong key": lambda d, a, f: ((f, f"{a.endpoint()}/box2", "--account", "new"), "first; nothing was changed"),
    "an empty secret": lambda d, a, f: ((f, "https://x.blob.core.windows.net/box"), "is needed"),
    "no login": lambda d, a, f: ((f, "https://x.blob.core.windows.net/box"), "neither a key (Base64)"),
    "a stranger's": lambda d, a, f: ((f, "https://x.blob.core.windows.net/box"), "that of another account"),
}
SECRETS = {"no answer": "c2VjcmV0", "a wrong key": "d3Jvbmcga2V5IHRoYXQgbm9ib2R5IG11c3Qgc2Vl", "no login": "not/base64=x",
           "a stranger's": "AccountName=y;AccountKey=c2VjcmV0LXNlY3JldA=="}


@pytest.mark.asan
def test_refused_without_a_trace(make, account, folder):
    """pitfalls 11.8: one clear reason each, no file written, no secret shown."""
    d = make({"account": "main"})
    by_a_person(d, account)
    (folder / "file").write_text("content")
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("sub")
    before = shot(d)
    for name, refusal in REFUSALS.items():
        args, words = refusal(d, account, folder)
        done = add(d, *args, secret=SECRETS.get(name, ""))
        assert done.rc == 1 and words in done.err, (name, done)
        assert shot(d) == before, name
    assert add(d, folder).rc == 2


@pytest.mark.asan
def test_secrets_do_not_belong_into_a_command_line(bare, account, folder):
    """pitfalls 11.8: refused, and not repeated."""
    token = sas(account)
    for url in (f"{account.endpoint()}/box?{token}", f"{account.endpoint()}?{token}",
                f"https://user:{account.key}@x.blob.core.windows.net/box", account.connection_string(),
                f"main/box?{token}"):
        done = add(bare, folder, url)
        assert done.rc == 1 and "everybody here can read" in done.err.replace("which ", ""), done
        assert "sig=" not in done.out + done.err and token not in done.err and account.key not in done.out + done.err
    assert not bare.config.exists()


def test_hostile_names(bare, account, tmp_path):
    """Whatever a folder may be called: it is mirrored, or refused in words; never another one."""
    box = account.client()
    box.create_container("box")
    (tmp_path / "names").mkdir()
    bare.config.mkdir()
    by_a_person(bare, account)
    wanted = {}
    for number, name in enumerate([b"a: b", b"- x", b"#x", b"'\"", b"a\\n", b"{a}", b"*x", b"\xc2\x85\xe2\x80\xa8",
                                   b"\xef\xbb\xbf", b" x ", b"%H", b"\xff", b"a\nb", b"a\tb", b"\x7f", b"null",
                                   "ä \u202eх".encode(), b"..x", b"x" * 255]):
        where = os.path.join(os.fsencode(tmp_path / "names"), name)
        os.mkdir(where)
        with open(os.path.join(where, b"f"), "wb") as f:
            f.write(name)
        done = subprocess.run([os.fsencode(a) for a in bare.ctl_arguments("--json", "add")] +
                              [where, f"main/box/{number}".encode()], env=bare.environment(), capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=LIMIT * SLOW)
        if any(byte < 0x20 or byte == 0x7f for byte in name) or name == b"\xff":
            assert done.returncode == 1 and done.stdout == b"", name
            assert b"control character" in done.stderr or b"not UTF-8" in done.stderr
            assert not any(byte < 0x20 and byte != 10 for byte in done.stderr)
        else:
            assert done.returncode == 0, (name, done)
            wanted[str(number)] = name
    assert bare.run("--check-config").rc == 0
    with bare:
        bare.wait_sync()
        found = {b.name: box.get_blob_client("box", b.name).download_blob().readall()
                 for b in box.get_container_client("box").list_blobs()}
        assert found == {f"{number}/f": name for number, name in wanted.items()}


def test_file_of_accounts_keeps_its_looks(make, account, folder):
    """Comments, order and blanks of azsyncd.yaml stay; where nothing can be added, what to write is said."""
    d = make(mappings={})
    looks = (f"# ours\naccounts:\n    main:   # the first\n        connection-string: \"{account.connection_string()}\"\n"
             f"        # until spring\n\n# few are enough\ntransfers:   4\n")
    d.write("azsyncd.yaml", looks)
    added(d, folder, f"{account.endpoint()}/box", "--account", "second", secret=account.key)
    now = (d.config / "azsyncd.yaml").read_text()
    begin, _, end = looks.partition("\n# few")
    assert now.startswith(begin) and now.endswith("\n# few" + end)
    assert now[len(begin):-len("\n# few" + end)] == (
        f"    second:\n      endpoint: \"{account.endpoint()}\"\n"
        f"      auth: {{method: shared-key, key: {{file: {d.config}/second.key}}}}\n")
    assert mode(d.config / "azsyncd.yaml") == 0o600
    # a mapping that names none, since there was one only, has to now: said, and nothing changed
    d.write("azsyncd.yaml", looks)
    d.map("folder", folder=folder, container="box")
    before = shot(d)
    done = add(d, folder, f"{account.endpoint()}/box2", "--account", "other", secret=account.key)
    assert done.rc == 1 and "folder.yaml:1:1: account: missing" in done.err and "a second account" in done.err
    assert shot(d) == before
    # accounts in braces
    (d.config / "mappings.d/folder.yaml").unlink()
    d.write("azsyncd.yaml", json.dumps({"accounts": {"main": {"connection-string": account.connection_string()}}}))
    before = shot(d)
    done = add(d, folder, f"{account.endpoint()}/box", "--account", "third", secret=account.key)
    assert done.rc == 1 and "Write this below its accounts:" in done.err and "\n  third:\n    endpoint: " in done.err
    assert shot(d) == before


def test_taken_back_if_azsyncd_refuses(make, account, folder, tmp_path):
    """The running azsyncd has another idea of the configuration (here: a credential that only it has been given)."""
    d = make({"account": "main"})
    with d:
        d.wait_sync()
        (tmp_path / "second").mkdir()
        path = by_a_person(d, account)
        d.write("azsyncd.yaml", path.read_text() + f"  ours:\n    endpoint: {account.endpoint()}\n"
                "    auth: {method: shared-key, key: {env: ONLY_OURS}}\n")
        before = shot(d)
        d.env = {"ONLY_OURS": account.key}
        done = add(d, tmp_path / "second", "main/other")
        assert done.rc == 1 and "ONLY_OURS is not set" in done.err and "taken back" in done.err, done
        assert shot(d) == before
        assert d.status()["name"] == "docs"


def test_somebody_else_changes_it(make, account, folder):
    d = make(mappings={})
    fd = os.open(d.config, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    done = add(d, folder, "main/box")
    assert done.rc == 1 and "another azsyncctl changes" in done.err
    os.close(fd)
    assert add(d, folder, "main/box").rc == 0


def test_not_all_can_be_read(make, account, folder):
    """A file that cannot be read is named, and the rest goes on; the exit status says that somebody is needed."""
    (folder / "mine").write_text("x")
    (folder / "mine").chmod(0)
    (folder / "file").write_text("x")
    d = make(mappings={})
    done = add(d, folder, "main/box", wrapper=WITHOUT_POWERS)
    assert done.rc == 3 and "FAIL folder: folder: 1 file and 0 folders cannot be read" in done.out, done
    (folder / "none").mkdir(0)
    done = add(d, folder / "none", "main/box2", wrapper=WITHOUT_POWERS)
    assert done.rc == 1 and "azsyncd must be able to read it" in done.err
    d.config.chmod(0o500)  # nobody is asked for a secret in vain
    done = add(d, folder, "https://new.blob.core.windows.net/box", wrapper=WITHOUT_POWERS)
    assert done.rc == 1 and f"changing what is in {d.config}: Permission denied" in done.err, done
    d.config.chmod(0o700)


def test_a_container_that_is_not_to_be_made(bare, account, folder):
    """By a SAS for one container, which does not exist: said before anything is written."""
    done = add(bare, folder, f"{account.endpoint()}/box", secret=sas(account))
    assert done.rc == 1 and "FAIL folder: container: box does not exist, and azsyncd may not make it" in done.out, done
    assert not bare.config.exists()


@pytest.mark.asan
def test_asked_at_the_terminal(bare, account, folder):
    """pitfalls 11.8: what is typed is not shown, in no command line, and Ctrl-C leaves nothing behind."""
    command = bare.ctl_arguments("--state-dir", str(bare.state), "add", str(folder), f"{account.endpoint()}/box")
    with terminal(command, bare.environment()) as (send, output, process):
        until(lambda: b"(not shown): " in output())
        send(b"abc\x03")
        until(lambda: process.poll() is not None)
        assert process.returncode == 1 and b"nothing was changed" in output() and b"abc" not in output()
    assert not bare.config.exists()
    with terminal(command, bare.environment()) as (send, output, process):
        until(lambda: b"(not shown): " in output())
        process.terminate()
        until(lambda: process.poll() is not None)
        send(b"echo is back")
        until(lambda: b"echo is back" in output())
    shutil.rmtree(bare.config)  # that was no time to clean up: an empty directory
    with bare, terminal(command, bare.environment()) as (send, output, process):
        until(lambda: b"(not shown): " in output())
        send(b"mistake\x15")
        send(account.key[:5].encode() + b"x\x7f" + account.key[5:].encode())
        arguments = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        environment = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
        send(b"\n")
        until(lambda: output() and process.poll() is not None)
        assert process.returncode == 0, output()
        assert b"folder: in sync" in output() or b"folder: still at it" in output()
        for place in (output(), arguments, environment, bare.log().encode()):
            assert account.key.encode() not in place and b"mistake" not in place
    for path in bare.base.rglob("*"):
        if path.is_file() and account.key.encode() in path.read_bytes():
            assert mode(path) & 0o077 == 0, path
            assert path.name == f"{account.name}.key"


def test_ctrl_c_leaves_it_running(make, account, folder, proxy):
    """While it is followed: the mapping stays, azsyncd goes on."""
    (folder / "file").write_text("x")
    gate = Gate()
    proxy.rule = lambda request: gate if request.verb == "put-blob" else None
    d = make(mappings={}, port=proxy.port)
    with d:
        with terminal(d.ctl_arguments("add", str(folder), "main/box"), d.environment()) as (send, output, process):
            until(lambda: b" to do" in output() or process.poll() is not None)
            send(b"\x03")
            until(lambda: output() and process.poll() is not None)
            assert process.returncode == 0 and b"still at it" in output(), output()
        gate.open()
        d.wait_sync()


def test_killed_at_any_moment(make, account, folder, rounds):
    """kill -9: the configuration is the one before or the one after, and always a valid one."""
    d = make(mappings={})
    text = by_a_person(d, account).read_text()
    for n in range(rounds(12, 200)):
        process = subprocess.Popen(d.ctl_arguments("add", str(folder), f"{account.endpoint()}/box", "--account", f"new{n}"),
                                   env=d.environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        process.stdin.write(account.key.encode())
        process.stdin.close()
        threading.Event().wait(0.004 * n)
        process.kill()
        process.wait()
        assert d.run("--check-config").rc == 0
        names = {p.name for p in (d.config / "mappings.d").iterdir() if not p.name.startswith(".")}
        for name in names:
            (d.config / "mappings.d" / name).unlink()
        d.write("azsyncd.yaml", text)


def passable(path):
    """For whoever is not root."""
    for folder in (path, *path.parents):
        if folder.stat().st_uid == os.getuid() and folder != pathlib.Path("/"):
            folder.chmod(folder.stat().st_mode | 0o005)


@pytest.mark.skipif(os.getuid() != 0, reason="needs an azsyncd of another user")
@pytest.mark.parametrize("powers", [(), ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")])
def test_rights_are_those_of_azsyncd(make, account, folder, tmp_path, powers):
    """Root could read it all; what counts is what the user that azsyncd runs as can, with its capabilities."""
    passable(tmp_path)
    (folder / "mine").write_text("x")
    (folder / "mine").chmod(0o600)
    (folder / "group").write_text("x")
    (folder / "group").chmod(0o640)
    os.chown(folder / "group", 0, 12345)
    d = make(mappings={})
    for path in (d.base, *d.base.rglob("*")):
        os.chown(path, 65534, 65534)
    mask = os.umask(0)  # it may write to systemd's end of sd_notify
    try:
        d.start(wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--groups=12345", *powers])
    finally:
        os.umask(mask)
    done = add(d, folder, "main/box")
    text = (d.config / "mappings.d/folder.yaml").stat()
    assert (text.st_uid, text.st_gid, stat.S_IMODE(text.st_mode)) == (65534, 65534, 0o640)
    if powers:
        assert done.rc == 0 and "2 files, 1 folder, all of them readable by uid 65534" in done.out, done
        d.wait_sync()
    else:
        assert done.rc == 3 and ("FAIL folder: folder: 1 file and 0 folders cannot be read by uid 65534, the first is mine"
                                 in done.out), done
        d.until_status(LIMIT, "folder", files=1)
    doctor = d.ctl("doctor", "--state-dir", str(d.state))
    assert (doctor.rc, "by uid 65534" in doctor.out) == (0 if powers else 3, True), doctor
    assert d.stop() == 0


def test_as_a_plain_user(account, tmp_path, folder):
    """One's own configuration, made where XDG has it; the socket of the system's azsyncd is left alone."""
    (folder / "file").write_text("x")
    home, programs = tmp_path / "home", tmp_path / "programs"  # where they were built may be in root's home, closed to others
    home.mkdir()
    os.chown(home, 65534, 65534)
    programs.mkdir()
    for program in (AZSYNCD, AZSYNCCTL, AZSYNCCTL.with_name("azsyncctl-cloud")):
        shutil.copy2(program, programs)
    passable(programs)
    d = Daemon(tmp_path / "daemon")
    env = {**d.environment(), "HOME": str(home), "PATH": os.environ["PATH"]}
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    ctl = str(programs / "azsyncctl")
    done = subprocess.run([*user, ctl, "add", str(folder), f"{account.endpoint()}/box", "--json"], env=env,
                          input=account.key.encode(), capture_output=True, timeout=LIMIT * SLOW, check=False)
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    own = home / ".config/azsyncd"
    assert told["result"] == "not_running" and told["file"] == f"{own}/mappings.d/folder.yaml"
    assert mode(own) == 0o700 and (own / f"{account.name}.key").stat().st_uid == (65534 if user else os.getuid())
    listed = subprocess.run([*user, ctl, "list", "--json"], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert [m["name"] for m in json.loads(listed.stdout)["mappings"]] == ["folder"]
    # both find the place without an $XDG_RUNTIME_DIR, too, as in a cron job
    with subprocess.Popen([*user, str(programs / "azsyncd")], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as own_daemon:
        try:
            until(lambda: subprocess.run([*user, ctl, "status"], env=env, capture_output=True, check=False).returncode == 0)
            waited = subprocess.run([*user, ctl, "wait", "--timeout", str(LIMIT * SLOW)], env=env, capture_output=True, check=False)
            assert waited.returncode == 0, waited
        finally:
            own_daemon.terminate()
    assert own_daemon.returncode == 0
