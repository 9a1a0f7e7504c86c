"""What is kept of the platform's maps outlives restarts and power cuts, whole or not at all."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from agent.errors import ActionFailed, ConfigError, DownloadFailed, DuplicateMap, StorageFull
from agent.mapping.map_file import load_map, write_map
from agent.vda5050.messages import ZoneSet
from agent.vda5050.storage.depot import Depot
from agent.vda5050.storage.package import unpack
from agent.vda5050.storage.params import StorageParams
from agent.vda5050.storage.terrain import MapKey
from tests.agent.vda5050.storage.archives import SMALL, zipped_map

HALL, NEW_HALL, CELLAR = MapKey("hall", "1"), MapKey("hall", "2"), MapKey("cellar/../..", "a b")


@pytest.fixture
def configured(tmp_path: Path) -> dict[MapKey, Path]:
    write_map(tmp_path / "hall.yaml", SMALL)
    return {HALL: tmp_path / "hall.yaml"}


def opened(tmp_path: Path, configured: dict[MapKey, Path], **limits: float) -> Depot:
    return Depot(StorageParams(directory=tmp_path / "maps", **limits), configured)


def add(depot: Depot, key: MapKey) -> None:
    depot.add(key, zipped_map(depot.incoming() / "archive"))


def test_maps_are_there_after_a_restart(tmp_path: Path, configured: dict[MapKey, Path]) -> None:
    depot = opened(tmp_path, configured)
    assert (depot.keys, depot.enabled) == ((HALL,), {"hall": HALL})
    for key in (NEW_HALL, CELLAR):
        add(depot, key)
    depot.enable(NEW_HALL)
    again = opened(tmp_path, configured)
    assert again.keys == (HALL, NEW_HALL, CELLAR)
    assert again.enabled == {"hall": NEW_HALL}
    assert load_map(again.path(CELLAR)).cells.tobytes() == SMALL.cells.tobytes()
    again.remove(CELLAR)
    again.enable(HALL)
    last = opened(tmp_path, configured)
    assert (last.keys, last.enabled) == ((HALL, NEW_HALL), {"hall": HALL})
    assert len(list((tmp_path / "maps").glob("map-*"))) == 1


def test_a_map_comes_once(tmp_path: Path, configured: dict[MapKey, Path]) -> None:
    depot = opened(tmp_path, configured)
    add(depot, NEW_HALL)
    for key in (HALL, NEW_HALL):
        with pytest.raises(DuplicateMap):
            add(depot, key)
    with pytest.raises(ActionFailed, match="no map"):
        depot.remove(HALL)
    with pytest.raises(ActionFailed, match="no map"):
        depot.path(CELLAR)


def test_the_quota_holds(tmp_path: Path, configured: dict[MapKey, Path]) -> None:
    depot = opened(tmp_path, configured, quota_mb=0.06)
    add(depot, NEW_HALL)
    with pytest.raises(StorageFull, match=r"of 0.06 MB"):
        add(depot, CELLAR)
    assert opened(tmp_path, configured).keys == (HALL, NEW_HALL)


def test_leftovers_of_a_power_cut_are_swept_up(
    tmp_path: Path, configured: dict[MapKey, Path]
) -> None:
    depot = opened(tmp_path, configured)
    add(depot, NEW_HALL)
    (depot.incoming() / "archive").write_bytes(b"half")
    shutil.copytree(depot.path(NEW_HALL).parent, tmp_path / "maps" / "map-0")
    opened(tmp_path, configured)
    assert [path.name for path in (tmp_path / "maps").iterdir() if path.is_dir()] == [
        depot.path(NEW_HALL).parent.name
    ]


@pytest.mark.parametrize("harm", ["cut", "gone", "more"])
def test_a_damaged_map_is_dropped(
    tmp_path: Path, configured: dict[MapKey, Path], harm: str
) -> None:
    depot = opened(tmp_path, configured)
    add(depot, NEW_HALL)
    depot.enable(NEW_HALL)
    image = depot.path(NEW_HALL).with_suffix(".pgm")
    match harm:
        case "cut":
            image.write_bytes(image.read_bytes()[:-7])
        case "gone":
            image.unlink()
        case "more":
            image.with_name("more").write_bytes(b"")
    again = opened(tmp_path, configured)
    assert (again.keys, again.enabled) == ((HALL,), {"hall": HALL})
    assert json.loads((tmp_path / "maps" / "index.json").read_text())["maps"] == []


@pytest.mark.parametrize("index", ["", "[]", "{", '{"format": "haulier maps 1"}', '{"format": 1}'])
def test_a_broken_index_is_put_aside(
    tmp_path: Path, configured: dict[MapKey, Path], index: str
) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "index.json").write_text(index)
    assert opened(tmp_path, configured).keys == (HALL,)
    assert (tmp_path / "maps" / "index.json.bad").read_text() == index


def test_a_directory_that_is_none_is_the_configurations_fault(
    tmp_path: Path, configured: dict[MapKey, Path]
) -> None:
    (tmp_path / "maps").write_text("no directory")
    with pytest.raises(ConfigError, match=r"storage.directory"):
        opened(tmp_path, configured)


def archive_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


YAML = b"image: m.pgm\nresolution: 0.05\norigin: [0, 0, 0]\n"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "yaml files in there: none"),
        ({"a.yaml": YAML, "b.yaml": YAML}, r"a\.yaml, b\.yaml"),
        ({"m.yaml": YAML}, "not beside it"),
        ({"m.yaml": YAML.replace(b"m.pgm", b"../../secret"), "m.pgm": b""}, "not beside it"),
        ({"m.yaml": b"image: 3"}, "key 'image'"),
        ({"a/m.yaml": YAML, "b/m.yaml": YAML}, "two files of one name"),
        ({"..": b"x"}, "names a file"),
        ({f"{i}": b"" for i in range(40)}, "more than 32 files"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(DownloadFailed, match=words):
        unpack(archive_of(tmp_path / "archive", members), tmp_path / "into", 10**6)


def test_names_lead_nowhere_but_into_the_directory(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    members = {"../../m.yaml": YAML, "/etc/m.pgm": b"P5 1 1 255 x", "c:\\x\\y": b""}
    assert unpack(archive_of(tmp_path / "archive", members), into, 10**6) == "m.yaml"
    assert sorted(path.name for path in into.iterdir()) == ["m.pgm", "m.yaml", "y"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    bomb = archive_of(tmp_path / "archive", {"m.pgm": bytes(10**7)})
    assert bomb.stat().st_size < 20_000
    with pytest.raises(StorageFull, match="more than 1 MB"):
        unpack(bomb, tmp_path / "into", 10**6)
    assert (tmp_path / "into" / "m.pgm").stat().st_size <= 10**6


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar_archives_are_taken_without_links(tmp_path: Path, mode: str) -> None:
    write_map(tmp_path / "m.yaml", SMALL)
    with tarfile.open(tmp_path / "archive", mode) as archive:
        for name in ("m.yaml", "m.pgm"):
            archive.add(tmp_path / name, f"./deep/{name}")
        link = tarfile.TarInfo("evil")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "into").mkdir()
    assert unpack(tmp_path / "archive", tmp_path / "into", 10**6) == "m.yaml"
    assert sorted(p.name for p in (tmp_path / "into").iterdir()) == ["m.pgm", "m.yaml"]


@pytest.mark.parametrize("kind", ["zip", "tar", "none"])
def test_a_torn_archive_is_told_as_such(tmp_path: Path, kind: str) -> None:
    whole = zipped_map(tmp_path / "map.zip")
    if kind == "tar":
        with tarfile.open(tmp_path / "map.tgz", "w:gz") as archive:
            archive.add(tmp_path / "cellar.pgm", "cellar.pgm")
        whole = tmp_path / "map.tgz"
    content = bytearray(whole.read_bytes() if kind != "none" else b"no archive at all")
    if kind == "zip":
        content[200:230] = bytes(30)
    elif kind == "tar":
        del content[len(content) // 2 :]
    (tmp_path / "torn").write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(DownloadFailed, match="archive"):
        unpack(tmp_path / "torn", tmp_path / "into", 10**6)


NIGHT = ZoneSet(map_id="hall", zone_set_id="night", zones=[])


def test_zone_sets_are_there_after_a_restart(
    tmp_path: Path, configured: dict[MapKey, Path]
) -> None:
    depot = opened(tmp_path, configured)
    for name in ("night", "../day"):
        depot.add_zone_set(NIGHT.model_copy(update={"zone_set_id": name}))
    depot.enable_zone_set(NIGHT)
    again = opened(tmp_path, configured)
    assert [zone_set.zone_set_id for zone_set in again.zone_sets] == ["night", "../day"]
    assert again.zone_sets_enabled == {"hall": "night"}
    again.remove_zone_set("../day")
    with pytest.raises(ActionFailed, match="no zone set"):
        again.remove_zone_set("../day")
    assert [z.zone_set_id for z in opened(tmp_path, configured).zone_sets] == ["night"]
    (file,) = (tmp_path / "maps").glob("zones-*")
    file.write_bytes(file.read_bytes() + b" ")
    damaged = opened(tmp_path, configured)
    assert (damaged.zone_sets, damaged.zone_sets_enabled) == ((), {})


def test_a_disk_that_takes_nothing_leaves_what_was(
    tmp_path: Path, configured: dict[MapKey, Path]
) -> None:
    depot = opened(tmp_path, configured)
    add(depot, NEW_HALL)
    (tmp_path / "maps" / "index.json.new").mkdir()
    for attempt in (
        lambda: depot.enable(NEW_HALL),
        lambda: depot.remove(NEW_HALL),
        lambda: depot.add_zone_set(NIGHT),
    ):
        with pytest.raises(OSError, match="directory"):
            attempt()
    assert (depot.keys, depot.enabled, depot.zone_sets) == ((HALL, NEW_HALL), {"hall": HALL}, ())
    (tmp_path / "maps" / "index.json.new").rmdir()
    assert opened(tmp_path, configured).keys == (HALL, NEW_HALL)
