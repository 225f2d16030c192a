"""A file of known digest comes whole or not at all, and a cut one goes on where it stopped."""

import errno
import hashlib
from pathlib import Path

import pytest

from pellucid.errors import DownloadError
from pellucid.weights import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def fetch(server, tmp_path, heard, monkeypatch):
    """fetch(digest) the file /m; returns its path."""
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.files["/m"] = CONTENT
    target = tmp_path / "m"

    def fetch(sha256=DIGEST, url=server.url + "/m", most=1 << 20):
        download.fetch(url, target, sha256, "m", heard, most)
        return target

    return fetch


def leftovers(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.glob("*.part")]


def test_a_file_arrives_with_its_progress(fetch, heard, tmp_path):
    assert fetch().read_bytes() == CONTENT
    assert heard.updates[-1] == ("m", len(CONTENT), len(CONTENT))
    assert leftovers(tmp_path) == []


def test_a_cut_transfer_asks_only_for_the_rest(fetch, server):
    server.cut["/m"] = [300_000, 1, 0]
    assert fetch().read_bytes() == CONTENT
    assert server.gets("/m") == [None, "bytes=300000-", "bytes=300001-", "bytes=300001-"]


def test_a_server_without_ranges_starts_over(fetch, server):
    server.ranges = False
    server.cut["/m"] = [300_000]
    assert fetch().read_bytes() == CONTENT


def test_what_was_fetched_survives_for_the_next_try(fetch, server, tmp_path):
    server.cut["/m"] = [300_000] + [0] * (download.TRIES - 1)
    with pytest.raises(DownloadError, match=r"cut after 300000 bytes .* next try goes on"):
        fetch()
    assert leftovers(tmp_path) == [300_000]
    assert fetch().read_bytes() == CONTENT
    assert server.gets("/m")[-1] == "bytes=300000-"


def test_the_next_try_may_go_on_from_another_address(fetch, server):
    server.cut["/m"] = [300_000] + [0] * (download.TRIES - 1)
    with pytest.raises(DownloadError):
        fetch()
    server.files["/mirror"] = CONTENT
    fetch(url=server.url + "/mirror")
    assert server.gets("/mirror") == ["bytes=300000-"]


def test_a_whole_part_left_by_a_killed_process_is_taken(fetch, server, tmp_path):
    (tmp_path / f"m.{DIGEST[:16]}.part").write_bytes(CONTENT)
    assert fetch().read_bytes() == CONTENT
    assert server.gets("/m") == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * (len(CONTENT) + 1)], ids=["short", "long"])
def test_a_spoilt_part_is_dropped_and_fetched_anew(fetch, server, tmp_path, part, ranges):
    server.ranges = ranges
    (tmp_path / f"m.{DIGEST[:16]}.part").write_bytes(part)
    assert fetch().read_bytes() == CONTENT
    assert len(server.asked) == (2 if ranges else 1)
    assert leftovers(tmp_path) == []


def test_a_wrong_digest_names_both_and_leaves_nothing(fetch, tmp_path):
    with pytest.raises(DownloadError) as error:
        fetch(sha256="0" * 64)
    assert DIGEST in str(error.value)
    assert "0" * 64 in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lengths", [True, False], ids=["announced", "unannounced"])
def test_more_than_the_file_can_have_is_not_taken(fetch, server, tmp_path, heard, lengths):
    server.lengths = lengths
    with pytest.raises(DownloadError, match=r"sends [\d,]+ bytes or more, but .* 900,000 at most"):
        fetch(most=900_000)
    assert list(tmp_path.iterdir()) == []
    assert max([done for _, done, _ in heard.updates], default=0) <= (0 if lengths else 900_000)


@pytest.mark.parametrize("lengths", [True, False], ids=["announced", "unannounced"])
def test_a_disk_is_not_filled(fetch, server, tmp_path, small_disk, lengths):
    server.lengths = lengths
    small_disk(10)
    with pytest.raises(DownloadError, match=r"268 MB are left alone; .* set PELLUCID_HOME to"):
        fetch()
    assert leftovers(tmp_path) == [0]
    small_disk(len(CONTENT))
    assert fetch().read_bytes() == CONTENT


def test_a_server_that_is_busy_is_asked_again(fetch, server):
    busy = [503, 429]
    server.status = lambda path, headers: busy.pop() if busy else None
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("code", [401, 403, 404, 407])
def test_a_server_that_does_not_let_us_in_is_not_asked_again(fetch, server, code):
    server.status = lambda path, headers: code
    with pytest.raises(download.RefusedError, match=str(code)):
        fetch()
    assert len(server.asked) == 1


def test_a_closed_port_is_a_refusal(fetch, server):
    server.close()
    with pytest.raises(download.RefusedError):
        fetch()


def test_an_index_cannot_send_us_to_a_local_file(fetch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    with pytest.raises(download.RefusedError):
        fetch(url=secret.as_uri())


def test_a_proxy_of_the_environment_is_used(fetch, server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://elsewhere.invalid/m"] = CONTENT
    assert fetch(url="http://elsewhere.invalid/m").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "cannot be written"),
        (errno.EDQUOT, "full"),
    ],
)
def test_a_disk_that_refuses_is_named_and_what_came_is_kept(
    fetch, tmp_path, monkeypatch, number, reason
):
    real = Path.open

    def open_small_disk(path, mode="r", **options):
        file = real(path, mode, **options)
        if mode == "r+b":
            write = file.write

            def write_until_full(data):
                if file.tell() >= 500_000:
                    raise OSError(number, "refused")
                return write(data)

            file = _Wrapped(file, write_until_full)
        return file

    monkeypatch.setattr(Path, "open", open_small_disk)
    with pytest.raises(DownloadError, match=reason) as error:
        fetch()
    assert str(tmp_path) in str(error.value)
    assert "PELLUCID_HOME" in str(error.value)
    assert leftovers(tmp_path)[0] >= 500_000
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch().read_bytes() == CONTENT


class _Wrapped:
    """A file with another `write`."""

    def __init__(self, file, write):
        self._file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def test_a_folder_that_is_a_file_is_explained(server, tmp_path, heard):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="PELLUCID_HOME"):
        download.fetch(server.url, tmp_path / "file" / "m", DIGEST, "m", heard)
