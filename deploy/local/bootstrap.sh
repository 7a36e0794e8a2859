#!/bin/sh
# Makes .local/venv from the lock file. Needs only Python 3.11 or newer.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "bgjobs needs Python 3.11 or newer; set PYTHON=/path/to/it." >&2
    exit 1
}
# One at a time: a second would take away what the first has made. The lock is this shell's, and
# ends with it.
mkdir -p .local
exec 9> .local/venv.lock
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || {
    echo "Waiting for another bootstrap.sh to make .local/venv."
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    [ ! -e .local/venv/.ready ] || exit 0
}
# Debian ships venv apart from python3.
"$python" -c 'import ensurepip' 2>/dev/null || {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
        echo "Python's venv module is missing: install the package python3-venv." >&2
        exit 1
    }
    echo "Installing python3-venv: the tools and tests run in a virtual environment."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv
}

rm -rf .local/venv
"$python" -m venv .local/venv
# pip brings uv, and uv, several times faster, the rest.
sed -n '/^uv==/,/[^\\]$/p' deploy/requirements.lock > .local/venv/uv.lock
.local/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement .local/venv/uv.lock
uv="$PWD/.local/venv/bin/uv pip install --quiet --python .local/venv/bin/python"
$uv --require-hashes --requirement deploy/requirements.lock
$uv --no-deps \
    --editable operator --editable job-image --editable academic --editable deploy/local
touch .local/venv/.ready
