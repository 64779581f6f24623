"""Filters of images: sums over taps, for images of any type and any number of axes.

What `fastconv.ndimage` and `fastconv.signal` compute. A convolution of the other rooms has
channels, and numbers of one type; a filter has one image, of any type, that goes on beyond its
borders, and its results must be those of a plain loop to the last bit.

correlation   any taps over any axes; one axis is a special case
means         running means along one axis
images        images of any type and strides; the loops for each type in which is added
types.py      the types, numbered
taps.h        the loops: sums over taps, and conversions; slides.h: running means

An image meets a filter block by block. What a block needs is brought into a *tile*, padded and
converted to the type in which is added, where each tap is one constant offset; the tile stays in a
near cache. The vectors run along the last axis, whichever axis is filtered:

    tasks             blocks of the result, of all axes
      tile              the block's part of the image, with the cells around it
      kernels           several kernels may read one tile
        strips            1, 2 or 4 vectors of columns
          register tiles    4 rows
            taps              in the order of the plain loop; rows share what they load

What makes the bits: each sum begins with the same number, takes the taps in the same order, and
rounds each product (the room is compiled without fused multiply-adds). Symmetric filters along one
axis add the two cells of a pair first, as SciPy does. No sum meets another block or thread.

Running means depend on those before them, so a task of `means` has whole lines: 32 of them, which
lie in the lanes. Where neighbours in memory are neighbours along the filtered axis, the tile is
transposed on its way in, and the means on their way out.
"""
