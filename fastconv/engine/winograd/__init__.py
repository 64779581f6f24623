"""Winograd's algorithm: fewer products for kernels of 2 x 2 to 5 x 5, and one row or column.

A tile of several outputs is computed at once, from products of transformed inputs and kernels:

    Y = A^T [(G g G^T) * (B^T d B)] A        d: input tile, g: kernel, Y: output tile, *: by element

F(4 x 4, 3 x 3), 4 x 4 outputs of kernels of 3 x 3, takes 36 products for each pair of channels in
place of 144; F(4 x 4, 5 x 5) 64 in place of 400; F(4, 7) 10 in place of 28. For each of the tile's
36 (or 64, or 10) elements, its *points*, the products of all tiles and channels are one product of
matrices, on the micro-kernel of engine/gemm.

Variants, and where each wins (thresholds.py has the borders):

squares     kernels of 2 x 2, 3 x 3 and 5 x 5, in tiles of 4 x 4 outputs: where the channels are
            enough to pay for the transforms of each tile.
lines       kernels of one row or column of 2, 3, 5 or 7, in tiles of 4 outputs: the same code, with
            one point in the other direction.
planes      kernels with a depth: each of its taps is a term, added up in the transforms.
phases      kernels that move by 2, such as 4 x 4 and 3 x 3: each residue of the taps is a term, of
            2 x 2 taps or fewer. In the input gradient, which transposed convolutions are, each
            phase of the gradient is a correlation of its own.
rows        kernels of 5 x 5, for channels that are too few for squares (LeNet-5's): tiles of 5
            outputs of a row, samples in the lanes, the kernel's rows added up as they are.

Input gradient: the forward pass of the residual, whose kernels are seen rotated by 180 degrees, by
their strides. Weight gradient: the transposed matrices; the products contract over the tiles.

    V = B^T d B      x[n][c][h][w]  -> stage[h][w][lane c] -> v[point][c / lanes][tile][lane c]
    U = G g G^T      w[k][c][r][s]                         -> u[point][c][lane k]
    M = V U          for a chunk of tiles, a panel of k, a block of c, and each point:
                                                              m[point][tile][lane k]
    Y = A^T M A      m -> stage[h][w][lane k] -> y[n][k][h][w], plus the bias

forward.pyx     the loops over chunks of tiles and panels of output channels; whether U or V is kept
weight.pyx      the weight gradient: k-slices of tiles, panels of input and output channels
terms.pyx       what kernels are cut into, and the forms of tiles
tiles.pyx       how maps are cut into tiles, staged and transformed
form.h          the loops of one form of tiles (3 x 3, 1 x 7, ...); tiles_loops.h: of all forms
points.h        the transforms on one axis: the only home of the matrices
rows.pyx        the parts of rows; rows_weight.pyx: their weight gradient; rows_loops.h: their loops
counts.py       how many tiles a map has

The results are not exact on integers, and their errors are larger: engine/errors.py bounds them.

S. Winograd, "Arithmetic complexity of computations", SIAM 1980. A. Lavin and S. Gray, "Fast
algorithms for convolutional neural networks", CVPR 2016, arXiv 1509.09308. B. Barabasz,
A. Anderson, K. Soodhalter and D. Gregg, "Error analysis and improving the accuracy of Winograd
convolution for deep neural networks", ACM TOMS 2020, arXiv 1803.10986, on the choice of the points.
"""
