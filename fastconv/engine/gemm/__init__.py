"""The engine: convolutions as blocked products of matrices, on register tiles.

For each group a convolution is a product C = A B summed over *steps*. No column matrix is ever
made (implicit GEMM): a packer brings what a block of the product needs into a cache.

module     operation        rows of a tile     lanes                steps
forward    forward          output channels    pixels               (c, t, r, s)
outputs    forward          pixels of a line   output channels      (c, t, r, s)
phases     input gradient   as either of these, with the residual and the rotated kernels: a dense
                            correlation for each phase of the stride
patches    input gradient   (c, t, r, s)       pixels               output channels
products   input gradient   pixels             input channels, tap  output channels
weight     weight gradient  (c, t, r, s)       output channels      pixels
                            or what its role says: see there
matmul     two matrices     rows               columns              their common axis
thin       the same         few rows, or few steps: the large matrix is read or written once, as it
                            lies, and nothing is packed; the bits are those of matmul

forward wins where there are many pixels; outputs where the rows of the maps are short, or steps
are few, and the output channels fill the lanes; patches where a kernel moves by its own size, so
that no two outputs see the same position; products where a small map meets large weights, which it
reads but once. All of forward, outputs, phases and patches have the same bits: the choice among
them may follow batch, threads and layout. That between those and products, and the role of a weight
gradient, follow the shapes alone.

The loops are those of BLIS; forward.pyx has them with a drawing:

    blocks of pixels > blocks of channels > panels of rows > panels of lanes > tile

One operand of a tile is broadcast, number by number, the other is read in vectors. Where a step's
numbers lie is a list of offsets, so these are all the same to it:

    slab      c0: | 0 x x x x x 0 | 0 x x x x x 0 |     padded rows of some channels: each tap is
              c1: | 0 x x x x x 0 | ...                 one shift of the positions of all pixels
    panel     step 0: | b b b b |  step 1: | b b b b |  the lanes of a step side by side
    in place  the array as it is                        where no window needs a zero

What they stand on:

correlation         what forward, outputs and phases share: geometry, threads, the estimate
weight_plan         the plan of the weight gradient
slab                windows, slabs and their positions; how blocks are shared among threads; the
                    loops that copy (copy_loops.h)
tile                the micro-kernels (tile_loops.h); run.h: where a finished tile goes

K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; F. Van Zee
and R. van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", 2015.
"""
