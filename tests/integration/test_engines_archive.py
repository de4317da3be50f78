"""The vendor's archive over HTTP: a signed, complete package is unpacked; all others are rejected with a sentence.

The server is on loopback and signs with a test key; the tests cannot reach the vendors' real hosts.
"""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysequoia import Tsk

from sensetig.engines import archive, catalogue, installed, os_packages, sources
from sensetig.engines.cache import Cache
from sensetig.engines.engine import EngineUnavailable
from tests.unit.engines.vendor import PROGRAM, Vendor, deb, published


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine even a server on loopback may take some seconds."""
    defaults = archive.unpack.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", 60.0)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """An archive that is as it should be."""
    with published(tmp_path / "archive") as vendor:
        yield vendor


def refused(vendor: Vendor, folder: Path, sentence: str, version: str = "1.39.3-1") -> None:
    """The package is refused with this sentence, and nothing of it is there."""
    target = folder / "unpacked"
    with pytest.raises(EngineUnavailable, match=sentence) as caught:
        archive.unpack(vendor.package(version), "amd64", target, lambda _: None)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_a_signed_package_is_verified_and_its_program_laid_out(vendor: Vendor, tmp_path: Path) -> None:
    said: list[str] = []
    target = tmp_path / "telegraf"
    archive.unpack(vendor.package(), "amd64", target, said.append)
    assert target.read_bytes() == PROGRAM
    assert installed.output(target, ()) == "Telegraf 1.39.3\n"
    assert said == [
        f"fetching telegraf 1.39.3-1 from {vendor.url}",
        "checksum and signature hold; unpacking",
    ]


def test_a_folder_is_unpacked_with_its_links_and_without_other_files(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(
        deb(
            {"usr/share/grafana/bin/grafana": PROGRAM, "usr/share/grafana/conf/defaults.ini": b"x", "etc/other": b"y"},
            {"usr/share/grafana/bin/grafana-server": "grafana"},
        )
    )
    archive.unpack(vendor.package(takes="usr/share/grafana/"), "amd64", tmp_path / "home", lambda _: None)
    laid_out = sorted(str(p.relative_to(tmp_path / "home")) for p in (tmp_path / "home").rglob("*") if p.is_file())
    assert laid_out == ["bin/grafana", "bin/grafana-server", "conf/defaults.ini"]
    assert installed.output(tmp_path / "home" / "bin" / "grafana-server", ()) == "Telegraf 1.39.3\n"


def test_a_path_that_leads_out_of_the_folder_is_not_followed(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(deb({"usr/share/grafana/../../../evil": b"x", "usr/share/grafana/VERSION": b"12"}))
    archive.unpack(vendor.package(takes="usr/share/grafana/"), "amd64", tmp_path / "a" / "home", lambda _: None)
    assert [p.name for p in tmp_path.rglob("evil")] == []
    assert (tmp_path / "a" / "home" / "VERSION").read_bytes() == b"12"


def test_a_tampered_package_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    content = bytearray(vendor.deb.read_bytes())
    content[-20] ^= 1
    vendor.deb.write_bytes(content)
    refused(vendor, tmp_path, r"\.deb is not what its signed checksum says: it was altered on the way")


def test_a_truncated_package_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.deb.write_bytes(vendor.deb.read_bytes()[:-10])
    refused(vendor, tmp_path, r"\.deb is not what its signed checksum says")


def test_a_tampered_list_of_packages_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    text = gzip.decompress(vendor.index.read_bytes()).replace(b"an engine", b"my engine")
    vendor.index.write_bytes(gzip.compress(text))
    refused(vendor, tmp_path, r"Packages\.gz is not what its signed checksum says")


def test_a_tampered_release_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.release.write_bytes(vendor.release.read_bytes().replace(b"Suite: stable", b"Suite: spoilt"))
    refused(vendor, tmp_path, rf"the signature of {vendor.url} is not by {vendor.fingerprint}")


def test_a_release_without_a_signature_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.release.write_bytes(b"Origin: A vendor\nSuite: stable\n")
    refused(vendor, tmp_path, rf"the signature of {vendor.url} is not by {vendor.fingerprint}")


def test_another_key_than_the_known_one_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    other = Tsk.generate("Somebody else")
    vendor.key.write_text(str(other.extract_certificate()))
    vendor.sign(other)
    found = other.extract_certificate().fingerprint.upper()
    refused(vendor, tmp_path, rf"archive\.key has the fingerprint {found}, and not {vendor.fingerprint}: nothing")


def test_a_signature_by_another_key_of_the_same_file_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    other = Tsk.generate("A key that was used before")
    vendor.key.write_text(str(other.extract_certificate()) + vendor.key.read_text())
    archive.unpack(vendor.package(), "amd64", tmp_path / "good", lambda _: None)
    vendor.sign(other)
    refused(vendor, tmp_path, rf"the signature of {vendor.url} is not by {vendor.fingerprint}")


def test_a_page_where_the_key_should_be_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.key.write_text("<html>Please sign in to this network</html>")
    refused(vendor, tmp_path, r"archive\.key (is no public key|has the fingerprint none)")


def test_a_signature_that_has_run_out_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.extra = "Valid-Until: Sat, 01 Aug 2026 00:00:00 UTC\n"
    vendor.sign(vendor.secret)
    july, september = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
    archive.unpack(vendor.package(), "amd64", tmp_path / "july", lambda _: None, now=july)
    with pytest.raises(EngineUnavailable, match="was valid until Sat, 01 Aug 2026"):
        archive.unpack(vendor.package(), "amd64", tmp_path / "september", lambda _: None, now=september)
    assert not (tmp_path / "september").exists()


def test_a_version_that_is_not_there_is_refused_with_those_that_are(vendor: Vendor, tmp_path: Path) -> None:
    refused(
        vendor,
        tmp_path,
        rf"{vendor.url} has no telegraf 9\.9\.9-1 for amd64; it has 1\.30\.0-1, 1\.39\.3-1",
        version="9.9.9-1",
    )


def test_an_architecture_that_is_not_there_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"has no packages for riscv64$"):
        archive.unpack(vendor.package(), "riscv64", tmp_path / "unpacked", lambda _: None)


def test_a_package_without_the_engine_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(deb({"usr/share/doc/telegraf/README": b"text"}))
    refused(vendor, tmp_path, r"^telegraf 1\.39\.3-1 has no usr/bin/telegraf$")


def test_an_invalid_package_is_rejected(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(b"not a package at all")
    refused(vendor, tmp_path, r"^telegraf 1\.39\.3-1 cannot be unpacked: ")


def test_a_missing_file_is_refused_with_the_servers_answer(vendor: Vendor, tmp_path: Path) -> None:
    vendor.release.unlink()
    refused(vendor, tmp_path, r"^127\.0\.0\.1 answers 404 to /dists/stable/InRelease$")


def test_a_host_that_never_answers_is_given_up_within_its_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        package = catalogue.load().engines["telegraf"].package
        assert package is not None
        package = package._replace(archive=package.archive._replace(url=url, key=f"{url}/archive.key"))
        with pytest.raises(EngineUnavailable, match=r"^127\.0\.0\.1 (did not answer within 0\.5 s|cannot be reached)"):
            archive.unpack(package, "amd64", tmp_path / "unpacked", lambda _: None, patience=0.5)
    assert not (tmp_path / "unpacked").exists()


def test_a_host_that_refuses_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    package = catalogue.load().engines["telegraf"].package
    assert package is not None
    package = package._replace(archive=package.archive._replace(key=f"http://127.0.0.1:{port}/archive.key"))
    with pytest.raises(EngineUnavailable, match=r"^127\.0\.0\.1 cannot be reached: Connection refused$"):
        archive.unpack(package, "amd64", tmp_path / "unpacked", lambda _: None)


def place(vendor: Vendor, folder: Path) -> sources.Place:
    """A machine with nothing on it but this archive, without a checkout's engines folder."""
    known = catalogue.load()
    telegraf = known.engines["telegraf"]
    (folder / "bundle" / "telegraf").mkdir(parents=True)
    return sources.Place(
        known._replace(engines={**known.engines, "telegraf": telegraf._replace(package=vendor.package())}),
        {"PATH": "/usr/bin:/bin"},
        Cache(folder / "cache"),
        "linux",
        "amd64",
        folder / "bundle",
        os_packages.System(False, False, folder, 0.0, lambda _: os_packages.Outcome(1, "")),
    )


def test_a_downloaded_engine_is_cached_and_needs_no_network_again(vendor: Vendor, tmp_path: Path) -> None:
    here = place(vendor, tmp_path)
    assert sources.locate("telegraf", here) is None
    got = sources.obtain("telegraf", lambda _: None, here)
    assert (got.version, got.source) == ("1.39.3", f"the vendor's archive {vendor.url}")
    assert got.path == tmp_path / "cache" / "telegraf-1.39.3-linux-amd64" / "telegraf"
    vendor.release.unlink()
    again = sources.obtain("telegraf", pytest.fail, here)
    assert again == sources.locate("telegraf", here)
    assert again.path == got.path


def test_a_grafana_from_the_archive_is_its_whole_folder(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(
        deb({"usr/share/grafana/bin/grafana": PROGRAM, "usr/share/grafana/conf/defaults.ini": b"[server]\n"})
    )
    here = place(vendor, tmp_path)
    grafana = here.catalogue.engines["grafana"]._replace(package=vendor.package(takes="usr/share/grafana/"))
    here = here._replace(catalogue=here.catalogue._replace(engines={"grafana": grafana}))
    got = sources.obtain("grafana", lambda _: None, here)
    assert got.path == tmp_path / "cache" / "grafana-12.4.1-linux-amd64"
    assert (got.path / "conf" / "defaults.ini").read_bytes() == b"[server]\n"
    assert sources.locate("grafana", here) == got._replace(source=f"the cache ({got.source})")


def test_a_grafana_that_is_not_to_be_had_is_one_sentence_that_says_how_to_get_it(
    vendor: Vendor, tmp_path: Path
) -> None:
    vendor.release.unlink()
    here = place(vendor, tmp_path)
    grafana = here.catalogue.engines["grafana"]._replace(package=vendor.package(takes="usr/share/grafana/"))
    here = here._replace(catalogue=here.catalogue._replace(engines={"grafana": grafana}))
    sentence = r"^Grafana 12\.4\.1 is not available \(.*404.*\): everything but the dashboards works .* GRAFANA_HOME$"
    with pytest.raises(EngineUnavailable, match=sentence):
        sources.obtain("grafana", pytest.fail, here)


def test_a_refused_package_leaves_the_cache_empty_and_the_next_source_is_asked(vendor: Vendor, tmp_path: Path) -> None:
    vendor.deb.write_bytes(b"tampered")
    here = place(vendor, tmp_path)
    said: list[str] = []
    sentence = (
        r"^Telegraf 1\.39\.3 is not available \(.*altered on the way; a build needs a checkout.*\): without it no"
    )
    with pytest.raises(EngineUnavailable, match=sentence):
        sources.obtain("telegraf", said.append, here)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["telegraf-1.39.3.lock"]
    assert re.search(r"altered on the way; going on to the next source$", said[-1])


def test_a_program_that_does_not_run_here_is_not_installed(vendor: Vendor, tmp_path: Path) -> None:
    vendor.write_deb(deb({"usr/bin/telegraf": b"\x7fELF of another machine"}))
    here = place(vendor, tmp_path)
    with pytest.raises(EngineUnavailable, match="does not run on this machine"):
        sources.obtain("telegraf", lambda _: None, here)
    assert sources.locate("telegraf", here) is None


def test_an_unwritable_cache_is_reported_with_a_remedy(vendor: Vendor, tmp_path: Path) -> None:
    here = place(vendor, tmp_path)
    (tmp_path / "cache").write_text("a file, where a folder should be")
    with pytest.raises(EngineUnavailable, match=r"could not be put into the cache .*SENSETIG_CACHE names another"):
        sources.obtain("telegraf", lambda _: None, here)


def test_an_engine_without_a_package_for_this_machine_is_reported(vendor: Vendor, tmp_path: Path) -> None:
    here = place(vendor, tmp_path)._replace(architecture="armhf")
    with pytest.raises(EngineUnavailable, match=r"^InfluxDB 2\.9\.1 does not exist for armhf, only for amd64, arm64"):
        sources.obtain("influxd", lambda _: None, here)
