#!/bin/bash
# install_tool.sh v1: recert into .venv beside this folder, versions from constraints.txt.
set -eu
[ "${1:-}" = v1 ] || { echo "usage: install_tool.sh v1" >&2; exit 1; }
tool=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# the first Python that is new enough
for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$python" -m venv "$tool/.venv"
        "$tool/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --constraint "$tool/constraints.txt" --editable "$tool"
        "$tool/.venv/bin/recert" --version
        exit 0
    fi
done
echo "install_tool.sh: recert needs Python 3.11 or later; set PYTHON to one" >&2
exit 1
