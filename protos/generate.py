"""Generate the Python stubs and the lint image from the .proto files, the same bytes every time.

Usage: python protos/generate.py [--image FILE | --check]. Without an option the stubs are written beside their sources.
The rules of buf/validate come out of the installed protovalidate package, so no copy of them is kept here.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.rpc import status_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).resolve().parent
WELL_KNOWN = (any_pb2, descriptor_pb2, duration_pb2, field_mask_pb2, status_pb2, timestamp_pb2)


def write_validate_descriptor(target: Path) -> None:
    """Write buf/validate/validate.proto and what it imports as a FileDescriptorSet."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in WELL_KNOWN:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    target.write_bytes(files.SerializeToString(deterministic=True))


def sources() -> list[str]:
    """Return our .proto files, relative to the protos folder."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("tokhub/**/*.proto"))


def run_protoc(descriptors: Path, files: Sequence[str], outputs: Sequence[str]) -> None:
    """Run protoc on the files with the descriptors at hand; raise SystemExit when it fails."""
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"--descriptor_set_in={descriptors}", f"-I{PROTOS}", f"-I{well_known}", *outputs, *files]
    status = protoc.main(arguments)
    if status != 0:
        raise SystemExit(status)


def generate_stubs(descriptors: Path, target: Path) -> None:
    """Write messages, services and their types below target, each where its source is below protos."""
    run_protoc(
        descriptors,
        ["buf/validate/validate.proto"],
        [f"--python_out={target}", f"--mypy_out=quiet:{target}"],
    )
    run_protoc(
        descriptors,
        sources(),
        [
            f"--python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out=quiet,only_async:{target}",
        ],
    )


def stubs(folder: Path) -> dict[str, bytes]:
    """Return every generated file below a folder by its name there."""
    found = (path for path in folder.rglob("*_pb2*.py*") if path.suffix in {".py", ".pyi"})
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def check_stubs(descriptors: Path, scratch: Path) -> None:
    """Raise SystemExit naming the stubs that are not what the .proto files say."""
    scratch.mkdir()
    generate_stubs(descriptors, scratch)
    fresh, present = stubs(scratch), stubs(PROTOS)
    stale = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
    if stale:
        raise SystemExit(f"These stubs do not fit their .proto files, run `make protos`: {', '.join(stale)}")


def write_image(descriptors: Path, target: Path) -> None:
    """Write the image that buf lints: our files with their comments and imports."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run_protoc(descriptors, sources(), ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"])


def main(arguments: Sequence[str]) -> None:
    """Generate what the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate the gRPC stubs.")
    parser.add_argument("--image", type=Path, help="write the lint image to this file instead of the stubs")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a stub is stale")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "validate.binpb"
        write_validate_descriptor(descriptors)
        if options.image:
            write_image(descriptors, options.image)
        elif options.check:
            check_stubs(descriptors, Path(folder) / "stubs")
        else:
            generate_stubs(descriptors, PROTOS)


if __name__ == "__main__":
    main(sys.argv[1:])
