"""The fast kernels, in rooms over one base.

What a call of `fastconv.functional` does: the table of the plan, read from the top, names an
algorithm for the shapes, once, and one of its variants for the way in which the arrays lie in
memory, once for each. Its kernel takes the arrays as they are, and shares its tasks among the
threads.

    functional -> choice -> plan (the table) -> binding -> a room's kernel
         |                                                      |
         +--- base.kernel.Dispatch: the kernel that was chosen -+--> base.threads

plan        the table: every algorithm and variant, what it serves, when it wins, and why
rules       the conditions that its rows name
thresholds  numbers that were measured; errors: bounds of the results
binding     how the kernel of each variant is made; choice: choosing, and fastconv.exact()

base
    What all rooms stand on: instruction sets, threads, memory, views of arrays, axes and phases,
    and the class of the kernels, which keeps their plans.
gemm
    The engine: blocked products on one register tile. Forward, input and weight gradient are
    packers over it; so is the product of two matrices.
blocked
    Few channels: samples, groups or channels in the lanes of the vectors.
depthwise
    One input channel in each group.
winograd
    Fewer products for small kernels, by transforms of tiles.
fft
    Large kernels, by Fourier transforms.
ops
    Everything else that is compiled: pooling, activations, losses, sums, optimizers, batches.

Beside the rooms, `fastconv._kernels` has the same convolutions as plain loops, and as products of
columns on the matrix product of gemm: to be read first, and to compare the rooms with.

Imports go downwards: base < gemm < blocked < winograd, base < depthwise, fft, ops; gemm < _kernels.

The five loops of a blocked product, from the outside (F. Van Zee and R. van de Geijn, "BLIS: a
framework for rapidly instantiating BLAS functionality", 2015):

    JC  blocks of columns of B        tasks of the threads
    PC    blocks of the contraction   the result is added up block by block
    IC      blocks of rows of A       packed, or read in place
    JR        panels of columns       stream from the second-level cache
    IR          panels of rows        in the first-level cache
    tile          the micro-kernel    sums in registers

Words that are ours:

unit    a part of the output that one thread computes at a time, from one slab
slab    the padded rows of the input that a unit sees, parted by the phase of the stride
step    one term of a tile's sums: a channel at a tap, or a pixel
lanes   the places of a vector: what lies in the lanes is computed side by side
case    an operation of one geometry on arrays that lie in memory in one way
"""
