"""Bad configurations are refused with file:line:column, the key, and what was expected; a bad one never replaces a
good one."""
import re

import pytest

from daemon import TOP, WITHOUT_POWERS
from given import tree

GOOD = "accounts:\n  main:\n    connection-string: UseDevelopmentStorage=true\n"
MAPPING = "folder: {folder}\naccount: main\ncontainer: box\n"
MAIN, DOCS = "azsyncd.yaml", "docs.yaml"

# name, azsyncd.yaml, mappings.d/docs.yaml, which is to blame, its line, words of the message
BAD = [
    ("unknown key", GOOD + "transferz: 4\n", MAPPING, MAIN, 4, ["transferz", "transfers"]),
    ("unknown key in a mapping", GOOD, MAPPING + "exlude: [a]\n", DOCS, 4, ["exlude", "exclude"]),
    ("unknown key in an account", "accounts:\n  main:\n    conection-string: x\n", MAPPING, MAIN, 3,
     ["conection-string", "connection-string"]),
    ("wrong type", GOOD, MAPPING + "exclude: {a: b}\n", DOCS, 4, ["exclude"]),
    ("wrong word", GOOD, MAPPING + "deletes: perhaps\n", DOCS, 4, ["deletes", "mirror", "keep"]),
    ("bad duration", GOOD, MAPPING + "delete-delay: soon\n", DOCS, 4, ["delete-delay"]),
    ("memory", GOOD + "memory: 1MiB\n", MAPPING, MAIN, 4, ["memory", "16MiB", "64GiB"]),
    ("bandwidth", GOOD + "bandwidth: 20MB/s\n", MAPPING, MAIN, 4, ["bandwidth", "20MiB/s"]),
    ("bandwidth that overlaps", GOOD, MAPPING + "bandwidth:\n  Fri 22:00-06:00: 1MiB/s\n  Sat: 2MiB/s\n", DOCS, 6,
     ["bandwidth", "overlaps"]),
    ("relative folder", GOOD, "folder: srv/photos\naccount: main\ncontainer: box\n", DOCS, 1, ["folder", "absolute"]),
    ("bad container name", GOOD, "folder: {folder}\naccount: main\ncontainer: No_Good\n", DOCS, 3, ["container"]),
    ("no such account", GOOD, "folder: {folder}\naccount: mian\ncontainer: box\n", DOCS, 2, ["account", "main"]),
    ("key twice", GOOD, MAPPING + "container: box\n", DOCS, 4, ["container"]),
    ("missing key", GOOD, "folder: {folder}\naccount: main\n", DOCS, None, ["container"]),
    ("not yet built", GOOD, MAPPING + "tier: cool\n", DOCS, 4, ["tier", "not supported yet"]),
    ("not YAML", GOOD, "folder: [\n", DOCS, None, []),
    ("not a mapping", "- a\n- b\n", MAPPING, MAIN, 1, []),
    ("binary rubbish", b"\x00\xff\xfe\x01" * 100, MAPPING, MAIN, None, []),
    ("alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\n", MAPPING, MAIN, None, []),
    ("bad connection string", "accounts:\n  main:\n    connection-string: nonsense\n", MAPPING, MAIN, 3,
     ["connection-string"]),
    ("key that is not Base64", "accounts:\n  main:\n    account: contoso\n    auth: {method: shared-key, key: '%%%'}\n",
     MAPPING, MAIN, 4, []),
    ("plain http elsewhere", "accounts:\n  main:\n    endpoint: http://example.com/contoso\n    account: contoso\n"
     "    auth: {method: shared-key, key: a2V5}\n", MAPPING, MAIN, 3, ["http"]),
]


def refused(result, d, blamed, line, words):
    assert result.rc == 78, result
    where = d.config / (blamed if blamed == MAIN else f"mappings.d/{blamed}")
    found = re.search(re.escape(str(where)) + r":(\d+):(\d+): (.*)", result.err)
    assert found, f"no file:line:column in {result.err!r}"
    assert int(found.group(1)) >= 1 and int(found.group(2)) >= 1
    if line is not None:
        assert int(found.group(1)) == line, result.err
    for word in words:
        assert word in result.err, f"{word!r} is not in {result.err!r}"


@pytest.mark.asan
@pytest.mark.parametrize("name,main,mapping,blamed,line,words", BAD, ids=[b[0] for b in BAD])
def test_refused(make, folder, name, main, mapping, blamed, line, words):
    d = make(mappings={})
    d.write(MAIN, main)
    d.write(f"mappings.d/{DOCS}", mapping.replace("{folder}", str(folder)))
    refused(d.run("--check-config"), d, blamed, line, words)
    refused(d.run(), d, blamed, line, words)


@pytest.mark.asan
def test_refused_because_of_the_machine(make, folder, tmp_path):
    """A symlink in the path names the real one; the state directory inside the folder; two mappings to one place."""
    d = make(mappings={})
    d.write(MAIN, GOOD)
    (tmp_path / "link").symlink_to(folder)
    d.map("docs", folder=tmp_path / "link", container="box")
    refused(d.run("--check-config"), d, DOCS, 1, [str(folder)])

    d.map("docs", folder=d.state.parent, container="box")
    refused(d.run("--check-config"), d, DOCS, 1, ["state"])

    (tmp_path / "other").mkdir()
    d.map("docs", folder=folder, container="box", prefix="a")
    d.map("more", folder=tmp_path / "other", container="box", prefix="a/b")
    result = d.run("--check-config")
    assert result.rc == 78 and "docs" in result.err and "more" in result.err


def test_refused_secrets(make, folder, tmp_path):
    """A key that others may read is no secret (pitfalls 11.8)."""
    d = make(mappings={})
    d.map("docs", folder=folder, container="box")
    key = tmp_path / "key"
    key.write_text("DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=c2VjcmV0;")
    d.write(MAIN, "accounts:\n  main:\n    connection-string: {file: %s}\n" % key)
    key.chmod(0o644)
    refused(d.run("--check-config"), d, MAIN, 3, [str(key)])
    key.chmod(0o600)
    assert d.run("--check-config").rc == 0
    key.unlink()
    refused(d.run("--check-config"), d, MAIN, 3, [str(key)])
    d.write(MAIN, "accounts:\n  main:\n    connection-string: DefaultEndpointsProtocol=https;AccountName=contoso;"
            "AccountKey=c2VjcmV0;\n").chmod(0o644)
    result = d.run("--check-config")
    refused(result, d, MAIN, 3, [])
    assert "c2VjcmV0" not in result.err


def test_refused_sizes(make, folder):
    """A 100 MB file, and one nested beyond reason, are refused at once."""
    d = make(mappings={})
    d.write(MAIN, GOOD)
    with open(d.config / "mappings.d/docs.yaml", "wb") as f:
        f.truncate(100 * 2**20)
    (d.config / "mappings.d/docs.yaml").chmod(0o600)
    refused(d.run("--check-config"), d, DOCS, None, [])
    d.write("mappings.d/docs.yaml", "[" * 100000)
    refused(d.run("--check-config"), d, DOCS, None, [])


@pytest.mark.asan
def test_refused_permissions(make, folder):
    """A file or a folder that may not be read is no empty configuration."""
    d = make()
    (d.config / MAIN).chmod(0)
    result = d.run("--check-config", wrapper=WITHOUT_POWERS)
    assert result.rc == 78 and MAIN in result.err
    (d.config / MAIN).chmod(0o600)
    (d.config / "mappings.d").chmod(0)
    result = d.run("--check-config", wrapper=WITHOUT_POWERS)
    (d.config / "mappings.d").chmod(0o700)
    assert result.rc == 78 and "mappings.d" in result.err


@pytest.mark.asan
def test_good_ones(make, folder):
    d = make()
    result = d.run("--check-config")
    assert result.rc == 0 and "1 mapping" in result.out
    assert d.run("--version").out.startswith("azsyncd ")
    assert "--once" in d.run("--help").out
    assert d.run("--no-such-option").rc == 2
    result = d.run("--log-level", "loud")
    assert result.rc == 2 and result.err.startswith("azsyncd: --log-level: expected emerg") and "%" not in result.err
    assert d.run("argument").rc == 2


@pytest.mark.asan
def test_examples_work(make, tmp_path):
    """etc/ works when copied, and so does every line of it that is commented out."""
    def uncommented(name):
        text = (TOP / "etc" / name).read_text().partition("\n")[2]  # the first line says what the file is
        return re.sub(r"^# ?(?=\s*([a-z-]+|\"[^\"]*\"):)|^#$", "", text, flags=re.MULTILINE)
    d = make(mappings={})
    d.write(MAIN, (TOP / "etc/azsyncd.yaml").read_text())
    assert d.run("--check-config").rc == 0
    key = tmp_path / "key"
    key.write_text("c2VjcmV0\n")
    key.chmod(0o600)
    d.write(MAIN, uncommented("azsyncd.yaml").replace("/etc/azsyncd/main.key", str(key)))
    mapping = (TOP / "etc/mappings.d/photos.yaml.example").read_text()
    d.write("mappings.d/photos.yaml", mapping + "account: main\n")
    assert d.run("--check-config").rc == 0
    d.write("mappings.d/photos.yaml", uncommented("mappings.d/photos.yaml.example"))
    result = d.run("--check-config")
    assert result.rc == 0 and "1 mapping" in result.out and "2 accounts" in result.out, result


@pytest.mark.asan
def test_named_directory_is_missing(make, folder, tmp_path):
    """A misspelt --config is no empty configuration: with --once everything would be "in the cloud"."""
    d = make()
    for how in ("--once", "--check-config"):
        result = d.run(how, "--config", str(tmp_path / "typo"))
        assert result.rc == 78 and f"{tmp_path}/typo:1:1: cannot be read" in result.err, result
    with d:
        d.config.rename(tmp_path / "away")
        assert d.ctl("reload").rc == 1
        assert [m["name"] for m in d.all_status()["mappings"]] == ["docs"]
        (tmp_path / "away").rename(d.config)
        assert d.ctl("reload").rc == 0


@pytest.mark.asan
def test_no_mapping_is_no_error(make):
    with make(mappings={}) as d:
        assert d.all_status()["mappings"] == []
        assert "azsyncctl add FOLDER URL" in d.log()
        assert d.ctl("wait").rc == 0


def test_back_under_an_old_name(make, folder, tmp_path, equal):
    """A mapping under another name, and back: what the other one did there is not what the first one knows."""
    for name in ("stays", "goes"):
        (folder / name).write_text(name)
    with make() as d:
        def rename(old, new):
            (d.config / f"mappings.d/{old}.yaml").rename(d.config / f"mappings.d/{new}.yaml")
            assert d.ctl("reload").rc == 0
            d.wait_sync()
            equal()

        d.wait_sync()
        rename("docs", "other")
        (folder / "goes").rename(tmp_path / "goes")
        d.wait_sync()
        equal()
        (tmp_path / "goes").rename(folder / "goes")
        rename("other", "docs")


@pytest.mark.asan
def test_reload(make, folder, tmp_path, equal):
    """A bad one leaves the one in force whole; a good one starts what is new; a removed mapping deletes nothing."""
    tree(folder, 5)
    tree(tmp_path / "second", 5)
    with make() as d:
        d.wait_sync()
        d.map("second", folder=tmp_path / "second", container="second", deletez="keep")
        result = d.ctl("reload")
        assert result.rc == 1
        assert re.search(r"second\.yaml:3:1: .*deletez", result.out + result.err), result
        d.hangup()
        status = d.all_status()
        assert [m["name"] for m in status["mappings"]] == ["docs"]
        assert "second.yaml:3:1: deletez" in status["reload_failed"]["error"]  # pitfalls 11.5
        check = d.ctl("status", "--check")
        assert check.rc == 3 and "second.yaml:3:1: deletez" in check.out
        (folder / "still").write_text("mirrored")
        d.wait_sync()
        equal()

        d.map("second", folder=tmp_path / "second", container="second")
        d.hangup()
        d.wait_sync()
        assert d.all_status()["reload_failed"] is None
        equal(tmp_path / "second", "second")
        equal()

        d.unmap("second")
        assert d.ctl("reload").rc == 0
        assert [m["name"] for m in d.all_status()["mappings"]] == ["docs"]
        (tmp_path / "second/new").write_text("nobody looks")
        (folder / "still").write_text("mirrored again")
        d.wait_sync()
        equal()
    (tmp_path / "second/new").unlink()
    equal(tmp_path / "second", "second")
