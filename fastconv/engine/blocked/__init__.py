"""Few channels: samples, groups or channels in the lanes of the vectors, forward and backward.

The engine has pixels or output channels in the lanes. With few channels its tiles are low, and what
it packs is read too few times. Here maps are laid out in blocks instead: a pixel becomes a vector,
and what lies in the lanes decides who meets whom.

samples     Up to 32 channels in a group, 8 samples or more. Layout CHWn; where samples are too few,
            they share the lanes with bands of rows. Weights are read in place.

                                lane  0    1    2    3   ...  7    8    9   ...
                x[c][row][column]   | n0   n1   n2   n3       n7 | n0   n1  ...     8 samples,
                                      rows 0 to 13 of each         rows 14 to 27    two bands

groups      16 groups or more, of up to 3 channels, and short rows: small planes of a depthwise
            convolution. Layout NCHWg: a vector is one channel of each group, and so are weights.

                x[n][c][row][column]    | g0   g1   g2   g3  ...  g15 |

channels    Groups of 8 to 32 channels. Layout NCHWc: a vector has the channels of a group, or those
            of two groups by turns. Columns are parted by phase of the stride.

                x[n][vector][row][column]   | c0   c1   c2   c3  ...  c15 |          one group
                                            | c0   c0'  c1   c1' ...  c7' |          two groups

In all of them lane = (band or channel) * together + (sample or group), `together` samples or groups
sharing a vector, so that one module lays maps out, and one register tile computes

    sum[i][j] += A(i) * B(j)        B and the sums are vectors; A a number repeated, or a vector

for the output and for the weight gradient: its sums are the same tile over other steps.

    for each unit, a block of lines, on any thread          forward.pyx, weight.pyx
        lay out what it reads                               layout.pyx
        for each line, for each tile of its pixels
            for each input channel, for each tap            tiles.pyx (tile_loops.h)
        write the lanes back, with the bias                 layout.pyx

forward     the correlation: forward, and the input gradient
weight      the weight gradient
layout      what the lanes hold; gather and scatter; slabs, and tables of lines, tiles and taps
tiles       the register tile and the transpositions, for the instruction set in use
fits        how full the lanes would be: the numbers by which the table of variants chooses

CHWn is the layout of A. Krizhevsky's cuda-convnet, 2012; C. Li et al., "Optimizing memory
efficiency for deep convolutional neural networks on GPUs", 2016, weighs it against NCHW. NCHWc with
repeated numbers: E. Georganas et al., "Anatomy of high-performance deep learning convolutions on
SIMD architectures", 2018.
"""
