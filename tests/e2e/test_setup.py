"""azsyncctl list, remove: the configuration without an editor, with and without a daemon."""
import json

import pytest

from daemon import LIMIT


@pytest.mark.asan
def test_list(make, account, folder):
    """Names, folders and URLs of the configuration, with and without a daemon; its state if it runs."""
    mappings = {"docs": {"folder": str(folder), "container": "box"},
                "odd": {"folder": "/no-such/ä b\u202e", "container": "box2", "prefix": "p/100%%"}}
    d = make(mappings=mappings)
    off = d.ctl("list")
    assert (off.rc, off.err) == (0, "")
    assert [line.split() for line in off.out.splitlines()] == [
        ["docs", str(folder), f"{account.endpoint()}/box"],
        ["odd", "/no-such/ä", "b\\xe2\\x80\\xae", f"{account.endpoint()}/box2/p/100%"]]
    told = json.loads(d.ctl("list", "--json").out)
    assert (told["version"], told["config"], told["running"]) == (1, str(d.config), False)
    assert told["mappings"][1] == {
        "name": "odd", "file": f"{d.config}/mappings.d/odd.yaml", "folder": "/no-such/ä b\u202e", "account": "main",
        "url": f"{account.endpoint()}/box2/p/100%", "container": "box2", "prefix": "p/100%", "state": None}
    with d:
        d.wait_sync(LIMIT, "docs")
        d.until_status(mapping="odd", state="blocked")
        d.map("new", folder="/no-such/new", container="box3")  # not reloaded
        states = {m["name"]: m["state"] for m in json.loads(d.ctl("--json", "list").out)["mappings"]}
        assert states == {"docs": "idle", "odd": "blocked", "new": "not loaded"}
        assert d.ctl("list").out.splitlines()[0].endswith("/box  (idle)")
    d.map("docs", folder=str(folder), container="box", deltes="keep")
    bad = d.ctl("list")
    assert (bad.rc, bad.out) == (1, "")
    assert "docs.yaml:3:1: deltes: unknown key (did you mean \"deletes\"?)" in bad.err


def test_list_of_nothing(make):
    d = make(mappings={})
    assert d.ctl("list").out == f"no folder is mapped in {d.config}: azsyncctl add FOLDER URL\n"
    assert json.loads(d.ctl("list", "--json").out)["mappings"] == []
    assert d.ctl("list", "x").rc == 2


@pytest.mark.asan
def test_remove(make, account, folder, equal):
    """The mapping goes, its blobs and files stay, its file is kept; added again, nothing is sent again."""
    for name in "abc":
        (folder / name).write_text(name)
    d = make()
    text = (d.config / "mappings.d/docs.yaml").read_text()
    with d:
        d.wait_sync()
        done = d.ctl("remove", "docs")
        assert (done.rc, done.err) == (0, "")
        kept = d.config / "mappings.d/docs.yaml.removed"
        assert done.out == (f"docs: removed; 3 blobs stay in {account.endpoint()}/box, and the folder as it is. "
                            f"The mapping is kept as {kept}\n")
        assert kept.read_text() == text and sorted(p.name for p in (d.config / "mappings.d").iterdir()) == [kept.name]
        assert d.all_status()["mappings"] == []
        equal()
        (folder / "later").write_text("later")
        kept.rename(d.config / "mappings.d/docs.yaml")
        assert d.ctl("reload").rc == 0
        d.wait_sync()
        assert d.status()["uploaded_files"] == 1
        equal()
        told = json.loads(d.ctl("remove", "docs", "--json").out)
        assert told == {"version": 1, "name": "docs", "kept": str(kept), "running": True, "blobs": 4,
                        "url": f"{account.endpoint()}/box"}


def test_remove_without_a_daemon(make):
    d = make(mappings={name: {"folder": f"/no-such/{name}", "container": f"box-{name}"} for name in ("photos", "docs")})
    wrong = d.ctl("remove", "phtoos")
    assert (wrong.rc, wrong.out) == (1, "")
    assert wrong.err == f"azsyncctl: there is no mapping named \"phtoos\" in {d.config} (did you mean \"photos\"?)\n"
    assert "azsyncctl list shows them" in d.ctl("remove", "else").err
    for bad in ("../azsyncd", ".x", "a/b", "", "x" * 65, "\x1b[31m"):
        refused = d.ctl("remove", "--", bad)
        assert refused.rc == 1 and "is no mapping's name" in refused.err and "\x1b" not in refused.err
    assert d.ctl("remove").rc == 2
    done = d.ctl("remove", "photos")
    assert (done.rc, done.err) == (0, "") and "photos: removed; its blobs stay" in done.out
    assert d.ctl("remove", "photos").rc == 1  # it is gone
    assert [m["name"] for m in json.loads(d.ctl("list", "--json").out)["mappings"]] == ["docs"]
    # a broken one can be taken out, too
    d.map("broken", folder="relative")
    assert d.ctl("list").rc == 1
    assert d.ctl("remove", "broken").rc == 0 and d.ctl("list").rc == 0


def test_remove_is_taken_back_if_the_rest_is_refused(make, folder):
    """azsyncd refuses the configuration for another mistake: nothing is half done."""
    d = make()
    with d:
        d.wait_sync()
        d.write("azsyncd.yaml", (d.config / "azsyncd.yaml").read_text() + "tranfers: 4\n")
        refused = d.ctl("remove", "docs")
        assert refused.rc == 1 and "tranfers: unknown key" in refused.err and "taken back" in refused.err
        assert [p.name for p in (d.config / "mappings.d").iterdir()] == ["docs.yaml"]
        assert d.status()["name"] == "docs"


def test_secrets_of_azsyncd_alone(make, account, folder, tmp_path):
    """A credential of its unit, which nobody else is given: list, add and edit do without it."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/azure").write_text(account.key)
    d = make(accounts={"main": {"endpoint": account.endpoint(),
                                "auth": {"method": "shared-key", "key": {"credential": "azure"}}}},
             env={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    with d:
        d.wait_sync()
        d.env = {"EDITOR": "true"}
        assert d.ctl("list").rc == 0 and d.ctl("edit", "docs").rc == 0
        (tmp_path / "second").mkdir()
        told = json.loads(d.ctl("add", str(tmp_path / "second"), "main/second", "--json").out)
        d.wait_sync(LIMIT, "second")  # `add` itself follows for ten seconds
        assert {c["check"]: c["result"] for c in told["checks"] if c["check"] in ("login", "container")} == {
            "login": "unknown", "container": "unknown"}
        assert d.ctl("remove", "second").rc == 0
    off = d.ctl("list", "--json")
    assert off.rc == 0 and json.loads(off.out)["mappings"][0]["url"] == f"{account.endpoint()}/box"
