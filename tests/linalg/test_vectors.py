"""Vector registers have the width of the processor that Numba compiles for; an unknown processor works too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

pytestmark = pytest.mark.skipif(
    not binding.get_process_triple().startswith("x86_64"), reason="features of x86 processors"
)

WIDTH = """
from lyapunov_pkg.linalg import vectors
print(vectors.VECTOR_BYTES)
"""

COMPUTATION = """
import torch
from lyapunov_pkg.linalg import orthonormalize, vectors
matrices = torch.randn(9, 11, 6, generator=torch.Generator().manual_seed(0))
q, log_r = orthonormalize(matrices, to_rounding=False)
expected = torch.linalg.qr(matrices.double())
assert (log_r - expected.R.diagonal(dim1=-2, dim2=-1).abs().log()).abs().max() < 1e-5
assert (q.mT @ q - torch.eye(6)).abs().max() < 1e-5
print(vectors.VECTOR_BYTES)
"""


def run(program: str, folder: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CPU")}
    environment |= {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=kept | environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("features", "expected"), [("+avx2,+fma", "32"), ("+avx2,+fma,+avx512f", "64"), ("+sse4.2,-avx2", "16")]
)
def test_the_features_given_to_numba_set_the_width(tmp_path, features, expected):
    assert run(WIDTH, tmp_path, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features) == expected


def test_an_unknown_processor_gives_the_same_results(tmp_path):
    assert run(COMPUTATION, tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == "16"
