#!/bin/sh
# Writes promptwire/v1/*_pb2*.py and .pyi under OUTDIR. `make protos` and `make check` call it.
set -eu

test $# -eq 1 || { echo "usage: $0 OUTDIR" >&2; exit 2; }
mkdir -p "$1/promptwire/v1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
bin=$(cd ../.venv-protos/bin && pwd)

# A message or service that was renamed must not leave its old module behind.
rm -f "$out"/promptwire/v1/*_pb2.py "$out"/promptwire/v1/*_pb2.pyi \
    "$out"/promptwire/v1/*_pb2_grpc.py "$out"/promptwire/v1/*_pb2_grpc.pyi

"$bin/python" -m grpc_tools.protoc --proto_path=. \
    --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" \
    --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
    --python_out="$out" --grpc_python_out="$out" --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
    promptwire/v1/*.proto
