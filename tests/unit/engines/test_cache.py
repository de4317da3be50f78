"""The cache holds whole engines only, each under its own key."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sensetig.engines import catalogue
from sensetig.engines.cache import Cache, Key, root
from tests.unit.engines.programs import prints

SPECS = catalogue.load().engines
KEY = Key("telegraf", "1.39.3", "linux", "arm64")


def install(cache: Cache, key: Key) -> None:
    with cache.lock(key, pytest.fail), cache.staging(key) as staged:
        prints(staged / "telegraf", "Telegraf 1.39.3")
        cache.install(key, staged, "a test")


def test_the_folder_name_contains_all_that_distinguishes_engines() -> None:
    assert KEY.folder == "telegraf-1.39.3-linux-arm64"
    assert KEY._replace(plugins="0123").folder == "telegraf-1.39.3-0123-linux-arm64"


def test_the_cache_is_where_the_variable_says() -> None:
    assert root({"SENSETIG_CACHE": "/srv/cache"}) == Path("/srv/cache/engines")
    assert root({}).parts[-2:] == ("sensetig", "engines")


def test_an_installed_engine_is_found_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "engines")
    assert cache.find(SPECS["telegraf"], KEY) is None
    install(cache, KEY)
    found = Cache(tmp_path / "engines").find(SPECS["telegraf"], KEY)
    assert found is not None
    assert found.path == tmp_path / "engines" / KEY.folder / "telegraf"
    assert (found.version, found.source) == ("1.39.3", "the cache (a test)")


def test_a_telegraf_for_other_plugins_or_machines_is_another_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    install(cache, KEY._replace(plugins="aaaa"))
    for other in (KEY._replace(plugins="bbbb"), KEY, KEY._replace(plugins="aaaa", architecture="amd64")):
        assert cache.find(SPECS["telegraf"], other) is None


def test_a_failure_while_it_is_made_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail() -> None:
        with cache.lock(KEY, pytest.fail), cache.staging(KEY) as staged:
            prints(staged / "telegraf", "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert cache.find(SPECS["telegraf"], KEY) is None
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_an_incomplete_engine_is_not_found_and_is_replaced(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    install(cache, KEY)
    (tmp_path / KEY.folder / "telegraf").unlink()
    assert cache.find(SPECS["telegraf"], KEY) is None
    install(cache, KEY)
    assert cache.find(SPECS["telegraf"], KEY) is not None


def test_a_second_process_waits_says_so_and_finds_the_engine_of_the_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    waits = threading.Event()
    found = []

    def second() -> None:
        other = Cache(tmp_path)
        with other.lock(KEY, lambda _: waits.set()):
            found.append(other.find(SPECS["telegraf"], KEY))

    thread = threading.Thread(target=second)
    with cache.lock(KEY, pytest.fail), cache.staging(KEY) as staged:
        thread.start()
        assert waits.wait(120)
        prints(staged / "telegraf", "Telegraf 1.39.3")
        cache.install(KEY, staged, "the first")
    thread.join(120)
    assert [engine.source for engine in found if engine] == ["the cache (the first)"]
