"""The documentation as a site: built, and every link in it followed; docs/gallery.md."""

import importlib
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from commands_support import ROOT
from test_nouns import PACKAGES, exported

# What the site is made of, beside the Markdown at the top.
PARTS = ("conf", "docs", "examples", "src", "zoo")


def build(project: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """``make site``, in a process for it must see nothing of this one's modules."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(out)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The pages of the site by their files."""
    out = tmp_path_factory.mktemp("site")
    built = build(ROOT, out)
    assert built.returncode == 0, built.stderr
    return {path: path.read_text(encoding="utf-8") for path in out.rglob("*.html")}


def page(site: dict[Path, str], name: str) -> str:
    return next(text for path, text in site.items() if path.as_posix().endswith(f"/{name}"))


def test_every_link_leads_somewhere_and_nothing_is_taken_from_elsewhere(
    site: dict[Path, str],
) -> None:
    anchors = {path: set(re.findall(r'\sid="([^"]+)"', text)) for path, text in site.items()}
    num_followed = 0
    for path, text in site.items():
        if path.name == "404.html":  # whose links begin at the site's address
            continue
        for kind, found in re.findall(r'\s(href|src)="([^"]*)"', text):
            link = urlsplit(unescape(found))
            if link.scheme or link.netloc:
                assert kind == "href", f"{path}: {found}"
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            assert target.exists(), f"{path}: {found}"
            if link.fragment and target in anchors:
                assert unquote(link.fragment) in anchors[target] | {"__skip"}, f"{path}: {found}"
            num_followed += 1
    assert num_followed > 1000


def test_the_home_page_is_the_readme(site: dict[Path, str]) -> None:
    home = page(site, "index.html")
    assert 'src="results/show/cold.gif"' in home
    assert 'href="weights.html"' in home
    assert "docs/weights.md" not in home


@pytest.mark.parametrize("package", PACKAGES)
def test_each_exported_name_is_explained(site: dict[Path, str], package: str) -> None:
    reference = page(site, f"api/{package}.html")
    for name in exported(package):
        assert f'id="{package}.{name}"' in reference, name
    assert not re.search(r":\w+:<code>", reference)


@pytest.mark.slow
def test_what_leads_nowhere_or_is_not_in_the_navigation_is_refused(tmp_path: Path) -> None:
    for path in [*map(ROOT.joinpath, PARTS), *ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    links = "[one](metric.md) [two](metrics.md#no) [three](../src/no.py)"
    (tmp_path / "docs" / "more.md").write_text(f"# More\n\n{links}\n")
    built = build(tmp_path, tmp_path / "out")
    assert built.returncode == 1
    for words in ("'metric.md'", "'metrics.md#no'", "'../src/no.py'", "more.md\n"):
        assert words in built.stderr, words


def test_the_gallery_is_what_its_generator_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    generator = importlib.import_module("generate_gallery")
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert generator.page() == text, "docs/gallery.md is out of date: run make docs"
    for path in ROOT.glob("conf/degradation/*.yaml"):
        assert f"\n### {path.stem}\n" in text
    (tmp_path / "degradation").mkdir()
    (tmp_path / "degradation" / "veil.yaml").write_text("# A veil.\n")
    with pytest.raises(SystemExit, match=r"forward/veil.png is missing: the picture of veil"):
        generator.page(tmp_path)
