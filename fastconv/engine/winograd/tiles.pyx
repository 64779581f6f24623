# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""Maps cut into tiles for Winograd's convolution, and their transforms.

A map of outputs is cut into *output tiles*: 4 x 4 for kernels of 2 x 2, 3 x 3 and 5 x 5 taps, and
1 x 4 or 4 x 1 for kernels of one row or one column of 2, 3, 5 or 7 taps: the *forms*. The *input
tile* is what an output tile sees of the input: 5, 6, 8 or 10 pixels for 2, 3, 5 or 7 taps, and one
for one. Dilated kernels see the phases of a map, which are maps by themselves: every second pixel,
say, of every second row. The tiles of all samples, planes and phases lie in one row, numbered in
order: tile = ((((n * planes + plane) * row_phases + row_phase) * column_phases + column_phase) *
rows + row) * columns + column.

Kernels with a depth, and those that move by 2, are cut into terms (terms.pyx), each of which sees
some planes, and one phase of them, as maps by themselves.

A vector holds one pixel of as many channels: a *piece* of the maps, neighbouring tiles that make up
a rectangle, is transposed into a stage,

    stage[row][column][channel]             with zeros where there is padding

where a tile is a square of vectors, wherever it lies and however narrow the map is. Transformed
tiles, V = B^T d B of the input or Z = A dY A^T of the residual (points.h), are stored by point,

    v[point][tile][channel]                 point = row * columns + column, of 6 to 64

so that there is a product of matrices for each point, which may contract either over the channels
or over the tiles. Channels are filled up with zeros to whole vectors.

Small maps can be *cut off*, for kernels of 3 x 3: where a map ends with 1, 2 or 3 outputs of its
last tiles, these need but 3, 4 or 5 points of 6 in that direction. What the other inputs would be
is free, and is chosen so that the products of the other points are zero, or never read. For the
gradient of the weights the same inputs are free: they meet residuals that are zero. The tiles of
some maps then lie in another order, in four parts,

    last row | inner | last column | last of both           each: map by map, row by row

in which the tiles that want a point follow each other.
"""

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport Axis, ceil_div, window_axis
from fastconv.engine.base.costs cimport tiles_cost
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.blocked.tiles cimport vector_lanes
from fastconv.engine.winograd.terms cimport (
    count_terms, find_form, forms, make_window, residues, tile_outputs, tile_points)

cdef extern from "winograd/tiles.h" nogil:
    # Macros that choose by the type of the argument after `isa`; tiles_loops.h and form.h say what
    # the others are.
    void stage_pixels "fastconv_stage"(int isa, ...) noexcept
    void unstage_pixels "fastconv_unstage"(int isa, ...) noexcept
    void kernels_of_taps "fastconv_kernels_of_taps"(int isa, ...) noexcept
    void free_inputs "fastconv_free_inputs"(int isa, ...) noexcept
    void input_tiles "fastconv_input_tiles"(Py_ssize_t form, int isa, ...) noexcept
    void residual_tiles "fastconv_residual_tiles"(Py_ssize_t form, int isa, ...) noexcept
    void output_tiles "fastconv_output_tiles"(Py_ssize_t form, int isa, ...) noexcept
    void kernels "fastconv_kernels"(Py_ssize_t form, int isa, ...) noexcept
    void kernel_gradients "fastconv_kernel_gradients"(Py_ssize_t form, int isa, ...) noexcept

cdef int isa = isa_row()

# The parts of a map that is cut off, the last column first: where the rows of its tiles go on past
# the ends of those of the map, they are written over.
cdef Py_ssize_t[4] BACKWARDS = [2, 3, 1, 0]


# Neighbouring tiles of one phase of a map.
cdef struct Rectangle:
    Py_ssize_t row, column, rows, columns


# The pixels of a piece on one axis; those from `begin` on, before `end`, lie inside of the map.
cdef struct Span:
    Py_ssize_t at, step                         # the first, if it were in the map; in elements
    Py_ssize_t pixels, begin, end


cdef struct Piece:
    Rectangle tiles
    Py_ssize_t at                               # the first pixel of the spans, in elements
    Span down, across


cdef class TileKernel(Kernel):
    """A kernel of the variant `name`.

    `stride`, `before` and `dilation` are of three axes; the stride is 1 or 2 on the last two, and 1
    where there is dilation. If it `rotates`, the kernels are seen rotated by 180 degrees.
    """

    def __init__(self, tuple stride, tuple before, tuple dilation, str name, bint rotates=False):
        self.window = make_window(stride, before, dilation)
        self.variant = name
        self.rotates = rotates

    cdef double work(self, const Layout* layout) noexcept:
        # The products of a tile, and its transforms, for each of its outputs.
        cdef const Py_ssize_t* w = layout.w.shape
        cdef const Py_ssize_t* y = layout.y.shape
        return (4.0 * y[0] * w[0] * w[1] * w[2] * y[3] * y[4] * y[5]
                * count_terms(w, &self.window))


cdef Py_ssize_t same_work(Py_ssize_t tiles, Py_ssize_t form) noexcept nogil:
    """Return how many tiles have the points of so many tiles of 36 points, but at least so many."""
    return max(tiles * 36 // tile_points(form), tiles)


cdef TiledAxis tile_axis(const Axes* maps, const Axes* outs, int number, const Window* window,
                         Py_ssize_t itemsize, Py_ssize_t taps, bint seen) noexcept nogil:
    """Return the axis of rows, 0, or columns, 1: of kernels of so many taps."""
    cdef TiledAxis tiled
    cdef Py_ssize_t out = outs.shape[4 + number], dilation = window.dilation[number]
    tiled.axis = window_axis(maps.shape[4 + number], out, taps if seen else 1, 1,
                             window.before[number] if seen else 0, dilation)
    tiled.axis.step, tiled.axis.phases = dilation, min(dilation, out)
    tiled.axis.count = ceil_div(out, dilation)
    tiled.hop = maps.strides[4 + number] // itemsize
    tiled.outputs = tile_outputs(taps)
    tiled.pixels = tiled.outputs + tiled.axis.taps - 1
    tiled.tiles = ceil_div(tiled.axis.count, tiled.outputs)
    return tiled


cdef Tiles make_tiles(const Axes* maps, const Axes* outputs, const Window* window,
                      Py_ssize_t itemsize, Py_ssize_t form, bint seen) noexcept nogil:
    """Return the tiles of maps (N, G, C, 1, H, W) for these outputs, of which only H and W count.

    They are input tiles, which the window shows to the outputs, or output tiles.
    """
    cdef Tiles tiles
    tiles.form, tiles.seen = form, seen
    tiles.down = tile_axis(maps, outputs, 0, window, itemsize, forms[form].row_taps, seen)
    tiles.across = tile_axis(maps, outputs, 1, window, itemsize, forms[form].column_taps, seen)
    tiles.rows, tiles.columns = tiles.down.tiles, tiles.across.tiles
    tiles.last_rows = tiles.last_columns = 0
    tiles.planes = outputs.shape[3]
    tiles.count = (maps.shape[0] * tiles.planes * tiles.down.axis.phases
                   * tiles.across.axis.phases * tiles.rows * tiles.columns)
    tiles.at = tiles.first_plane = 0
    tiles.plane_stride = window.plane_stride if seen else 1
    tiles.plane_size = maps.shape[3]
    tiles.plane_step = maps.strides[3] // itemsize
    tiles.sample_step = maps.strides[0] // itemsize
    tiles.channel_step = maps.strides[2] // itemsize
    tiles.lanes = vector_lanes(itemsize)
    tiles.room = STAGE_BYTES // (tiles.lanes * itemsize)
    return tiles


cdef void make_phases(const Axes* maps, const Axes* outputs, const Py_ssize_t* weights,
                      const Window* window, Py_ssize_t itemsize, Py_ssize_t form,
                      Tiles* tiles) noexcept nogil:
    """Write the input tiles of each phase of the maps that terms of the weights see."""
    cdef Py_ssize_t across = residues(weights, window, 1), stride, origin, at, i
    cdef Axes seen
    cdef Window dense
    cdef int axis
    for i in range(residues(weights, window, 0) * across):
        seen, dense, at = maps[0], window[0], 0
        for axis in range(2):
            stride = window.stride[axis]
            # The first tap of the residue meets the pixels origin, origin + stride, ..., from where
            # the zeros before them end.
            dense.before[axis] -= i % across if axis else i // across
            origin = (-dense.before[axis]) % stride
            if origin < 0:
                origin += stride
            dense.before[axis] = (dense.before[axis] + origin) // stride
            at += origin * (maps.strides[4 + axis] // itemsize)
            seen.shape[4 + axis] = max(ceil_div(maps.shape[4 + axis] - origin, stride), 0)
            seen.strides[4 + axis] = maps.strides[4 + axis] * stride
        tiles[i] = make_tiles(&seen, outputs, &dense, itemsize, form, True)
        tiles[i].at = at
        cut_off(&tiles[i], outputs)


cdef Tiles seen_by(const Tiles* phases, const Term* term, const Window* window) noexcept nogil:
    """Return the input tiles of a term."""
    cdef Tiles tiles = phases[term.phase]
    tiles.first_plane = term.tap * window.plane_dilation - window.plane_before
    return tiles


cdef void cut_off(Tiles* tiles, const Axes* outputs) noexcept nogil:
    """Let small maps of these outputs be cut off, where the tiles are of 6 x 6 points."""
    if (tile_points(tiles.form) == 36 and tiles.down.axis.dilation == 1
            and tiles.across.axis.dilation == 1 and tiles.rows * tiles.columns <= SMALL_MAP):
        tiles.last_rows = outputs.shape[4] % tiles.down.outputs
        tiles.last_columns = outputs.shape[5] % tiles.across.outputs


cdef bint is_cut(const Tiles* tiles) noexcept nogil:
    """Tell whether maps are cut off."""
    return tiles.last_rows > 0 or tiles.last_columns > 0


cdef Rectangle find_part(const Tiles* tiles, Py_ssize_t part) noexcept nogil:
    """Return a part of a map that is cut off: its last row, inner, last column or last of both."""
    cdef Rectangle found
    cdef Py_ssize_t inner_rows = tiles.rows - (tiles.last_rows > 0)
    cdef Py_ssize_t inner_columns = tiles.columns - (tiles.last_columns > 0)
    found.row = found.column = 0
    found.rows, found.columns = inner_rows, inner_columns
    if part == 0 or part == 3:
        found.row, found.rows = inner_rows, tiles.rows - inner_rows
    if part >= 2:
        found.column, found.columns = inner_columns, tiles.columns - inner_columns
    return found


cdef inline Py_ssize_t part_place(const Tiles* tiles, Py_ssize_t maps, Py_ssize_t map,
                                  Py_ssize_t part) noexcept nogil:
    """Return the place among the tiles of so many maps at which a part of one begins."""
    cdef Py_ssize_t place = 0, i
    cdef Rectangle found
    for i in range(part + 1):
        found = find_part(tiles, i)
        place += (maps if i < part else map) * found.rows * found.columns
    return place


cdef inline bint unwanted(Py_ssize_t point, Py_ssize_t outputs) noexcept nogil:
    """Tell whether a tile of which so many outputs are left needs no product of the point."""
    return outputs > 0 and (point == 5 or point == 3 and outputs <= 2
                            or point == 4 and outputs == 1)


cdef TileRange wanted_tiles(const Tiles* tiles, Py_ssize_t maps, Py_ssize_t point) noexcept nogil:
    """Return which tiles of so many maps need products of the point."""
    cdef bint no_row = unwanted(point // 6, tiles.last_rows)
    cdef bint no_column = unwanted(point % 6, tiles.last_columns)
    cdef TileRange wanted
    wanted.first = part_place(tiles, maps, 0, 1) if no_row else 0
    wanted.end = part_place(tiles, maps, maps, 3)
    if no_column:
        wanted.end = part_place(tiles, maps, 0, 2)
    elif no_row:
        wanted.end = part_place(tiles, maps, 0, 3)
    return wanted


cdef double products_cost(const Tiles* tiles, Py_ssize_t count, Py_ssize_t most,
                          Py_ssize_t vectors, Py_ssize_t steps) noexcept nogil:
    """Return what the products of `count` tiles cost, with at most so many in a register tile."""
    cdef Py_ssize_t point
    cdef double cost = 0
    cdef TileRange wanted
    wanted.first, wanted.end = 0, count
    for point in range(tile_points(tiles.form)):
        if is_cut(tiles):
            wanted = wanted_tiles(tiles, count // (tiles.rows * tiles.columns), point)
        cost += tiles_cost(wanted.end - wanted.first, most, vectors, tiles.lanes, steps)
    return cost


cdef Span find_span(const TiledAxis* tiled, Py_ssize_t phase, Py_ssize_t tile,
                    Py_ssize_t tiles) noexcept nogil:
    """Return the pixels of some tiles from `tile` on, of the outputs `phase`, `phase + dilation`...
    """
    cdef const Axis* axis = &tiled.axis
    cdef Span span
    # Their taps meet the pixels number phase - before, and every dilation-th from there.
    cdef Py_ssize_t origin = (phase - axis.before) % axis.dilation, first
    if origin < 0:
        origin += axis.dilation
    first = tiled.outputs * tile - (axis.before + origin - phase) // axis.dilation
    span.step = axis.dilation * tiled.hop
    span.at = origin * tiled.hop + first * span.step
    span.pixels = tiled.outputs * (tiles - 1) + tiled.pixels
    span.begin = max(-first, 0)
    span.end = min(ceil_div(axis.size - origin, axis.dilation) - first, span.pixels)
    return span


cdef Piece find_piece(const Tiles* tiles, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Return the largest piece that begins with the tile `first`, of at most `count` tiles.

    It is one row of tiles or a part of it, or several whole rows, and fits on a stage.
    """
    cdef Piece piece
    cdef Rectangle* found = &piece.tiles
    cdef Py_ssize_t row = first // tiles.columns, sample, plane, row_phase, column_phase
    cdef Py_ssize_t above = tiles.down.pixels - tiles.down.outputs
    cdef Py_ssize_t beside = tiles.across.pixels - tiles.across.outputs
    found.column = first - row * tiles.columns
    sample = row // tiles.rows
    found.row = row - sample * tiles.rows
    row = sample // tiles.across.axis.phases
    column_phase = sample - row * tiles.across.axis.phases
    sample = row // tiles.down.axis.phases
    row_phase = row - sample * tiles.down.axis.phases
    found.columns = min(tiles.columns - found.column, count,
                        (tiles.room // tiles.down.pixels - beside) // tiles.across.outputs)
    found.rows = 1
    if found.columns == tiles.columns:
        found.rows = min(tiles.rows - found.row, count // tiles.columns,
                         (tiles.room // (tiles.across.outputs * found.columns + beside) - above)
                         // tiles.down.outputs)
    piece.down = find_span(&tiles.down, row_phase, found.row, found.rows)
    piece.across = find_span(&tiles.across, column_phase, found.column, found.columns)
    row = sample // tiles.planes
    plane = (sample - row * tiles.planes) * tiles.plane_stride + tiles.first_plane
    if not 0 <= plane < tiles.plane_size:
        # Zeros before or after the first or last.
        piece.down.begin = piece.down.end = plane = 0
    piece.at = (tiles.at + row * tiles.sample_step + plane * tiles.plane_step + piece.down.at
                + piece.across.at)
    return piece


cdef Py_ssize_t point_step(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """Return a distance between the numbers of two points, which are at least `numbers`.

    An odd number of cache lines: the lines that a tile writes at once then fall into different
    sets of the first-level cache.
    """
    cdef Py_ssize_t line = 64 // itemsize
    return (ceil_div(numbers, line) | 1) * line


cdef inline void stage_piece(const floating* x, const Tiles* tiles, const Piece* piece,
                             Py_ssize_t channels, bint clear, Py_ssize_t ahead,
                             floating* stage) noexcept nogil:
    """Write the pixels of a piece, of at most a vector of channels."""
    cdef const Span* down = &piece.down
    cdef const Span* across = &piece.across
    if clear and (down.begin > 0 or across.begin > 0
                  or down.end < down.pixels or across.end < across.pixels):
        memset(stage, 0, down.pixels * across.pixels * tiles.lanes * sizeof(floating))
    if down.begin < down.end and across.begin < across.end:
        stage_pixels(isa, x + piece.at + down.begin * down.step
                     + across.begin * across.step, tiles.channel_step, channels, down.step,
                     across.step, down.end - down.begin, across.end - across.begin, ahead,
                     stage + (down.begin * across.pixels + across.begin) * tiles.lanes,
                     across.pixels)


cdef inline void choose_inputs(const Tiles* tiles, const Piece* piece,
                               floating* stage) noexcept nogil:
    """Choose the free inputs of a map that is cut off."""
    cdef Py_ssize_t pitch = piece.across.pixels
    cdef Py_ssize_t row = tiles.down.outputs * (tiles.rows - 1) * pitch
    cdef Py_ssize_t column = tiles.across.outputs * (tiles.columns - 1)
    if 0 < tiles.last_rows < 3:
        free_inputs(isa, stage + row * tiles.lanes, pitch, <Py_ssize_t>1, pitch,
                    tiles.last_rows)
    if 0 < tiles.last_columns < 3:
        free_inputs(isa, stage + column * tiles.lanes, <Py_ssize_t>1, pitch,
                    piece.down.pixels, tiles.last_columns)


cdef inline void transform_staged(const floating* stage, const Tiles* tiles,
                                  const Rectangle* part, Py_ssize_t pitch, floating* v,
                                  Py_ssize_t tile_step, Py_ssize_t point_step) noexcept nogil:
    """Transform a rectangle of the tiles that are on the stage."""
    stage += (tiles.down.outputs * part.row * pitch
              + tiles.across.outputs * part.column) * tiles.lanes
    if tiles.seen:
        input_tiles(tiles.form, isa, stage, pitch, part.rows, part.columns, v, tile_step,
                    point_step)
    else:
        residual_tiles(tiles.form, isa, stage, pitch, part.rows, part.columns, v, tile_step,
                       point_step)


cdef inline void transform_piece(const floating* stage, const Tiles* tiles, const Piece* piece,
                                 Py_ssize_t place, Py_ssize_t count, floating* v,
                                 Py_ssize_t tile_step, Py_ssize_t point_step) noexcept nogil:
    """Transform the tiles of a piece, which is on the stage, to their places among `count` tiles.

    Its first has the number `place`.
    """
    cdef Py_ssize_t size = tiles.rows * tiles.columns, i
    cdef Rectangle part = piece.tiles
    if not is_cut(tiles):
        part.row = part.column = 0
        transform_staged(stage, tiles, &part, piece.across.pixels, v + place * tile_step, tile_step,
                         point_step)
        return
    for i in range(4):
        part = find_part(tiles, i)
        transform_staged(stage, tiles, &part, piece.across.pixels,
                         v + part_place(tiles, count // size, place // size, i) * tile_step,
                         tile_step, point_step)


cdef void transform_tiles(const floating* x, const Tiles* tiles, TileRange held,
                          Py_ssize_t first, Py_ssize_t count, Py_ssize_t channels,
                          floating* stage, floating* v, Py_ssize_t panel, Py_ssize_t steps,
                          Py_ssize_t point_step) noexcept nogil:
    """Transform `count` tiles from `first` on, of some channels; `x` is the first of them.

    Writes them to where they belong in v[point][panel of channels][tile][channel], whose first tile
    is that of `held`. A panel has so many vectors of channels, the last one what is left, and room
    for so many tiles, the `steps`. `stage` has room for STAGE_BYTES.
    """
    cdef Py_ssize_t lanes = tiles.lanes, vectors = ceil_div(channels, lanes), end = first + count
    cdef Py_ssize_t vector, before, width, ahead, size
    cdef Piece piece, next = find_piece(tiles, first, count)
    while first < end:
        piece = next
        size = piece.tiles.rows * piece.tiles.columns
        if first + size < end:
            next = find_piece(tiles, first + size, end - first - size)
        for vector in range(vectors):
            before = vector // panel * panel
            width = min(panel, vectors - before) * lanes
            # What is staged next: the next vector of channels, or the first of the next piece.
            ahead = lanes * tiles.channel_step
            if vector == vectors - 1:
                ahead = next.at - piece.at - vector * lanes * tiles.channel_step
            stage_piece(x + vector * lanes * tiles.channel_step, tiles, &piece,
                        min(channels - vector * lanes, lanes), vector == 0, ahead, stage)
            if tiles.seen and is_cut(tiles):
                choose_inputs(tiles, &piece, stage)
            transform_piece(<const floating*>stage, tiles, &piece, first - held.first,
                            held.end - held.first,
                            v + (before * steps + vector - before) * lanes, width, point_step)
        first += size


cdef inline void finish_piece(const floating* m, const Tiles* tiles, const Piece* piece,
                              Py_ssize_t place, Py_ssize_t count, Py_ssize_t tile_step,
                              Py_ssize_t point_step, const floating* bias,
                              floating* stage) noexcept nogil:
    """Transform the products of a piece back, onto the stage; its first tile is number `place`."""
    cdef Py_ssize_t size = tiles.rows * tiles.columns, i, j
    cdef Py_ssize_t height = piece.down.end, width = piece.across.end, row
    cdef Rectangle part
    if not is_cut(tiles):
        output_tiles(tiles.form, isa, m + place * tile_step, tile_step, point_step, bias, stage,
                     piece.tiles.rows, piece.tiles.columns, height, width)
        return
    for j in range(4):
        i = BACKWARDS[j]
        part = find_part(tiles, i)
        row = tiles.down.outputs * part.row
        output_tiles(tiles.form, isa,
                     m + part_place(tiles, count // size, place // size, i) * tile_step, tile_step,
                     point_step, bias,
                     stage + (row * width + tiles.across.outputs * part.column) * tiles.lanes,
                     part.rows, part.columns, height - row, width)


cdef void write_outputs(const floating* m, const Tiles* tiles, Py_ssize_t first,
                        Py_ssize_t count, Py_ssize_t tile_step, Py_ssize_t point_step,
                        Py_ssize_t channels, const floating* bias, const Ending* ending,
                        floating* stage, floating* y) noexcept nogil:
    """Transform the products of `count` tiles back, and write them with `bias` into the output.

    `tiles` are those of the output; `y` is the first of at most a vector of channels, for which
    `m` and `bias` have a whole vector. What ends them may be NULL.
    """
    cdef Py_ssize_t place = 0
    cdef Piece piece
    while place < count:
        piece = find_piece(tiles, first + place, count - place)
        # The last tiles may lie beyond a phase that has fewer outputs than the first.
        if piece.down.end > 0 and piece.across.end > 0:
            finish_piece(m, tiles, &piece, place, count, tile_step, point_step, bias, stage)
            unstage_pixels(isa, <const floating*>stage, piece.down.end,
                           piece.across.end, y + piece.at, tiles.channel_step, channels,
                           piece.down.step, piece.across.step, ending)
        place += piece.tiles.rows * piece.tiles.columns


cdef void transform_kernels(const floating* w, const Py_ssize_t* strides, Py_ssize_t form,
                            const Term* term, Py_ssize_t outputs, Py_ssize_t channels,
                            floating* u, Py_ssize_t channel_step,
                            Py_ssize_t point_step) noexcept nogil:
    """Write G g G^T of some kernels to u[point * point_step + channel * channel_step + output].

    `w` is the first of at most a vector of output channels and of the input channels, in weights
    (G, K, C, T, R, S) of these strides, in elements, of which the term is.
    """
    kernels(form, isa, w + term.at, strides[1], outputs, strides[2], channels, term.row_step,
            term.column_step, term.rows, term.columns, u, channel_step, point_step)


cdef void write_kernel_gradients(const floating* m, Py_ssize_t point_step, Py_ssize_t form,
                                 const Term* term, Py_ssize_t channels, floating* dw,
                                 const Py_ssize_t* strides) noexcept nogil:
    """Write G^T dU G for at most a vector of input channels, from m[point * point_step + channel].

    `dw` is the first of the channels, in gradients (G, K, C, T, R, S) of these strides, in
    elements, of which the term is.
    """
    kernel_gradients(form, isa, m, point_step, dw + term.at, strides[2], channels, term.row_step,
                     term.column_step, term.rows, term.columns)


cdef void merge_terms(const floating* taps, const Axes* weights, Py_ssize_t channels,
                      floating* dw, const Py_ssize_t* strides) noexcept nogil:
    """Write all taps of at most a vector of input channels, from taps[t][r][s][channel].

    `dw` is as in `write_kernel_gradients`.
    """
    cdef Py_ssize_t rows = weights.shape[4], columns = weights.shape[5], t, r
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating))
    if strides[5] == 1 and strides[4] == columns and strides[3] == rows * columns:
        kernels_of_taps(isa, taps, weights.shape[3] * rows * columns, channels, dw, strides[2])
        return
    for t in range(weights.shape[3]):
        for r in range(rows):
            merge_row(taps + (t * rows + r) * columns * lanes, columns, channels,
                      dw + t * strides[3] + r * strides[4], strides)


cdef inline void merge_row(const floating* taps, Py_ssize_t columns, Py_ssize_t channels,
                           floating* dw, const Py_ssize_t* strides) noexcept nogil:
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating)), q, s
    for s in range(columns):
        for q in range(channels):
            dw[q * strides[2] + s * strides[5]] = taps[s * lanes + q]


def transformed(const floating[:, :, :, :, :, :] maps, tuple kernel, bint seen, tuple out,
                tuple before, floating[:, :, :] v):
    """Write the transformed tiles of the first group of `maps` into `v` (point, tile, channel).

    It has a whole number of vectors of channels.
    """
    cdef Window window = make_window((1, 1, 1), (0, *before), (1, 1, 1))
    cdef Axes axes, outputs
    cdef Py_ssize_t i
    for i in range(6):
        axes.shape[i], axes.strides[i] = maps.shape[i], maps.strides[i]
    # Of these only the last two count.
    outputs.shape = (0, 0, 0, 1, *out)
    cdef Py_ssize_t[6] weights = [0, 0, 0, 1, kernel[0], kernel[1]]
    cdef Tiles tiles = make_tiles(&axes, &outputs, &window, sizeof(floating),
                                  find_form(weights, &window), seen)
    cdef floating* stage = <floating*>take(STAGE_BYTES)
    cdef TileRange held
    held.first, held.end = 0, tiles.count
    transform_tiles(&maps[0, 0, 0, 0, 0, 0], &tiles, held, 0, tiles.count, maps.shape[2], stage,
                    &v[0, 0, 0], v.shape[2] // tiles.lanes, tiles.count,
                    v.strides[0] // sizeof(floating))
    give(stage)
