# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""Maps cut into tiles for Winograd's convolution, and their transforms.

A map of outputs is cut into pieces of 4 x 4 for kernels of 3 x 3 and 5 x 5 taps, and of 1 x 4 or
4 x 1 for kernels of one row or one column of 3, 5 or 7 taps: the *forms*. The tile of such a piece
is what it sees of the input: 6, 8 or 10 pixels for 3, 5 or 7 taps, and one for one; or, for the
gradient of the weights, its residuals. Dilated kernels see the phases of a map, which are maps by
themselves: every second pixel, say, of every second row. The tiles of all samples and phases lie in
one row, numbered in order: tile =
(((n * row_phases + row_phase) * column_phases + column_phase) * rows + row) * columns + column.

A vector holds one pixel of as many channels: a piece of the maps is transposed into a stage,

    stage[row][column][channel]             with zeros where there is padding

where a tile is a square of vectors, wherever it lies and however narrow the map is. Transformed
tiles, V = B^T d B or Z = A dY A^T (points.h), are stored by point,

    v[point][tile][channel]                 point = row * columns + column, of 6 to 64

so that there is a product of matrices for each point, which may contract either over the channels
or over the tiles. Channels are filled up with zeros to whole vectors.

Small maps can be *cut off*, for kernels of 3 x 3: where a map ends with 1, 2 or 3 outputs of its
last tiles, these need but 3, 4 or 5 points of 6 in that direction. What the other inputs would be
is free, and is chosen so that the products of the other points are zero, or never read. For the
gradient of the weights the same inputs are free: they meet residuals that are zero. The tiles of
some maps then lie in another order,

    last row | inner | last column | last of both           each: map by map, row by row

in which the tiles that want a point follow each other.
"""

from libc.string cimport memset

from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.workspace cimport give, take

cdef extern from "winograd/tiles.h" nogil:
    enum:
        WINOGRAD_FORMS "FASTCONV_WINOGRAD_FORMS"
    ctypedef struct winograd_f "fastconv_winograd_f":
        int lanes, row_taps, column_taps, row_step, column_step
        void (*stage)(const float* source, Py_ssize_t channel_step, Py_ssize_t channels,
                      Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t rows,
                      Py_ssize_t columns, Py_ssize_t ahead, float* target,
                      Py_ssize_t pitch) noexcept nogil
        void (*free_inputs)(float* stage, Py_ssize_t step, Py_ssize_t next, Py_ssize_t count,
                            Py_ssize_t outputs) noexcept nogil
        void (*input_tiles)(const float* stage, Py_ssize_t pitch, Py_ssize_t rows,
                            Py_ssize_t columns, float* v, Py_ssize_t tile_step,
                            Py_ssize_t point_step) noexcept nogil
        void (*residual_tiles)(const float* stage, Py_ssize_t pitch, Py_ssize_t rows,
                               Py_ssize_t columns, float* v, Py_ssize_t tile_step,
                               Py_ssize_t point_step) noexcept nogil
        void (*output_tiles)(const float* m, Py_ssize_t tile_step, Py_ssize_t point_step,
                             const float* bias, float* stage, Py_ssize_t rows,
                             Py_ssize_t columns, Py_ssize_t height,
                             Py_ssize_t width) noexcept nogil
        void (*unstage)(const float* stage, Py_ssize_t rows, Py_ssize_t columns,
                        float* target, Py_ssize_t channel_step, Py_ssize_t channels,
                        Py_ssize_t row_step, Py_ssize_t column_step) noexcept nogil
        void (*kernels)(const float* w, Py_ssize_t output_step, Py_ssize_t outputs,
                        Py_ssize_t w_channel_step, Py_ssize_t channels,
                        Py_ssize_t row_step, Py_ssize_t column_step, float* u,
                        Py_ssize_t channel_step, Py_ssize_t point_step) noexcept nogil
        void (*kernel_gradients)(const float* m, Py_ssize_t point_step, float* dw,
                                 Py_ssize_t channel_step, Py_ssize_t channels,
                                 Py_ssize_t row_step, Py_ssize_t column_step) noexcept nogil
    ctypedef struct winograd_d "fastconv_winograd_d":
        int lanes, row_taps, column_taps, row_step, column_step
        void (*stage)(const double* source, Py_ssize_t channel_step, Py_ssize_t channels,
                      Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t rows,
                      Py_ssize_t columns, Py_ssize_t ahead, double* target,
                      Py_ssize_t pitch) noexcept nogil
        void (*free_inputs)(double* stage, Py_ssize_t step, Py_ssize_t next, Py_ssize_t count,
                            Py_ssize_t outputs) noexcept nogil
        void (*input_tiles)(const double* stage, Py_ssize_t pitch, Py_ssize_t rows,
                            Py_ssize_t columns, double* v, Py_ssize_t tile_step,
                            Py_ssize_t point_step) noexcept nogil
        void (*residual_tiles)(const double* stage, Py_ssize_t pitch, Py_ssize_t rows,
                               Py_ssize_t columns, double* v, Py_ssize_t tile_step,
                               Py_ssize_t point_step) noexcept nogil
        void (*output_tiles)(const double* m, Py_ssize_t tile_step, Py_ssize_t point_step,
                             const double* bias, double* stage, Py_ssize_t rows,
                             Py_ssize_t columns, Py_ssize_t height,
                             Py_ssize_t width) noexcept nogil
        void (*unstage)(const double* stage, Py_ssize_t rows, Py_ssize_t columns,
                        double* target, Py_ssize_t channel_step, Py_ssize_t channels,
                        Py_ssize_t row_step, Py_ssize_t column_step) noexcept nogil
        void (*kernels)(const double* w, Py_ssize_t output_step, Py_ssize_t outputs,
                        Py_ssize_t w_channel_step, Py_ssize_t channels,
                        Py_ssize_t row_step, Py_ssize_t column_step, double* u,
                        Py_ssize_t channel_step, Py_ssize_t point_step) noexcept nogil
        void (*kernel_gradients)(const double* m, Py_ssize_t point_step, double* dw,
                                 Py_ssize_t channel_step, Py_ssize_t channels,
                                 Py_ssize_t row_step, Py_ssize_t column_step) noexcept nogil
    const winograd_f* forms_f "fastconv_winograd_forms_f"[WINOGRAD_FORMS][1]
    const winograd_d* forms_d "fastconv_winograd_forms_d"[WINOGRAD_FORMS][1]

cdef const winograd_f* loops_float[WINOGRAD_FORMS]
cdef const winograd_d* loops_double[WINOGRAD_FORMS]
for form in range(WINOGRAD_FORMS):
    loops_float[form], loops_double[form] = forms_f[form][isa_row()], forms_d[form][isa_row()]


# The parts of a map that is cut off, the last column first: where the rows of its tiles go on
# behind those of the map, they are written over.
cdef Py_ssize_t[4] BACKWARDS = [2, 3, 1, 0]


cdef inline Py_ssize_t vector_lanes(Py_ssize_t itemsize) noexcept nogil:
    """Return the numbers of a vector."""
    return loops_float[0].lanes if itemsize == 4 else loops_double[0].lanes


cdef Py_ssize_t find_form(Py_ssize_t row_taps, Py_ssize_t column_taps) noexcept nogil:
    """Return the form of tiles for such kernels, which there must be."""
    cdef Py_ssize_t form = 0
    while (loops_float[form].row_taps != row_taps
            or loops_float[form].column_taps != column_taps):
        form += 1
    return form


cdef Py_ssize_t tile_points(Py_ssize_t form) noexcept nogil:
    """Return the points of a tile."""
    return ((loops_float[form].row_step + loops_float[form].row_taps - 1)
            * (loops_float[form].column_step + loops_float[form].column_taps - 1))


cdef Py_ssize_t same_work(Py_ssize_t tiles, Py_ssize_t form) noexcept nogil:
    """Return how many tiles have the points of so many tiles of 36 points, but at least so many."""
    return max(tiles * 36 // tile_points(form), tiles)


cdef inline Axis make_axis(Py_ssize_t size, Py_ssize_t stride, Py_ssize_t itemsize, Py_ssize_t out,
                           Py_ssize_t before, Py_ssize_t dilation, Py_ssize_t outputs,
                           Py_ssize_t pixels) noexcept nogil:
    """Return an axis of `size` pixels, `stride` bytes apart, which `out` outputs see.

    A tile has so many outputs and pixels.
    """
    cdef Axis axis
    axis.size, axis.before, axis.step = size, before, stride // itemsize
    axis.dilation, axis.phases = dilation, min(dilation, out)
    axis.outputs, axis.pixels = outputs, pixels
    axis.tiles = ceil_div(ceil_div(out, dilation), outputs)
    return axis


cdef inline Phase find_phase(const Axis* axis, Py_ssize_t phase) noexcept nogil:
    """Return what the outputs number `phase`, `phase + dilation`, ... see of an axis."""
    cdef Phase found
    # Their taps meet the pixels number phase - before, and every dilation-th from there.
    cdef Py_ssize_t first = (phase - axis.before) % axis.dilation
    if first < 0:
        first += axis.dilation
    found.at, found.step = first * axis.step, axis.dilation * axis.step
    found.size = ceil_div(axis.size - first, axis.dilation)
    found.before = (axis.before + first - phase) // axis.dilation
    return found


cdef Tiles make_tiles(const Py_ssize_t* shape, const Py_ssize_t* strides, Py_ssize_t itemsize,
                      Py_ssize_t form, bint seen, Py_ssize_t out_rows, Py_ssize_t out_columns,
                      Py_ssize_t row_before, Py_ssize_t column_before,
                      Py_ssize_t row_dilation, Py_ssize_t column_dilation) noexcept nogil:
    """Return the tiles of maps (N, G, C, 1, H, W), for so many rows and columns of the output.

    A tile is what its outputs see, or those outputs.
    """
    cdef Tiles tiles
    cdef Py_ssize_t height = loops_float[form].row_step, width = loops_float[form].column_step
    tiles.form, tiles.seen = form, seen
    tiles.down = make_axis(shape[4], strides[4], itemsize, out_rows, row_before, row_dilation,
                           height, height + seen * (loops_float[form].row_taps - 1))
    tiles.across = make_axis(shape[5], strides[5], itemsize, out_columns, column_before,
                             column_dilation, width,
                             width + seen * (loops_float[form].column_taps - 1))
    tiles.rows, tiles.columns = tiles.down.tiles, tiles.across.tiles
    tiles.last_rows = tiles.last_columns = 0
    tiles.count = shape[0] * tiles.down.phases * tiles.across.phases * tiles.rows * tiles.columns
    tiles.sample_step, tiles.channel_step = strides[0] // itemsize, strides[2] // itemsize
    return tiles


cdef void cut_off(Tiles* tiles, Py_ssize_t out_rows, Py_ssize_t out_columns) noexcept nogil:
    """Let small maps of so many outputs be cut off, where the tiles are of 6 x 6 points."""
    if (loops_float[tiles.form].free_inputs != NULL and tiles.down.dilation == 1
            and tiles.across.dilation == 1 and tiles.rows * tiles.columns <= SMALL_MAP):
        tiles.last_rows = out_rows % tiles.down.outputs
        tiles.last_columns = out_columns % tiles.across.outputs


cdef Piece find_part(const Tiles* tiles, Py_ssize_t part) noexcept nogil:
    """Return a part of a map that is cut off: its last row, inner, last column or last of both."""
    cdef Piece piece
    cdef Py_ssize_t inner_rows = tiles.rows - (tiles.last_rows > 0)
    cdef Py_ssize_t inner_columns = tiles.columns - (tiles.last_columns > 0)
    piece.sample = piece.row = piece.column = 0
    piece.rows, piece.columns = inner_rows, inner_columns
    if part == 0 or part == 3:
        piece.row, piece.rows = inner_rows, tiles.rows - inner_rows
    if part >= 2:
        piece.column, piece.columns = inner_columns, tiles.columns - inner_columns
    return piece


cdef inline Py_ssize_t part_place(const Tiles* tiles, Py_ssize_t maps, Py_ssize_t map,
                                  Py_ssize_t part) noexcept nogil:
    """Return the place among the tiles of so many maps at which a part of one begins."""
    cdef Py_ssize_t place = 0, i
    cdef Piece piece
    for i in range(part):
        piece = find_part(tiles, i)
        place += maps * piece.rows * piece.columns
    piece = find_part(tiles, part)
    return place + map * piece.rows * piece.columns


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


cdef Piece find_piece(const Tiles* tiles, Py_ssize_t itemsize, Py_ssize_t first,
                      Py_ssize_t count) noexcept nogil:
    """Return the largest piece that begins with the tile `first`, of at most `count` tiles.

    It is one row of tiles or a part of it, or several whole rows, and fits on a stage.
    """
    cdef Piece piece
    cdef Py_ssize_t row = first // tiles.columns, lanes = vector_lanes(itemsize)
    cdef Py_ssize_t above = tiles.down.pixels - tiles.down.outputs
    cdef Py_ssize_t beside = tiles.across.pixels - tiles.across.outputs
    cdef Py_ssize_t pixels = STAGE_BYTES // (lanes * itemsize)
    piece.column = first - row * tiles.columns
    piece.sample = row // tiles.rows
    piece.row = row - piece.sample * tiles.rows
    row = piece.sample // tiles.across.phases
    piece.column_phase = piece.sample - row * tiles.across.phases
    piece.sample = row // tiles.down.phases
    piece.row_phase = row - piece.sample * tiles.down.phases
    piece.columns = min(tiles.columns - piece.column, count,
                        (pixels // tiles.down.pixels - beside) // tiles.across.outputs)
    piece.rows = 1
    if piece.columns == tiles.columns:
        piece.rows = min(tiles.rows - piece.row, count // tiles.columns,
                         (pixels // (tiles.across.outputs * piece.columns + beside) - above)
                         // tiles.down.outputs)
    return piece


cdef inline Py_ssize_t piece_place(const Tiles* tiles, const Piece* piece) noexcept nogil:
    """Return where the tiles of a piece begin in the maps, up to the zeros before them."""
    cdef Phase down = find_phase(&tiles.down, piece.row_phase)
    cdef Phase across = find_phase(&tiles.across, piece.column_phase)
    return (piece.sample * tiles.sample_step + down.at
            + tiles.down.outputs * piece.row * down.step
            + across.at + tiles.across.outputs * piece.column * across.step)


cdef Py_ssize_t point_step(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """Return a distance between the numbers of two points, which are at least `numbers`.

    An odd number of cache lines: the lines that a tile writes at once then fall into different
    sets of the first-level cache.
    """
    cdef Py_ssize_t line = 64 // itemsize
    return (ceil_div(numbers, line) | 1) * line


cdef inline void stage_piece(const floating* x, const Tiles* tiles, const Piece* piece,
                             Py_ssize_t pitch, Py_ssize_t channels, bint clear,
                             Py_ssize_t ahead, floating* stage) noexcept nogil:
    """Write the pixels of a piece's tiles, of at most a vector of channels."""
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating))
    cdef Phase down = find_phase(&tiles.down, piece.row_phase)
    cdef Phase across = find_phase(&tiles.across, piece.column_phase)
    cdef Py_ssize_t row = tiles.down.outputs * piece.row - down.before
    cdef Py_ssize_t column = tiles.across.outputs * piece.column - across.before
    cdef Py_ssize_t rows = tiles.down.outputs * (piece.rows - 1) + tiles.down.pixels
    cdef Py_ssize_t top = max(-row, 0), left = max(-column, 0)
    cdef Py_ssize_t bottom = min(down.size - row, rows)
    cdef Py_ssize_t right = min(across.size - column, pitch)
    if clear and (top > 0 or left > 0 or bottom < rows or right < pitch):
        memset(stage, 0, rows * pitch * lanes * sizeof(floating))
    if top >= bottom or left >= right:
        return
    x += (piece.sample * tiles.sample_step + down.at + (row + top) * down.step
          + across.at + (column + left) * across.step)
    stage += (top * pitch + left) * lanes
    if floating is float:
        loops_float[tiles.form].stage(x, tiles.channel_step, channels, down.step, across.step,
                                      bottom - top, right - left, ahead, stage, pitch)
    else:
        loops_double[tiles.form].stage(x, tiles.channel_step, channels, down.step, across.step,
                                       bottom - top, right - left, ahead, stage, pitch)


cdef inline void choose_inputs(const Tiles* tiles, Py_ssize_t pitch,
                               floating* stage) noexcept nogil:
    """Choose the free inputs of a map that is cut off."""
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating))
    cdef Py_ssize_t above = tiles.down.outputs * (tiles.rows - 1)
    cdef Py_ssize_t rows = above + tiles.down.pixels
    cdef floating* row = stage + above * pitch * lanes
    cdef floating* column = stage + tiles.across.outputs * (tiles.columns - 1) * lanes
    if 0 < tiles.last_rows < 3:
        if floating is float:
            loops_float[tiles.form].free_inputs(row, pitch, 1, pitch, tiles.last_rows)
        else:
            loops_double[tiles.form].free_inputs(row, pitch, 1, pitch, tiles.last_rows)
    if 0 < tiles.last_columns < 3:
        if floating is float:
            loops_float[tiles.form].free_inputs(column, 1, pitch, rows, tiles.last_columns)
        else:
            loops_double[tiles.form].free_inputs(column, 1, pitch, rows, tiles.last_columns)


cdef inline void transform_piece(const floating* stage, const Tiles* tiles, const Piece* piece,
                                 Py_ssize_t pitch, floating* v, Py_ssize_t tile_step,
                                 Py_ssize_t point_step) noexcept nogil:
    """Transform the tiles of a piece, whose pixels are on the stage."""
    if floating is float:
        if tiles.seen:
            loops_float[tiles.form].input_tiles(
                stage, pitch, piece.rows, piece.columns, v, tile_step, point_step)
        else:
            loops_float[tiles.form].residual_tiles(
                stage, pitch, piece.rows, piece.columns, v, tile_step, point_step)
    elif tiles.seen:
        loops_double[tiles.form].input_tiles(
            stage, pitch, piece.rows, piece.columns, v, tile_step, point_step)
    else:
        loops_double[tiles.form].residual_tiles(
            stage, pitch, piece.rows, piece.columns, v, tile_step, point_step)


cdef void transform_tiles(const floating* x, const Tiles* tiles, TileRange held,
                          Py_ssize_t first, Py_ssize_t count, Py_ssize_t channels,
                          floating* stage, floating* v, Py_ssize_t panel, Py_ssize_t steps,
                          Py_ssize_t point_step) noexcept nogil:
    """Transform `count` tiles from `first` on, of some channels; `x` is the first of them.

    Writes them to where they belong in v[point][panel of channels][tile][channel], whose first tile
    is that of `held`. A panel has so many vectors of channels, the last one what is left, and room
    for so many tiles, the `steps`. `stage` has room for STAGE_BYTES.
    """
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating)), vectors = ceil_div(channels, lanes)
    cdef Py_ssize_t end = first + count, size = tiles.rows * tiles.columns
    cdef Py_ssize_t maps = (held.end - held.first) // size
    cdef Py_ssize_t pitch, vector, before, width, ahead, i
    cdef Piece piece, part, next = find_piece(tiles, sizeof(floating), first, count)
    cdef floating* to
    while first < end:
        piece = next
        pitch = tiles.across.outputs * (piece.columns - 1) + tiles.across.pixels
        if first + piece.rows * piece.columns < end:
            next = find_piece(tiles, sizeof(floating), first + piece.rows * piece.columns,
                              end - first - piece.rows * piece.columns)
        for vector in range(vectors):
            before = vector // panel * panel
            width = min(panel, vectors - before) * lanes
            to = v + (before * steps + vector - before) * lanes
            ahead = lanes * tiles.channel_step
            if vector == vectors - 1:
                ahead = (piece_place(tiles, &next) - piece_place(tiles, &piece)
                         - vector * lanes * tiles.channel_step)
            stage_piece(x + vector * lanes * tiles.channel_step, tiles, &piece, pitch,
                        min(channels - vector * lanes, lanes), vector == 0, ahead, stage)
            if tiles.last_rows == 0 and tiles.last_columns == 0:
                transform_piece(<const floating*>stage, tiles, &piece, pitch,
                                to + (first - held.first) * width, width, point_step)
                continue
            if tiles.seen:
                choose_inputs(tiles, pitch, stage)
            for i in range(4):
                part = find_part(tiles, i)
                transform_piece(
                    <const floating*>stage + (tiles.down.outputs * part.row * pitch
                                              + tiles.across.outputs * part.column) * lanes,
                    tiles, &part, pitch,
                    to + part_place(tiles, maps, (first - held.first) // size, i) * width,
                    width, point_step)
        first += piece.rows * piece.columns


cdef inline void finish_piece(const floating* m, Py_ssize_t form, Py_ssize_t tile_step,
                              Py_ssize_t point_step, const floating* bias, floating* stage,
                              Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t height,
                              Py_ssize_t width) noexcept nogil:
    """Transform the products of rows and columns of tiles back, onto the stage."""
    if floating is float:
        loops_float[form].output_tiles(m, tile_step, point_step, bias, stage, rows, columns,
                                       height, width)
    else:
        loops_double[form].output_tiles(m, tile_step, point_step, bias, stage, rows, columns,
                                        height, width)


cdef void write_outputs(const floating* m, const Tiles* tiles, Py_ssize_t first,
                        Py_ssize_t count, Py_ssize_t tile_step, Py_ssize_t point_step,
                        Py_ssize_t channels, const floating* bias, floating* stage,
                        floating* y) noexcept nogil:
    """Transform the products of `count` tiles back, and write them with `bias` into the output.

    `tiles` are those of the output; `y` is the first of at most a vector of
    channels, for which `m` and `bias` have a whole vector.
    """
    cdef Py_ssize_t lanes = vector_lanes(sizeof(floating)), form = tiles.form
    cdef Py_ssize_t begin = first, end = first + count, size = tiles.rows * tiles.columns
    cdef Py_ssize_t row, column, height, width, place, i, j
    cdef Piece piece, part
    cdef Phase down, across
    cdef floating* to
    while first < end:
        piece = find_piece(tiles, sizeof(floating), first, end - first)
        down = find_phase(&tiles.down, piece.row_phase)
        across = find_phase(&tiles.across, piece.column_phase)
        row, column = tiles.down.outputs * piece.row, tiles.across.outputs * piece.column
        height = min(tiles.down.outputs * piece.rows, down.size - row)
        width = min(tiles.across.outputs * piece.columns, across.size - column)
        first += piece.rows * piece.columns
        # The last tiles may lie beyond a phase that has fewer outputs than the first.
        if height <= 0 or width <= 0:
            continue
        place = first - piece.rows * piece.columns - begin
        if tiles.last_rows == 0 and tiles.last_columns == 0:
            finish_piece(m + place * tile_step, form, tile_step, point_step, bias, stage,
                         piece.rows, piece.columns, height, width)
        else:
            for j in range(4):
                i = BACKWARDS[j]
                part = find_part(tiles, i)
                finish_piece(m + part_place(tiles, count // size, place // size, i) * tile_step,
                             form, tile_step, point_step, bias,
                             stage + (tiles.down.outputs * part.row * width
                                      + tiles.across.outputs * part.column) * lanes,
                             part.rows, part.columns, height - tiles.down.outputs * part.row,
                             width)
        to = y + (piece.sample * tiles.sample_step
                  + down.at + row * down.step + across.at + column * across.step)
        if floating is float:
            loops_float[form].unstage(stage, height, width, to, tiles.channel_step, channels,
                                      down.step, across.step)
        else:
            loops_double[form].unstage(stage, height, width, to, tiles.channel_step, channels,
                                       down.step, across.step)


cdef void transform_kernels(const floating* w, const Py_ssize_t* strides, Py_ssize_t form,
                            Py_ssize_t outputs, Py_ssize_t channels, floating* u,
                            Py_ssize_t channel_step, Py_ssize_t point_step) noexcept nogil:
    """Write G g G^T of some kernels to u[point * point_step + channel * channel_step + output].

    `w` is the first of at most a vector of output channels and of the input channels, in weights
    (G, K, C, 1, R, S) of these strides, in elements.
    """
    if floating is float:
        loops_float[form].kernels(w, strides[1], outputs, strides[2], channels, strides[4],
                                  strides[5], u, channel_step, point_step)
    else:
        loops_double[form].kernels(w, strides[1], outputs, strides[2], channels, strides[4],
                                   strides[5], u, channel_step, point_step)


cdef void write_kernel_gradients(const floating* m, Py_ssize_t point_step, Py_ssize_t form,
                                 Py_ssize_t channels, floating* dw,
                                 const Py_ssize_t* strides) noexcept nogil:
    """Write G^T dU G for at most a vector of input channels, from m[point * point_step + channel].

    `dw` is the first of the channels, in gradients (G, K, C, 1, R, S) of these
    strides, in elements.
    """
    if floating is float:
        loops_float[form].kernel_gradients(m, point_step, dw, strides[2], channels, strides[4],
                                           strides[5])
    else:
        loops_double[form].kernel_gradients(m, point_step, dw, strides[2], channels, strides[4],
                                            strides[5])


def transformed(const floating[:, :, :, :, :, :] maps, tuple kernel, bint seen, tuple out,
                tuple before, floating[:, :, :] v):
    """Write the transformed tiles of the first group of `maps` into `v` (point, tile, channel).

    It has a whole number of vectors of channels.
    """
    cdef Tiles tiles = make_tiles(&maps.shape[0], &maps.strides[0], sizeof(floating),
                                  find_form(kernel[0], kernel[1]), seen, out[0], out[1],
                                  before[0], before[1], 1, 1)
    cdef floating* stage = <floating*>take(STAGE_BYTES)
    cdef TileRange held
    held.first, held.end = 0, tiles.count
    transform_tiles(&maps[0, 0, 0, 0, 0, 0], &tiles, held, 0, tiles.count, maps.shape[2], stage,
                    &v[0, 0, 0], v.shape[2] // vector_lanes(sizeof(floating)), tiles.count,
                    v.strides[0] // sizeof(floating))
    give(stage)
