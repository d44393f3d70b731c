"""Compares the files of others in `app/ui/static/vendor` with the packages of npm that they come from, or fetches them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

UI = Path(__file__).resolve().parents[1] / "app" / "ui"
VENDOR = UI / "static" / "vendor"


def main() -> int:
    """Return 0 where every file is what its package holds and its line says."""
    is_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not is_check:
        print("usage: scripts/vendor [--check]", file=sys.stderr)
        return 2
    entries = tomllib.loads((UI / "vendor.toml").read_text())["file"]
    wrong = strangers({entry["path"] for entry in entries})
    for entry in entries:
        content = packed(f"{entry['package']}@{entry['version']}", entry["member"])
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            wrong.append(f"{entry['path']}: its package does not hold what vendor.toml says")
        elif not is_check:
            (VENDOR / entry["path"]).write_bytes(content)
        elif not (VENDOR / entry["path"]).is_file() or (VENDOR / entry["path"]).read_bytes() != content:
            wrong.append(f"{entry['path']}: not what its package holds")
    print("\n".join(wrong) or f"vendor: {len(entries)} file{'s' * (len(entries) != 1)} as in the packages")
    return 1 if wrong else 0


def strangers(known: set[str]) -> list[str]:
    """Return a line for each file that no entry names."""
    return [f"{path.name}: not in vendor.toml" for path in VENDOR.iterdir() if path.name not in known]


def packed(package: str, member: str) -> bytes:
    """Return a file of a package, as npm's registry has it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--ignore-scripts", "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).iterdir()
        with tarfile.open(archive) as opened:
            found = opened.extractfile(f"package/{member}")
            return found.read() if found else b""


if __name__ == "__main__":
    sys.exit(main())
