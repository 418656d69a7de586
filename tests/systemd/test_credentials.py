"""Secrets by way of systemd: each way that it has of handing one over, and what the process has of it (pitfalls 11.8)."""
import pytest

from service import MAPPING


@pytest.fixture
def mirrors(service, installed, account, folder, equal):
    """mirrors(drop-in): with it, and the key as the credential azure-key, the folder reaches the container, and the key
    stands nowhere that others can look."""
    def check(text):
        service.drop_in(f"[Service]\n{text}\n")
        service.configure({"docs": MAPPING}, auth={"endpoint": account.endpoint(), "auth": {
            "method": "shared-key", "key": {"credential": "azure-key"}}})
        (folder / "file").write_text("content")
        service.start()
        service.wait_sync()
        equal()
        pid = service.main_pid
        for name in ("cmdline", "environ"):
            assert account.key.encode() not in installed.path(f"/proc/{pid}/{name}").read_bytes()
        assert account.key not in service.log() + service.ctl("status", "--json").out
        kept = installed.path("/run/credentials/azsyncd.service/azure-key")
        assert kept.stat().st_mode & 0o077 == 0
    return check


def test_load(mirrors, installed, account):
    installed.write("/root/key", account.key, 0o600)
    mirrors("LoadCredential=azure-key:/root/key")


def test_load_encrypted(mirrors, installed, account):
    """With the key of this machine; there is no TPM here."""
    installed.run("systemd-creds", "setup")
    installed.run("systemd-creds", "encrypt", "--with-key=host", "--name=azure-key", "-", "/etc/azsyncd/azure-key.cred",
                  stdin=account.key)
    assert account.key.encode() not in installed.path("/etc/azsyncd/azure-key.cred").read_bytes()
    mirrors("LoadCredentialEncrypted=azure-key:/etc/azsyncd/azure-key.cred")


def test_set(mirrors, account):
    mirrors(f"SetCredential=azure-key:{account.key}")


def test_set_encrypted(mirrors, installed, account):
    installed.run("systemd-creds", "setup")
    line = installed.run("systemd-creds", "encrypt", "--with-key=host", "--name=azure-key", "--pretty", "-", "-",
                         stdin=account.key).out
    assert account.key not in line
    mirrors(line)


def test_missing(service, account):
    """What to do is said, and the unit does not come up in a loop."""
    service.configure({"docs": MAPPING}, auth={"endpoint": account.endpoint(), "auth": {
        "method": "shared-key", "key": {"credential": "azure-key"}}})
    service.systemctl("enable", "--now", "azsyncd.service", expect=1)
    assert service.show("ExecMainStatus") == "78" and "LoadCredential=azure-key" in service.said()
