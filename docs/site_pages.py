"""What mkdocs.yml adds to docs/: README.md as the home page, whatever else is linked to, the API.

Links stay as GitHub has them and are rewritten here: a file beside docs/ becomes a page, a source a
page with its code, a folder a page with its files.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "zoo/README.md")
PACKAGES = ("thaw", "thaw.diffusion", "thaw.networks", "thaw.metrics")
LINK = re.compile(r"(?<=\]\()(?![\w+]+:|#)[^)#\s]+")
# As Markdown leaves them of a docstring: :class:`~thaw.diffusion.Sampler`.
ROLE = re.compile(r":(?:attr|class|func|meth|mod):<code>(~?)([\w.]+)</code>")
# The path in the repository of each page, by its path in the site.
_origins: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    _origins.clear()
    waiting = [*BESIDE, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        path = waiting.pop()
        uri = place(path)
        if uri in _origins or not is_page(uri):
            continue
        _origins[uri], text = path, text_of(path)
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, content=text))
        targets = (target_of(path, link) for link in LINK.findall(text))
        waiting += (target for target in targets if (ROOT / target).exists())
    for package in PACKAGES:
        text = "\n".join(api(package))
        files.append(File.generated(config, f"api/{package}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links to where the site has what they lead to."""
    uri = page.file.src_uri
    if page.parent is None:  # with nothing beside it to choose from
        page.meta.setdefault("hide", []).append("navigation")
    if uri not in _origins:
        return markdown

    def moved(link: re.Match[str]) -> str:
        target = target_of(_origins[uri], link[0])
        is_there = (ROOT / target).exists()
        return os.path.relpath(place(target), os.path.dirname(uri)) if is_there else link[0]

    return LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with the roles in docstrings as links to what they name."""

    def linked(role: re.Match[str]) -> str:
        name = role[2].rpartition(".")[2] if role[1] else role[2]
        return f'<autoref identifier="{role[2]}" optional><code>{name}</code></autoref>'

    return ROLE.sub(linked, html)


def place(path: str) -> str:
    """Where the site has a file or folder of the repository."""
    if path == "README.md":
        return "index.md"
    if (ROOT / path).is_dir() or not path.startswith("docs/") or path.endswith(".py"):
        return path if path.endswith(".md") else f"source/{path}.md"
    return path.removeprefix("docs/")


def is_page(uri: str) -> bool:
    """Whether it is no picture or table, which are there as they are."""
    return uri.endswith(".md")


def target_of(path: str, link: str) -> str:
    """The path in the repository that a link on a page leads to."""
    start = path if (ROOT / path).is_dir() else os.path.dirname(path)
    return os.path.normpath(os.path.join(start, link))


def text_of(path: str) -> str:
    """The Markdown of a page."""
    if path.endswith(".md"):
        return (ROOT / path).read_text(encoding="utf-8")
    meta = "---\nsearch: {exclude: true}\nhide: [toc]\n---\n"
    return f"{meta}\n# {path}\n\n{contents(ROOT / path)}"


def contents(path: Path) -> str:
    """A source as a block of code, a folder as a list."""
    if path.is_dir():
        names = sorted(each.name + "/" * each.is_dir() for each in path.iterdir())
        return "\n".join(f"- [{name}]({name})" for name in names if not name.startswith(("_", ".")))
    return f"````{path.suffix[1:]}\n{path.read_text(encoding='utf-8')}````\n"


def api(package: str) -> Iterator[str]:
    """The page of a package: each name that it exports, in the theory by what it is."""
    source = ROOT / "src" / Path(*package.split(".")) / "__init__.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    yield f"# {package}\n\n{(ast.get_docstring(tree) or '').split(chr(10))[0]}\n"
    kind = ""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.names[0].asname:
            continue
        found = (node.module or "").removeprefix(f"{package}.").split(".")[0]
        if package == "thaw.diffusion" and found != kind:
            kind = found
            yield f"## {kind.capitalize()}\n"
        # Only thaw.Run has much of what it can do from a base.
        options = "    options: {inherited_members: true}\n" if package == "thaw" else ""
        yield from (f"::: {package}.{name.asname}\n{options}" for name in node.names)
