"""The engine: a blocked product on one register tile.

tile        the micro-kernel, rows x vectors of sums in registers (tile_loops.h)
slab        padded rows of the input, packed panels, and what all packers share (copy_loops.h)
forward     pixels in the lanes; outputs: output channels in the lanes
products    the input gradient of small maps with large weights: products first, sums later
weight      the weight gradient; weight_plan: its plan
matmul      the product of two matrices
"""
