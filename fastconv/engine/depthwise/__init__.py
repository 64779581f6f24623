"""One input channel in each group: loops along the rows of a plane.

A channel meets one kernel, or a few: a product of matrices would have as few rows, and the
engine's tiles would stay empty. Here the vectors run along a row of one plane, and what is shared
are the rows that neighbouring taps read. The room serves every such geometry, with any number of
kernels for a channel. Moving the planes takes as long as the arithmetic, so that each is read and
written once. Planes of few columns are left to the room "blocked", which has groups or samples in
the lanes.

correlation   forward and input gradient
weight        weight gradient
plan          what follows from the shapes: blocks, input tile, where the taps lie
pack.pxd      how the input tile is filled
kernels.pxd   the loops of each instruction set (rows.h)

The arrays have six axes, with the channels split by group:

    input   x   (N, G, C, D, H, W)        C is 1 in the forward pass and the weight gradient
    weight  w   (G, K, C, T, R, S)
    output  y   (N, G, K, OD, OH, OW)     K is 1 in the input gradient

In the input gradient x is the residual, y the gradient, and with stride s it has s phases on each
axis, each a correlation of stride 1 with a part of the taps, a *sub-kernel*: the zeros between the
residuals are never multiplied (base/axis.pxd).

A *block* is what is computed at a time: some rows and columns of the output of one sample, group
and depth. What it needs of the input is packed into an *input tile* of at most 20 KB, which stays
in the first-level cache. There the padding is zeros, and the columns of a stride are parted by
phase, so that each tap is one constant offset. For a kernel of 3 x 3 with stride 2 and padding 1:

    input                      input tile of the block y[0:2, 0:3]
                                 odd columns    even columns
                                 0   0   0   0 | 0   0   0   0      s = 0: odd columns, offset 0
    a0  a1  a2  a3  a4  a5       0   a1  a3  a5| a0  a2  a4  .      s = 1: even columns, offset 0
    b0  b1  b2  b3  b4  b5       0   b1  b3  b5| b0  b2  b4  .      s = 2: odd columns, offset 1
    c0  c1  c2  c3  c4  c5       0   c1  c3  c5| c0  c2  c4  .
    d0  d1  d2  d3  d4  d5       0   d1  d3  d5| d0  d2  d4  .      each row r of taps a row further

The loops, from the outside:

    tasks          spans of blocks: samples, then groups, depth, rows, columns
    blocks           pack the input tile; of an input gradient, its phases
    strips             1, 2 or 4 vectors of columns
    register tiles       4 rows (1 at the end of few): 4 x 4 vectors of sums
    runs of taps           taps of a kernel column that share the vectors that they load: with
                           stride 1 output rows are as far apart as taps; with dilation d every d-th
    rows, vectors            load one, multiply it by each tap of the run that reads it

What remains of rows and columns is a tile moved back, which computes some outputs a second time.

The weight gradient has the same blocks. A vector of sums for each tap, up to 25 in registers, runs
over the pixels of all blocks and samples of a task; a task has a block of groups and a k-slice of
samples. Then the lanes are added in order, and the slices.

A. Howard et al., "MobileNets", arXiv 1704.04861: where such layers come from.
P. Zhang, E. Lo and B. Lu, "High performance depthwise and pointwise convolutions on mobile
devices", arXiv 2001.02504: tiles of several rows that stay in registers.
"""
