"""One input channel in each group: a unit's rows, or a block of small planes, at a time.

correlation   forward, input gradient and weight gradient
units.pxd     what is computed from the shapes before: units, slab, taps; slab.pxd: filling it
kernels.pxd   the loops of each instruction set (rows.h along the rows, planes.h for small planes)
"""
