"""azsyncctl edit: what an editor leaves is put in force if it is valid, and else not at all."""
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess

import pytest

from daemon import LIMIT, SLOW, Result, until
from terminal import terminal


@pytest.fixture
def editor(tmp_path):
    """editor(script, ...) -> an $EDITOR that runs the next script at each call, with the file as $1."""
    def make(*scripts):
        path = tmp_path / "an editor"
        path.mkdir(exist_ok=True)
        for number, script in enumerate(scripts):
            (path / f"{number}.sh").write_text(script + "\n")
        (path / "next").write_text("0")
        main = path / "main.sh"
        main.write_text(f'cd "{path}"; n=$(cat next); echo $((n + 1)) >next; echo "$1" >>files; exec sh "./$n.sh" "$1"\n')
        return f"sh '{main}'"
    make.base = tmp_path / "an editor"
    return make


def environment(d, editor):
    return {**d.environment(), "EDITOR": editor}


def edit(d, editor, *args, **options):
    done = subprocess.run(d.ctl_arguments("--state-dir", str(d.state), "edit", *args), env=environment(d, editor),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT * SLOW, **options)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def left(d):
    return sorted(str(p.relative_to(d.config)) for p in d.config.rglob("*"))


@pytest.mark.asan
def test_put_in_force(make, account, folder, editor, tmp_path):
    """A valid change is in force when the command comes back; owner and mode stay, and no copy does."""
    d = make()
    path = d.config / "mappings.d/docs.yaml"
    os.chmod(path, 0o604)
    if os.getuid() == 0:
        os.chown(path, 0, 65534)
    before = path.stat()
    with d:
        d.wait_sync()
        done = edit(d, editor("echo 'deletes: keep' >>\"$1\"; touch \"$1~\""), "docs")
        assert (done.rc, done.out, done.err) == (0, f"{path}: changed, and in force\n", "")
        after = path.stat()
        assert path.read_text().endswith("deletes: keep\n")
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert left(d) == ["azsyncd.yaml", "mappings.d", "mappings.d/docs.yaml"]
        used = (tmp_path / "an editor/files").read_text()
        assert used.startswith(f"{d.config}/.edit-") and used.endswith("/docs.yaml\n")
        # the daemon has it: a deletion is kept
        (folder / "x").write_text("x")
        d.wait_sync()
        (folder / "x").unlink()
        d.wait_sync()
        assert [b.name for b in account.client().get_container_client("box").list_blobs()] == ["x"]
    told = json.loads(edit(d, editor("true"), "docs", "--json").out)
    assert told == {"version": 1, "file": str(path), "changed": False, "running": False}
    done = edit(d, editor("echo 'transfers: 4' >>\"$1\""))
    assert done.out == f"{d.config}/azsyncd.yaml: changed; azsyncd does not run\n"
    assert stat.S_IMODE((d.config / "azsyncd.yaml").stat().st_mode) == 0o600


def test_refused_without_a_terminal(make, editor):
    """pitfalls 11.8: each mistake with its place, and no change."""
    d = make()
    before = (d.config / "mappings.d/docs.yaml").read_bytes()
    for script, words in {
            "echo 'deltes: keep' >>\"$1\"": "docs.yaml:4:1: deltes: unknown key (did you mean \"deletes\"?)",
            "printf '\\tx' >\"$1\"": "docs.yaml:1:1: not valid YAML: a tab",
            ": >\"$1\"": "docs.yaml:1:1: folder: missing",
            "rm \"$1\"": "docs.yaml:1:1: cannot be read",
            "rm \"$1\"; mkfifo \"$1\"": "not a regular file",
            "head -c 2000000 /dev/zero >\"$1\"": "larger than 1 MiB",
            "echo 'x: y' >>\"$1\"; exit 3": "the editor did not end well; nothing was changed",
            "kill -9 $$": "the editor did not end well"}.items():
        done = edit(d, editor(script), "docs")
        assert done.rc == 1 and words in done.err and done.out == "", (script, done)
        assert (d.config / "mappings.d/docs.yaml").read_bytes() == before
        assert left(d) == ["azsyncd.yaml", "mappings.d", "mappings.d/docs.yaml"]
    assert "did not end well" in edit(d, "/no/such/editor", "docs").err
    assert "no mapping named \"dosc\"" in edit(d, editor("true"), "dosc").err
    assert "is no mapping's name" in edit(d, editor("true"), "../azsyncd").err


@pytest.mark.asan
def test_edited_again(make, editor):
    """At a terminal: what is wrong is shown, then (e) opens the same text again, and (x) drops it."""
    d = make()
    path = d.config / "mappings.d/docs.yaml"
    before = path.read_text()
    tool = editor("echo 'deltes: keep' >>\"$1\"", "sed -i s/deltes/deletes/ \"$1\"")
    with terminal(d.ctl_arguments("edit", "docs"), environment(d, tool)) as (send, output, process):
        until(lambda: b"(x) leave it as it was: " in output())
        assert b"docs.yaml:4:1: deltes: unknown key" in output() and path.read_text() == before
        send(b"what?\ne\n")
        until(lambda: output() and process.poll() is not None)
        assert process.returncode == 0 and path.read_text() == before + "deletes: keep\n"
    with terminal(d.ctl_arguments("edit", "docs"), environment(d, editor("echo x >\"$1\""))) as (send, output, process):
        until(lambda: b"(x) leave it as it was: " in output())
        send(b"x\n")
        until(lambda: output() and process.poll() is not None)
        assert process.returncode == 1 and path.read_text() == before + "deletes: keep\n"
    assert left(d) == ["azsyncd.yaml", "mappings.d", "mappings.d/docs.yaml"]


@contextlib.contextmanager
def under_way(d, editor, script, **options):
    """azsyncctl edit docs, whose editor has run `script` and stays."""
    here = pathlib.Path(editor.base)
    (here / "ready").unlink(missing_ok=True)
    tool = editor(f"{script}; echo $$ >pid; touch ready; exec sleep 600")
    with subprocess.Popen(d.ctl_arguments("--state-dir", str(d.state), "edit", "docs"), env=environment(d, tool),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        until((here / "ready").exists)
        pid = int((here / "pid").read_text())
        try:
            yield process, pid
        finally:
            if pathlib.Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
            process.kill()


@pytest.mark.asan
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal(make, editor, number):
    """The editor ends, too. Nothing is in force, and nothing is lost: what was written is named, then and by the next edit."""
    d = make()
    path = d.config / "mappings.d/docs.yaml"
    before = path.read_text()
    clean = left(d)
    with under_way(d, editor, "true") as (process, pid):  # nothing was written yet
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT * SLOW)
        assert (process.returncode, out) == (1, b"") and err == f"azsyncctl: {signal.strsignal(number)}; nothing was changed\n".encode()
        assert not pathlib.Path(f"/proc/{pid}").exists() and left(d) == clean
    with under_way(d, editor, "echo 'deletes: keep' >>\"$1\"") as (process, pid):
        process.send_signal(number)
        err = process.communicate(timeout=LIMIT * SLOW)[1].decode()
        assert process.returncode == 1 and not pathlib.Path(f"/proc/{pid}").exists() and path.read_text() == before
    (kept,) = d.config.glob(".edit-*")
    assert f"what was written is kept in {kept};" in err
    assert (kept / "docs.yaml").read_text() == before + "deletes: keep\n" and stat.S_IMODE(kept.stat().st_mode) == 0o700
    done = edit(d, editor("true"), "docs")
    assert done.rc == 0 and f"an edit that was cut off has left {kept};" in done.err and kept.exists()
    path.write_text(before + "deletes: keep\n")  # nothing would be lost any more
    done = edit(d, editor("true"), "docs")
    assert (done.rc, done.err) == (0, "") and left(d) == clean


def test_killed(make, editor):
    """kill -9: the next edit clears away what it left, unless something would be lost."""
    d = make()
    clean = left(d)
    for script, kept in {"true": False, "echo x >\"$1.swp\"": True}.items():
        with under_way(d, editor, script) as (process, _):
            process.kill()
            process.wait()
        assert left(d) != clean
        done = edit(d, editor("true"), "docs")
        assert done.rc == 0 and ("an edit that was cut off has left" in done.err) == kept and (left(d) != clean) == kept


def test_interrupted_at_the_question(make, editor):
    """Ctrl-C where it asks what to do about a mistake: nothing is lost."""
    d = make()
    with terminal(d.ctl_arguments("edit", "docs"), environment(d, editor("echo oops >\"$1\""))) as (_, output, process):
        until(lambda: b"(x) leave it as it was: " in output())
        process.send_signal(signal.SIGINT)
        until(lambda: output() and process.poll() is not None)
        assert process.returncode == 1 and b"Interrupt; nothing was changed" in output()
    (kept,) = d.config.glob(".edit-*")
    assert (kept / "docs.yaml").read_text() == "oops\n"


def test_not_over_somebody_else(make, editor):
    """The file changed while it was edited: theirs stays."""
    d = make()
    path = d.config / "mappings.d/docs.yaml"
    done = edit(d, editor(f"echo 'deletes: keep' >>\"$1\"; echo '# theirs' >>{path}"), "docs")
    assert done.rc == 1 and "changed by somebody else" in done.err and "what was written is kept in" in done.err
    assert path.read_text().endswith("# theirs\n") and "keep" not in path.read_text()
    path.unlink()
    path.symlink_to("elsewhere")
    (d.config / "mappings.d/elsewhere").write_text("folder: /x\n")
    assert "is a symbolic link, which is not replaced" in edit(d, editor("true"), "docs").err


def test_taken_back_if_azsyncd_refuses(make, account, editor):
    """What is valid here, but not for the azsyncd that runs (an environment that only we have)."""
    d = make()
    with d:
        before = (d.config / "azsyncd.yaml").read_text()
        d.env = {"ONLY_OURS": account.key}
        text = f"accounts: {{main: {{endpoint: \\\"{account.endpoint()}\\\", auth: {{method: shared-key, key: {{env: ONLY_OURS}}}}}}}}"
        done = edit(d, editor(f"echo \"{text}\" >\"$1\""))
        assert done.rc == 1 and "ONLY_OURS is not set" in done.err and "taken back" in done.err, done
        assert (d.config / "azsyncd.yaml").read_text() == before
        assert d.status()["name"] == "docs"
