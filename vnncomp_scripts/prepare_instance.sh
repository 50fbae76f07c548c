#!/bin/bash
# prepare_instance.sh v1 CATEGORY ONNX VNNLIB: nothing is analysed. Says whether the files are there.
set -u
[ "${1:-}" = v1 ] && [ $# -eq 4 ] || { echo "usage: prepare_instance.sh v1 CATEGORY ONNX VNNLIB" >&2; exit 1; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${RECERT_PYTHON:-$here/../.venv/bin/python}" "$here/instance.py" check "$3" "$4"
