"""Makes `.venv` from uv.lock, with nothing but a python3: `make` runs it when uv.lock or pyproject.toml has changed.

uv, at the pinned version, comes from PATH, else from pip, else straight from the package index (Debian's python3 has
neither pip nor ensurepip). Standard library only, and readable by any Python 3, so that an old one gets a clear word.
"""

import hashlib
import html
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile

PROJECT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(PROJECT, ".venv")
PYTHONS = ((3, 11), (3, 14))  # from, below: requires-python of pyproject.toml
FALLBACK_PYTHON = "3.13"

UV_VERSION = "0.13.9"
UV_WHEELS = {  # (system, machine): (wheel, sha256)
    ("Linux", "x86_64"): (
        "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    ("Linux", "aarch64"): (
        "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
    ("Darwin", "x86_64"): (
        "uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
    ),
    ("Darwin", "arm64"): (
        "uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
    ),
}


class InstallError(Exception):
    """Says what could not be installed and what to do."""


def say(line):
    """Print one progress line."""
    print("install: " + line, flush=True)


def find_uv():
    """Return the path of uv at the pinned version, fetching it into .uv when it is nowhere."""
    kept = os.path.join(PROJECT, ".uv", UV_VERSION, "uv")
    for candidate in (kept, shutil.which("uv")):
        if candidate and os.path.exists(candidate) and is_pinned(candidate):
            return candidate
    key = (platform.system(), platform.machine().replace("amd64", "x86_64"))
    if key not in UV_WHEELS:
        raise InstallError("no wheel of uv is pinned for {} {}; install uv {} yourself".format(*key, UV_VERSION))
    wheel, sha256 = UV_WHEELS[key]
    say("fetching uv " + UV_VERSION)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, wheel)
        if not fetched_by_pip(folder, path):
            fetch_from_index(wheel, path)
        unpack(path, sha256, kept)
    return kept


def is_pinned(uv):
    """Tell whether the program `uv` has the pinned version."""
    shown = subprocess.run([uv, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return shown.decode().split()[1:2] == [UV_VERSION]


def fetched_by_pip(folder, path):
    """Let pip, where there is one, download the wheel: it knows the machine's index, proxies and certificates."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "uv==" + UV_VERSION]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0 and os.path.exists(path)


def fetch_from_index(wheel, path):
    """Download `wheel` from the package index (PEP 503) that pip or uv would use."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    index = next((os.environ[name] for name in names if os.environ.get(name)), "https://pypi.org/simple")
    page = index.rstrip("/") + "/uv/"
    try:
        links = re.findall(r'href="([^"]+)"', read(page).decode())
        link = next((html.unescape(link) for link in links if "/" + wheel in link), None)
        if link is None:
            raise InstallError(f"{page} has no {wheel}")
        with open(path, "wb") as file:
            file.write(read(urllib.parse.urljoin(page, link)))
    except (OSError, ValueError) as error:
        raise InstallError(
            f"uv {UV_VERSION} cannot be fetched from {page}: {error}. "
            f"Check the network, name your index in PIP_INDEX_URL, or install uv {UV_VERSION} by hand."
        ) from error


def read(url):
    """Return the content at `url`."""
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context(cafile=certificates)
    with urllib.request.urlopen(url, timeout=60, context=context) as answer:
        return answer.read()


def unpack(wheel, sha256, target):
    """Check the wheel and put its program at `target`."""
    with open(wheel, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    if found != sha256:
        raise InstallError(f"{os.path.basename(wheel)} has sha256 {found}, expected {sha256}")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
        with archive.open(name) as source, open(target + ".new", "wb") as file:
            shutil.copyfileobj(source, file)
    os.chmod(target + ".new", 0o755)
    os.replace(target + ".new", target)


def choose_python():
    """Return what `.venv` is made of: this Python, or one that uv finds or fetches."""
    if PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return sys.executable
    say(f"python3 is {platform.python_version()}, the project needs 3.11 to 3.13")
    say(f"uv looks for Python {FALLBACK_PYTHON} on this machine and fetches it if there is none")
    return FALLBACK_PYTHON


def main():
    """Make .venv; return the exit status."""
    try:
        uv = find_uv()
        say("installing what uv.lock says into .venv (the first time takes a minute)")
        environment = dict(os.environ, UV_PROJECT_ENVIRONMENT=VENV)
        environment.pop("VIRTUAL_ENV", None)
        if ssl.get_default_verify_paths().cafile:
            environment.setdefault("UV_SYSTEM_CERTS", "1")  # uv's own list lacks a company's authority
        # Compiled once here, and not by each of a dozen processes at every start where Python may write no files.
        command = [uv, "sync", "--quiet", "--frozen", "--compile-bytecode", "--python", choose_python()]
        if subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode:
            say("failed: uv sync, see above; run make again when that is mended")
            return 1
    except InstallError as error:
        say(f"failed: {error}")
        return 1
    with open(os.path.join(VENV, ".installed"), "w"):
        say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
