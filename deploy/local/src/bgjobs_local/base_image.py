"""The image that the others start from: a minimal Debian with Python."""

import platform
import re
import tarfile
from pathlib import Path

from bgjobs_local import image_store
from bgjobs_local.errors import LocalError

# What debootstrap's minbase has, and Python. /usr is merged from the start, because merging it
# afterwards would bring all of perl.
OPTIONS = (
    "--mode=root",
    "--variant=apt",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=usr-is-merged,python3,python3-venv",
    "--dpkgopt=force-unsafe-io",
    *(
        f"--dpkgopt=path-exclude=/usr/share/{unused}/*"
        for unused in ("doc", "info", "locale", "man")
    ),
    '--aptopt=Acquire::Languages "none"',
)


def codename() -> str:
    """The Debian release of this machine, which the images get too."""
    try:
        return platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, KeyError):
        raise LocalError(
            "The images are made from the Debian of this machine, and it is none. To use a"
            " cluster that you already have, set CLUSTER=current."
        ) from None


def lay(context: Path, log: Path) -> str:
    """Put base.tar into a build context, and return which Python it has."""
    sources = context / "sources.list"
    sources.write_text(_debian_sources(log))
    settings = context / "apt.conf"
    settings.write_text(_apt_settings())
    archive = context / "base.tar"
    image_store.debootstrap(
        *(*OPTIONS, f"--aptopt={settings}", codename(), str(archive), str(sources)), log=log
    )
    with tarfile.open(archive) as tar:
        return tar.getmember("./usr/bin/python3").linkname.removeprefix("python")


def _debian_sources(log: Path) -> str:
    """Where this machine gets Debian from, as one-line entries, whatever form its own have."""
    entry = ("--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)")
    query = ("apt-get", "indextargets", *entry, "Origin: Debian", "Identifier: Packages")
    sources = image_store.output(*query)
    if not sources:
        image_store.run("apt-get", "-qq", "update", log=log)
        sources = image_store.output(*query)
    if not sources:
        raise LocalError(
            "apt knows no Debian mirror on this machine, which the images are made from. Add one"
            " to /etc/apt/sources.list, run `apt-get update` and try again."
        )
    return sources


def _apt_settings() -> str:
    """How this machine reaches its mirrors: proxies, certificates, what it takes for valid."""
    settings = image_store.output("apt-config", "dump", "--format", '%F "%v";%n', "Acquire")
    wanted = re.compile(r"Acquire::(https?|Check-|Retries)")
    return "".join(line for line in settings.splitlines(keepends=True) if wanted.match(line))
