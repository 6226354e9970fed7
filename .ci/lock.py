"""Finish the lock files that `uv pip compile` wrote: see the `lock` target of the Makefile.

Moves the CUDA libraries that PyTorch's Linux build asks for into a lock of their own, installed only beside that build,
and admits PyTorch's CPU build of the same version (`+cpu`), which a machine's own pip configuration may offer. The
locks of the benchmarks and of the documentation keep what they need beyond those two.
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
    """Add the hash of the CPU wheel, where there is one that is not there yet."""
    first, rest = requirement.split("\n", 1)
    digest = CPU_BUILDS.get(first.split(" ")[0])
    if digest is None or digest in rest:
        return requirement
    return f"{first}\n    --hash=sha256:{digest} \\\n{rest}"


def main() -> None:
    """Split requirements.lock, and strip the locks of the benchmarks and of the documentation, in place."""
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
