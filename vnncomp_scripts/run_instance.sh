#!/bin/bash
# run_instance.sh v1 CATEGORY ONNX VNNLIB RESULTS_FILE TIMEOUT: the verdict, and after sat the counterexample,
# into RESULTS_FILE. Status 0 whatever the verdict is. The category changes nothing.
set -u
[ "${1:-}" = v1 ] && [ $# -eq 6 ] || {
    echo "usage: run_instance.sh v1 CATEGORY ONNX VNNLIB RESULTS_FILE TIMEOUT" >&2
    exit 1
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "${RECERT_PYTHON:-$here/../.venv/bin/python}" "$here/instance.py" run "$3" "$4" "$5" "$6"
