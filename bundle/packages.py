"""What this machine's Python has of what thaw needs: installs what the bundle can, names the rest.

``python packages.py PROJECT WHEELS SITE``; wheels go into SITE, which is made anew, and only where
a package is missing or of a version that does not do. Exit code 1: something thaw needs is missing.
"""

import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from email import message_from_string
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
    from pip._vendor.packaging.utils import canonicalize_name

# What these lack is said, and their phase goes without.
OPTIONAL = {"pytest": "smoke runs no tests", "diffusers": "speed leaves out sampling"}


def requirements(project: Path, extra: str = "") -> list[Requirement]:
    """Those of pyproject.toml: what thaw needs, or those of an extra."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    lines = table["optional-dependencies"][extra] if extra else table["dependencies"]
    return [Requirement(line) for line in lines]


def of_wheel(wheel: Path) -> Iterator[Requirement]:
    """What a wheel itself requires here."""
    with ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        contents = message_from_string(archive.read(name).decode())
    for line in contents.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def fault(requirement: Requirement) -> str:
    """What is wrong with what is installed, in words; empty where it does."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    # A version such as 2.11.0a0+cu130 of a vendor's own does as well.
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} is not {requirement.specifier}"


def install(wheels: list[Path], site: Path) -> None:
    """Into a folder of their own, without an index; what fails is said, and met again below."""
    options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site)]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options]
    finished = subprocess.run([*pip, *map(str, wheels)], capture_output=True, text=True)
    if finished.returncode:
        print("pip failed:", (finished.stderr.strip().splitlines() or ["?"])[-1])


def main(project: Path, folder: Path, site: Path) -> int:
    """Say what is installed from the bundle and what is missing all the same."""
    needed = requirements(project)
    extras = [*requirements(project, "test"), *requirements(project, "joblib")]
    wheels = {canonicalize_name(path.name.split("-")[0]): path for path in folder.glob("*.whl")}
    asked = [*needed, *extras, *(each for path in wheels.values() for each in of_wheel(path))]
    faults = {
        name: [
            found
            for each in asked
            if canonicalize_name(each.name) == name
            if (found := fault(each))
        ]
        for name in wheels
    }
    chosen = [wheels[name] for name, found in faults.items() if found]
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    print(f"Python {platform.python_version()}, {sys.executable}")
    if chosen:
        install(chosen, site)
        sys.path.insert(0, str(site))
        print("from the bundle:", " ".join("-".join(each.name.split("-")[:2]) for each in chosen))
    for name, loss in OPTIONAL.items():
        if any(each.name == name and fault(each) for each in extras):
            print(f"{name} is missing or too old: {loss}")
    missing = [found for each in needed if (found := fault(each))]
    for line in missing:
        print(f"NOT AS NEEDED: {line}; going on, what needs it will fail")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
