"""Finish the lock files that `uv pip compile` wrote: see the `lock` target of the Makefile.

The script moves the CUDA libraries of PyTorch's Linux build into a separate lock file, which is installed only with
that build. It also allows PyTorch's CPU build of the same version (`+cpu`), which the pip configuration of a machine
may offer. The locks of the benchmarks and of the documentation keep only requirements that are in neither of these two
files.
"""

from pathlib import Path

CUDA_LIBRARIES = ("nvidia-", "cuda-", "triton==")
CPU_BUILDS = {  # sha256 of the CPU wheels, CPython 3.11 on x86-64 Linux
    "torch==2.13.0": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
}


def split_requirements(text: str) -> tuple[str, list[str]]:
    """Return the header and the requirements, each with its hashes and comments."""
    header: list[str] = []
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            blocks.append([line])
        else:
            (blocks[-1] if blocks else header).append(line)
    return "\n".join(header) + "\n", ["\n".join(block) + "\n" for block in blocks]


def admit_cpu_build(requirement: str) -> str:
    """Add the hash of the CPU wheel if the requirement has one and does not list it yet."""
    first, rest = requirement.split("\n", 1)
    digest = CPU_BUILDS.get(first.split(" ")[0])
    if digest is None or digest in rest:
        return requirement
    return f"{first}\n    --hash=sha256:{digest} \\\n{rest}"


def main() -> None:
    """Split requirements.lock, and remove its requirements from the locks of benchmarks and documentation."""
    lock = Path("requirements.lock")
    header, requirements = split_requirements(lock.read_text())
    cuda = [requirement for requirement in requirements if requirement.startswith(CUDA_LIBRARIES)]
    rest = [admit_cpu_build(requirement) for requirement in requirements if requirement not in cuda]
    lock.write_text(header + "".join(rest))
    Path("requirements-cuda.lock").write_text(header + "".join(cuda))

    present = {requirement.split("==")[0] for requirement in requirements}
    for lock in (Path("requirements-benchmarks.lock"), Path("requirements-docs.lock")):
        header, wanted = split_requirements(lock.read_text())
        lock.write_text(header + "".join(block for block in wanted if block.split("==")[0] not in present))


if __name__ == "__main__":
    main()
