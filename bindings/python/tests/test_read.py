"""Reading: images, hives, keys, values, times, names, errors."""

import os
import shutil
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import hivewright
import pytest
from hivewright import Image


def test_a_hive_a_folder_and_a_disk_are_read_alike(hive, tmp_path, disk):
    config = tmp_path / "volume/Windows/System32/config"
    config.mkdir(parents=True)
    shutil.copy(hive, config / "SYSTEM")
    for place in [hive, tmp_path / "volume", config]:
        (windows,) = Image.open(place).installations()
        system = windows.hive("SYSTEM")
        assert system.get_key("Select").get_value("Current").data == 1
        assert system.get_key(r"CurrentControlSet\Services\PolicyAgent").name == "PolicyAgent"
    image = Image.open(disk("two-windows"))
    assert len(image.installations()) == 2
    for windows in image.installations():
        assert windows.hive().find_key("Select") is not None
        assert windows.hive("system").find_key(r"no\such") is None
    assert image.bytes_read > 0
    with pytest.raises(hivewright.RefusedError) as refused:
        image.hive("SYSTEM")
    assert refused.value.code == "several-installations"


@pytest.mark.parametrize("mapped", [True, False])
def test_paths_of_any_kind(hive, tmp_path, mapped):
    class Like:
        def __fspath__(self):
            return os.fsencode(odd)

    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe SYSTEM\n")
    shutil.copy(hive, odd)
    for path in [odd, os.fsencode(odd), Path(odd), Like()]:
        image = Image.open(path, mapped=mapped)
        assert os.fsencode(image.path) == os.fsencode(odd)
        assert image.hive().find_key("Select") is not None
    with pytest.raises(TypeError):
        Image.open(3)


def test_values_are_typed(fixtures):
    key = Image.open(fixtures / "windows/win10/SYSTEM").hive().get_key(r"ControlSet001\Services\PolicyAgent")
    data = {value.name: (value.type_name, value.data) for value in key.values()}
    assert data["Start"][0] == "REG_DWORD" and isinstance(data["Start"][1], int)
    assert data["ImagePath"] == ("REG_EXPAND_SZ", r"%SystemRoot%\system32\svchost.exe -k NetworkServiceNetworkRestricted -p")
    value = key.get_value("START")
    assert (value.type, value.size, value.raw) == (4, 4, data["Start"][1].to_bytes(4, "little"))
    assert value.key == key and hash(value.key) == hash(key)


def test_iteration_and_walk_see_every_key(fixtures):
    hive = Image.open(fixtures / "windows/win10/SYSTEM").hive()

    def below(key):
        yield key.path
        for subkey in key.subkeys():
            yield from below(subkey)

    paths = list(below(hive.root))
    assert paths == [key.path for key in hive.walk()] == [key.path for key in hive.root.walk()]
    assert len(paths) > 20 and paths[0] == ""
    for path in paths:
        key = hive.get_key(path)
        assert key.path == path
        assert key.subkey_count == len(list(key.subkeys())) and key.value_count == len(list(key.values()))
        assert hive.get_key(key.names) == key
        assert (key.parent is None) == (path == "")


def test_times_are_in_utc(fixtures):
    key = Image.open(fixtures / "windows/win10/SYSTEM").hive().root
    ticks = key.last_written_filetime
    expected = datetime(1601, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=ticks // 10)
    assert key.last_written == expected and key.last_written.utcoffset() == timedelta(0)


@pytest.mark.parametrize("ticks", [0, 9, 10, 126_227_808_000_000_000, 132_000_000_123_456_789, 2_650_467_743_999_999_999])
def test_times_from_1601_to_9999(hive, ticks):
    hive.write_bytes(patched(hive.read_bytes(), 4, ticks.to_bytes(8, "little")))
    expected = datetime(1601, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=ticks // 10)
    assert Image.open(hive).hive().root.last_written == expected


def test_a_time_that_no_datetime_has(hive):
    for ticks in [2_650_467_744_000_000_000, 2**64 - 1]:
        hive.write_bytes(patched(hive.read_bytes(), 4, ticks.to_bytes(8, "little")))
        key = Image.open(hive).hive().root
        assert key.last_written_filetime == ticks
        with pytest.raises(OverflowError):
            key.last_written


def patched(data, offset, new):
    """The hive with bytes of its root key node changed."""
    data = bytearray(data)
    at = 4096 + int.from_bytes(data[36:40], "little") + 4 + offset
    data[at : at + len(new)] = new
    return bytes(data)


def test_odd_names_and_values(fixtures, hive):
    odd = Image.open(fixtures / "shapes/odd-values/SYSTEM").hive()
    kinds = set()
    for key in odd.walk():
        for value in key.values():
            assert isinstance(value.data, (int, str, list, bytes)) and len(value.raw) == value.size
            kinds.add(type(value.data))
    assert kinds == {int, str, list, bytes}
    lone = "a\ud800b\0"
    with Image.open(hive).transaction() as edit:
        edit.set_value(["New", lone], lone, lone)
        edit.set_value(["New", lone], "list", ["x", "\udc00y", "z"])
    read = Image.open(hive).hive()
    key = read.get_key(["New", lone])
    assert key.name == lone and read.get_key(key.path) == key
    value = key.get_value(lone)
    # What follows a zero is not shown, and is there.
    assert (value.name, value.data) == (lone, "a\ud800b")
    assert value.raw == (lone + "\0").encode("utf-16-le", "surrogatepass")
    assert key.get_value("list").data == ["x", "\udc00y", "z"]


def test_class_security_and_parents(fixtures):
    hive = Image.open(fixtures / "shapes/odd-keys/SYSTEM").hive()
    assert any(key.class_name for key in hive.walk())
    key = Image.open(fixtures / "windows/win10/SYSTEM").hive().get_key(r"ControlSet001\Services")
    assert key.sddl.startswith("O:") and key.security_descriptor[:1] == b"\x01"
    assert key.parent.parent == Image.open(fixtures / "windows/win10/SYSTEM").hive().root or key.parent.parent.path == ""


def test_a_dirty_hive_is_read_with_its_logs(fixtures):
    dirty = Image.open(fixtures / "dirty/new-two-logs/SYSTEM").hive()
    clean = Image.open(fixtures / "windows/win10/SYSTEM").hive()
    assert dirty.is_recovered and not clean.is_recovered
    with pytest.raises(hivewright.RefusedError) as refused:
        Image.open(fixtures / "dirty/new-no-logs/SYSTEM").hive()
    assert refused.value.code == "no-log"


def test_what_is_not_there(hive, tmp_path):
    system = Image.open(hive).hive()
    for lost, code in [
        (lambda: system.get_key(r"no\such"), "no-key"),
        (lambda: system.root.get_key("no"), "no-key"),
        (lambda: system.get_key("Select").get_value("no"), "no-value"),
        (lambda: Image.open(tmp_path / "none"), "no-file"),
        (lambda: Image.open(hive).hive("SOFTWARE"), "no-file"),
    ]:
        with pytest.raises(hivewright.NotFoundError) as error:
            lost()
        assert error.value.code == code and error.value.kind == "not-found"
        assert isinstance(error.value, LookupError) and isinstance(error.value, hivewright.Error)
    assert system.get_key("Select").find_value("no") is None
    with pytest.raises(hivewright.Error) as error:
        Image.open(hive).hive("NOSUCH")
    assert error.value.advice


def test_damage_is_told_and_does_not_end_the_rest(fixtures):
    hive = Image.open(fixtures / "check/key-signature/SYSTEM").hive()
    errors = []
    keys = list(hive.walk(onerror=errors.append))
    assert len(keys) > 10 and len(errors) == 1
    (error,) = errors
    assert isinstance(error, hivewright.CorruptError) and error.code == "key-signature"
    space, offset = error.places[0]
    assert space == "hive" and offset > 4096
    with pytest.raises(hivewright.CorruptError):
        list(hive.walk())
    # In its place, and the iteration goes on.
    walk, seen, raised = hive.walk(), 0, 0
    while True:
        try:
            next(walk)
            seen += 1
        except StopIteration:
            break
        except hivewright.CorruptError:
            raised += 1
    assert (seen, raised) == (len(keys), 1)


def test_a_hive_that_contains_itself_is_walked_once(fixtures):
    hive = Image.open(fixtures / "check/key-twice/SYSTEM").hive()
    errors = []
    keys = [key.offset for key in hive.walk(onerror=errors.append)]
    assert len(keys) == len(set(keys)) and "key-twice" in [error.code for error in errors]


def test_what_is_no_hive(tmp_path, fixtures):
    text = tmp_path / "text"
    text.write_text("no hive")
    with pytest.raises(hivewright.UnsupportedError) as error:
        Image.open(text).hive()
    assert error.value.code == "base-signature" and error.value.file == text
    broken = tmp_path / "broken"
    broken.write_bytes((fixtures / "windows/win10/SYSTEM").read_bytes()[:5000])
    with pytest.raises(hivewright.CorruptError) as error:
        list(Image.open(broken).hive().walk())
    assert isinstance(error.value, ValueError)


def test_files_that_may_not_be_read(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "loop").symlink_to("loop")
    with pytest.raises(hivewright.IoError) as error:
        Image.open(folder / "loop")
    assert isinstance(error.value, OSError) and error.value.errno


def test_threads_share_a_hive(disk):
    """Of a hive that is read page by page, with the GIL released."""
    system = Image.open(disk("gpt")).hive()
    expected = [key.path for key in system.walk()]
    results, shared = [], system.walk()
    together = []

    def walk():
        results.append([key.path for key in system.walk()])
        for key in shared:
            together.append(key.path)

    threads = [threading.Thread(target=walk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4 and sorted(together) == sorted(expected)


def test_profiles_and_product(disk):
    (windows,) = Image.open(disk("gpt")).installations()
    verdict = windows.nat_t()
    assert verdict["state"] in ("set", "unset") and verdict["meaning"]
    product = windows.product()
    assert product is None or product["build"]
