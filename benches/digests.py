"""The bits of every algorithm over the tests' cases, to compare two builds.

    python benches/digests.py > old.json            # in the old tree
    python benches/digests.py --compare old.json    # in the new one: exit code 1 if any differ

A change of the structure must leave them as they are, on every instruction set that the CPU has
(FASTCONV_ISA) and for any number of threads.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastconv
from fastconv import functional as F
from tests._cases import CONVS, DTYPES, able, normal


def digest(*arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def convolutions():
    """Yield a name and a digest for each case, dtype, algorithm and direction."""
    for case in CONVS:
        for dtype in DTYPES:
            geometry = case.geometry
            # A batch with samples enough for all the lanes, and the case's own.
            for batch in sorted({case.n, 17}) if case.n else (case.n,):
                x = normal((batch, *case.input_shape[1:]), dtype, 1)
                weight = normal(case.weight_shape, dtype, 2)
                bias = normal((case.k,), dtype, 3)
                residual = normal((batch, *geometry.output_shape[1:]), dtype, 4)
                options = (case.stride, case.padding, case.dilation, case.groups)
                for name in ("auto", *able(geometry)):
                    yield (
                        f"{case} {batch} {np.dtype(dtype).name} {name}",
                        digest(
                            F.conv2d(x, weight, bias, *options, algorithm=name),
                            F.conv2d_input(x.shape, weight, residual, *options, algorithm=name),
                            F.conv2d_weight(x, weight.shape, residual, *options, algorithm=name),
                            F.conv2d_bias(residual),
                        ),
                    )


def others():
    """Yield the same for what is compiled beside the convolutions."""
    for dtype in DTYPES:
        name = np.dtype(dtype).name
        maps = normal((3, 4, 13, 14), dtype)
        for window in ((2, 2), (3, 2), (5, 1, 2)):
            pooled, indices = F.max_pool2d(maps, *window[:2], *window[2:], return_indices=True)
            yield f"max {window} {name}", digest(pooled, indices)
            mean = F.avg_pool2d(maps, *window[:2], *window[2:])
            spread = F.avg_pool2d_backward(mean, maps.shape, *window[:2], *window[2:])
            yield f"mean {window} {name}", digest(mean, spread)
        for rows, inputs, outputs in ((64, 400, 120), (1, 84, 10), (700, 33, 65)):
            x, weight = normal((rows, inputs), dtype), normal((outputs, inputs), dtype, 1)
            residual = normal((rows, outputs), dtype, 2)
            gradients = F.linear_backward(residual, x, weight)
            yield f"linear {rows} {name}", digest(F.linear(x, weight), *gradients)
        scores = normal((50, 10), dtype)
        classes = np.arange(50) % 10
        yield (
            f"losses {name}",
            digest(
                F.cross_entropy(scores, classes),
                F.cross_entropy_backward(scores, classes),
                F.tanh(maps),
                F.sigmoid(maps),
                F.softmax(maps, 1),
            ),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", type=Path, metavar="FILE", help="digests of another build")
    arguments = parser.parse_args()
    found = {"isa": fastconv.isa(), **dict(convolutions()), **dict(others())}
    if arguments.compare is None:
        print(json.dumps(found, indent=0))
        return 0
    old = json.loads(arguments.compare.read_text())
    differ = [
        name for name in sorted(old.keys() | found.keys()) if old.get(name) != found.get(name)
    ]
    print(f"{len(found)} digests, {len(differ)} differ", *differ[:50], sep="\n")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
