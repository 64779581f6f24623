"""scikit-image's filters with SciPy's functions replaced: the same results, by fastconv."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

# Filters, and their arguments beside the image. Each calls functions of scipy.ndimage.
FILTERS = {
    "sobel": (),
    "sobel_h": (),
    "prewitt": (),
    "prewitt_v": (),
    "scharr": (),
    "scharr_h": (),
    "farid": (),
    "farid_v": (),
    "roberts": (),
    "laplace": (),
    "gaussian": (2,),
    "unsharp_mask": (),
    "difference_of_gaussians": (1, 3),
    "gabor": (0.3,),
    "frangi": (),
    "threshold_local": (11,),
}
# Those whose kernels are products of lines, which round otherwise: within so much.
ROUNDED = {"gabor": 1e-15}

# Names that were imported before the patch stay SciPy's: it comes first here.
PROGRAM = """
import json, sys
import numpy as np
patched = sys.argv[1] == "yes"
import fastconv.adapters.scipy as adapter
if patched:
    adapter.patch()
import skimage.filters
rng = np.random.default_rng(0)
images = {
    "float64": rng.random((120, 150)),
    "float32": rng.random((120, 150)).astype("f4"),
    "uint8": (rng.random((120, 150)) * 255).astype("u1"),
    "bool": rng.random((50, 60)) > 0.5,
    "float16": rng.random((50, 60)).astype("f2"),
}
results = {}
for name, arguments in json.loads(sys.argv[2]).items():
    before = adapter.stats().served if patched else 0
    for kind, image in images.items():
        try:
            found = getattr(skimage.filters, name)(image, *arguments)
            results[f"{name} {kind}"] = np.asarray(found, np.float64).ravel().tolist()
        except Exception as error:
            results[f"{name} {kind}"] = repr(error)
    results[f"{name} served"] = adapter.stats().served - before if patched else 0
if patched:
    results["reasons"] = [(row.operation, row.reason, row.calls) for row in adapter.stats().rows]
    print(adapter.stats(), file=sys.stderr)
print(json.dumps(results))
"""


def results(patched):
    root = str(Path(__file__).resolve().parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, patched, json.dumps(FILTERS)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    return json.loads(done.stdout)


def test_filters_give_the_same_and_are_served():
    expected, actual = results("no"), results("yes")
    counts = actual.pop("reasons")
    for name, arguments in FILTERS.items():
        assert actual[f"{name} served"] > 0, (name, arguments)
        for kind in ("float64", "float32", "uint8", "bool", "float16"):
            right, found = expected[f"{name} {kind}"], actual[f"{name} {kind}"]
            if name in ROUNDED and not isinstance(right, str):
                assert found == pytest.approx(right, rel=0, abs=ROUNDED[name])
            else:
                assert found == right
    served = sum(calls for _, reason, calls in counts if not reason)
    assert served >= 0.95 * sum(calls for *_, calls in counts), counts
