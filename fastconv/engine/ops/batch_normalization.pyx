# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Batch normalisation, with a ReLU, bounded or not, and a residual where wanted, and its gradients.

A task is a channel, or some neighbours where planes are small. A channel is read for its sums, and
then again, from the second-level cache, to be normalised: from its end to its beginning, for what
was read last is near. Backward is the same with other loops.

The sums are taken in pieces of a plane, or of several small ones, by the loops of normalization.h,
and joined in doubles: pieces to chunks, chunks to the channel. All borders follow from the shape,
so that a channel has the same bits whoever computes it. Where channels are too few for the
threads, the chunks are tasks, in three phases: sums, what follows from them, and results.

Planes shorter than a vector are gathered, piece by piece, into a run in the thread's buffers.
"""

from libc.math cimport INFINITY, sqrt

from fastconv.engine.base.cache_sizes import cache_sizes

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, brief, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.ops.normalization cimport (
    ALL, ARRAYS, BELOW_BY_X, BELOW_BY_Y, BY_X, BY_Y, DRESIDUAL, DX, DY, PIECE_MAPS, RESIDUAL, X, Y,
    Affine, Apply, Line, Loops, Maps, Planes, look_at_maps, loops_of)
from fastconv.engine.ops.statistics cimport (
    CHUNK, MOST_CHUNKS, PIECE, Numbers, Sums, join_moments, join_sums, look_at_numbers, number_at,
    set_number)

# Bytes of the planes of a task, at least, where the threads have enough of them.
cdef Py_ssize_t TASK_BYTES = 65536

# Results of so many bytes are written past the caches, where they would find no room: their lines
# need not be read first. Not where they take the place of what is read.
cdef Py_ssize_t STREAM_BYTES = cache_sizes()[2] // 4

cdef enum Stage:
    MOMENTS
    APPLY
    SUMS
    GRADIENT


# What a channel's results are made by.
cdef struct Channel:
    Affine affine
    Line line


cdef struct Batch:
    const Loops* loops
    Maps maps[ARRAYS]               # no data: not there
    Py_ssize_t samples, channels, size, itemsize
    # A piece is a part of a plane, of so many numbers, or so many maps: `parts` or `together` is 1.
    Py_ssize_t parts, part, together
    Py_ssize_t pieces, chunks       # of a channel
    bint gathers
    bint streams                    # whether results are too large for the caches
    bint backward                   # the gradients, or forward; set first
    bint training
    bint known                      # whether the statistics are there
    bint sums                       # whether there are sums to be taken first
    double eps, momentum, upper
    Numbers weight, bias, running_mean, running_var, dweight, dbias
    double* statistics              # means, then inverse standard deviations; or NULL
    Apply apply
    int mask
    bint grades                     # whether the gradient of the input is wanted
    Py_ssize_t group                # channels of a task
    Channel* found                  # of each channel, and the sums of its chunks, where those are
    Sums* partial                   # tasks
    char* buffers                   # of each thread, for planes that are gathered
    Py_ssize_t buffer               # bytes of a buffer


cdef void cut(Batch* b) noexcept nogil:
    """Set the borders of pieces and chunks: by the shape alone."""
    cdef Py_ssize_t most
    b.gathers = b.size < b.loops.lanes
    b.parts = (b.size + PIECE - 1) // PIECE
    # Whole cache lines, so that no vector lies across two.
    b.part = ((b.size + b.parts - 1) // b.parts + 15) // 16 * 16
    most = PIECE if b.gathers else PIECE_MAPS
    b.together = max(min(PIECE // b.size, most), 1)
    b.pieces = (b.samples + b.together - 1) // b.together * b.parts
    b.chunks = max(1, min(min(b.samples * b.size // CHUNK, MOST_CHUNKS), b.pieces))


cdef inline void find_piece(const Batch* b, Py_ssize_t c, Py_ssize_t piece,
                            Planes* p) noexcept nogil:
    cdef Py_ssize_t n = piece // b.parts * b.together, first = piece % b.parts * b.part
    cdef const Maps* maps
    cdef int array
    p.streams = b.streams
    p.maps, p.count = min(b.together, b.samples - n), min(b.part, b.size - first)
    for array in range(ARRAYS):
        maps = &b.maps[array]
        p.step[array] = maps.sample_step
        p.at[array] = NULL
        if maps.data is not NULL:
            p.at[array] = (maps.data + n * maps.sample_step + c * maps.channel_step
                           + first * b.itemsize)


cdef inline void find_next(const Batch* b, Py_ssize_t c, Stage stage, Planes* p) noexcept nogil:
    """Have the next channel fetched while results are written: of what is read there first.

    A channel is read from memory once, and then again from the caches: memory would have nothing
    to do meanwhile.
    """
    cdef int[3] arrays
    cdef int i
    arrays[0], arrays[1], arrays[2] = X, X, X
    if stage == APPLY and b.maps[RESIDUAL].data is not NULL:
        arrays[1] = RESIDUAL
    elif stage == GRADIENT:
        arrays[1] = DY
        if b.maps[Y].data is not NULL:
            arrays[2] = Y
    for i in range(3):
        p.next[i], p.next_step[i] = p.at[arrays[i]], p.step[arrays[i]]
        if c + 1 < b.channels:
            p.next[i] += b.maps[arrays[i]].channel_step


cdef inline bint is_written(const Batch* b, int array) noexcept nogil:
    return array >= DX if b.backward else array == Y


cdef void visit(const Batch* b, Stage stage, Py_ssize_t c, Py_ssize_t piece,
                const Channel* channel, Sums* sums, int thread) noexcept nogil:
    """Run the loop of a stage over a piece of a channel."""
    cdef Planes p, home
    cdef int array
    cdef char* run
    find_piece(b, c, piece, &p)
    home = p
    find_next(b, c, stage, &p)
    if b.gathers:
        run = b.buffers + thread * ARRAYS * b.buffer
        for array in range(ARRAYS):
            if home.at[array] is not NULL:
                if not is_written(b, array) or stage == GRADIENT and array == DRESIDUAL:
                    b.loops.gather(home.at[array], home.step[array], home.maps, home.count, run)
                p.at[array] = run
                run += b.buffer
        p.maps, p.count = 1, home.maps * home.count
    if stage == MOMENTS:
        sums.count = <double>p.maps * p.count
        b.loops.moments(&p, &sums.first, &sums.second)
    elif stage == APPLY:
        b.apply(&p, &channel.affine)
    elif stage == SUMS:
        sums.count = <double>p.maps * p.count
        b.loops.sums[b.mask](&p, &channel.affine, &sums.first, &sums.second)
    elif p.at[DRESIDUAL] is not NULL:
        # What passes is there.
        p.at[DY], p.step[DY] = p.at[DRESIDUAL], p.step[DRESIDUAL]
        b.loops.gradient[ALL](&p, &channel.affine, &channel.line if b.training else NULL)
    else:
        b.loops.gradient[b.mask](&p, &channel.affine, &channel.line if b.training else NULL)
    if b.gathers:
        array = Y if stage == APPLY else DX if stage == GRADIENT else DRESIDUAL
        if stage != MOMENTS and home.at[array] is not NULL:
            b.loops.scatter(p.at[array], home.at[array], home.step[array], home.maps, home.count)


cdef inline void find_affine(const Batch* b, Py_ssize_t c, Channel* channel) noexcept nogil:
    """Fill in what a channel is normalised by, from its statistics."""
    channel.affine.mean, channel.affine.inverse = b.statistics[c], b.statistics[b.channels + c]
    channel.affine.weight = number_at(&b.weight, c, 1)
    channel.affine.bias = number_at(&b.bias, c, 0)
    channel.affine.upper = b.upper


cdef void sum_chunk(const Batch* b, Py_ssize_t c, Py_ssize_t chunk, const Channel* channel,
                    Sums* total, int thread) noexcept nogil:
    cdef Py_ssize_t piece
    cdef Sums part
    total[0] = Sums(0, 0, 0)
    for piece in range(chunk * b.pieces // b.chunks, (chunk + 1) * b.pieces // b.chunks):
        visit(b, SUMS if b.backward else MOMENTS, c, piece, channel, &part, thread)
        if b.backward:
            join_sums(total, &part)
        else:
            join_moments(total, &part)


cdef void join_chunk(const Batch* b, Sums* total, const Sums* part) noexcept nogil:
    if b.backward:
        join_sums(total, part)
    else:
        join_moments(total, part)


cdef void finish_forward(const Batch* b, Py_ssize_t c, const Sums* total,
                         Channel* channel) noexcept nogil:
    """Fill in what a channel is normalised by; move its running statistics."""
    cdef double mean, variance
    cdef double old = 1 - b.momentum
    if b.known:
        find_affine(b, c, channel)
        return
    if b.training:
        mean, variance = total.first, total.second / total.count
        if b.running_mean.data is not NULL:
            set_number(&b.running_mean, c,
                       old * number_at(&b.running_mean, c, 0) + b.momentum * mean)
            set_number(&b.running_var, c,
                       old * number_at(&b.running_var, c, 0)
                       + b.momentum * (total.second / (total.count - 1)))
    else:
        mean, variance = number_at(&b.running_mean, c, 0), number_at(&b.running_var, c, 1)
    b.statistics[c], b.statistics[b.channels + c] = mean, 1 / sqrt(variance + b.eps)
    find_affine(b, c, channel)


cdef void finish_backward(const Batch* b, Py_ssize_t c, const Sums* total,
                          Channel* channel) noexcept nogil:
    """Write the gradients of weight and bias, and fill in the line of the input's gradient."""
    cdef const Affine* a = &channel.affine
    cdef double scale
    if b.sums:
        set_number(&b.dweight, c, total.second * a.inverse)
        set_number(&b.dbias, c, total.first)
    if b.training:
        scale = -a.weight * a.inverse / total.count
        channel.line.level = scale * total.first
        channel.line.slope = scale * total.second * (a.inverse * a.inverse)


cdef void finish(const Batch* b, Py_ssize_t c, const Sums* total, Channel* channel) noexcept nogil:
    if b.backward:
        finish_backward(b, c, total, channel)
    else:
        finish_forward(b, c, total, channel)


cdef void write_pieces(const Batch* b, Py_ssize_t c, Py_ssize_t chunk,
                       const Channel* channel, int thread) noexcept nogil:
    """Write the results of a chunk, the last piece first."""
    cdef Py_ssize_t piece
    if b.backward and not b.grades:
        return
    for piece in range((chunk + 1) * b.pieces // b.chunks - 1, chunk * b.pieces // b.chunks - 1,
                       -1):
        visit(b, GRADIENT if b.backward else APPLY, c, piece, channel, NULL, thread)


cdef void channels_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Some channels, each from its sums to its results."""
    cdef const Batch* b = <const Batch*>context
    cdef Py_ssize_t c, chunk
    cdef Channel channel
    cdef Sums total, part
    for c in range(task * b.group, min((task + 1) * b.group, b.channels)):
        if b.backward:
            find_affine(b, c, &channel)
        total = Sums(0, 0, 0)
        if b.sums:
            for chunk in range(b.chunks):
                sum_chunk(b, c, chunk, &channel, &part, thread)
                join_chunk(b, &total, &part)
        finish(b, c, &total, &channel)
        for chunk in range(b.chunks - 1, -1, -1):
            write_pieces(b, c, chunk, &channel, thread)


cdef void sums_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Batch* b = <const Batch*>context
    cdef Py_ssize_t c = task // b.chunks
    cdef Channel channel
    if b.backward:
        find_affine(b, c, &channel)
    sum_chunk(b, c, task % b.chunks, &channel, b.partial + task, thread)


cdef void finish_task(void* context, Py_ssize_t c, int thread) noexcept nogil:
    cdef const Batch* b = <const Batch*>context
    cdef Py_ssize_t chunk
    cdef Sums total = Sums(0, 0, 0)
    if b.backward:
        find_affine(b, c, b.found + c)
    if b.sums:
        for chunk in range(b.chunks):
            join_chunk(b, &total, b.partial + c * b.chunks + chunk)
    finish(b, c, &total, b.found + c)


cdef void results_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Batch* b = <const Batch*>context
    cdef Py_ssize_t c = task // b.chunks
    write_pieces(b, c, task % b.chunks, b.found + c, thread)


cdef bint writes_over(const Batch* b) noexcept:
    """Tell whether the result takes the place of an array that is read."""
    cdef int array, result = DX if b.backward else Y
    for array in range(ARRAYS):
        if array != result and b.maps[array].data == b.maps[result].data:
            return b.maps[result].data is not NULL
    return False


cdef int run(Batch* b) except -1:
    """Give the channels, or the chunks of each, to the threads."""
    cdef double work = 8.0 * b.samples * b.channels * b.size
    cdef int threads = threads_for(work)
    cdef Phase phases[3]
    cdef Py_ssize_t count = 1, tasks, bytes = 0, channel = b.samples * b.size * b.itemsize
    cdef char* memory
    b.streams = channel * b.channels >= STREAM_BYTES and not writes_over(b)
    b.group = max(1, min(TASK_BYTES // channel, b.channels // (4 * threads)))
    tasks = (b.channels + b.group - 1) // b.group
    b.buffer = (PIECE + 16) * b.itemsize if b.gathers else 0
    bytes = threads * ARRAYS * b.buffer
    phases[0] = make_phase(channels_task, b, tasks)
    if threads > 1 and tasks < 4 * threads and b.chunks > 1:
        bytes += b.channels * (sizeof(Channel) + b.chunks * sizeof(Sums))
        phases[0] = make_phase(sums_task, b, b.channels * b.chunks if b.sums else 0)
        phases[1] = make_phase(finish_task, b, b.channels)
        phases[2] = make_phase(results_task, b, b.channels * b.chunks)
        count = 3
    memory = NULL
    if bytes:
        memory = <char*>take(bytes)
        b.buffers = memory
        b.found = <Channel*>(memory + threads * ARRAYS * b.buffer)
        b.partial = <Sums*>(b.found + b.channels)
    if brief(work):
        parallel_phases(threads, phases, count)
    else:
        with nogil:
            parallel_phases(threads, phases, count)
    if memory is not NULL:
        give(memory)
    return 0


cdef int begin(Batch* b, x, statistics, weight, bias) except -1:
    """Fill in what both ways have."""
    cdef int array
    cdef Numbers numbers
    for array in range(ARRAYS):
        b.maps[array].data = NULL
    look_at_maps(x, False, &b.maps[X])
    b.samples, b.channels = b.maps[X].samples, b.maps[X].channels
    b.size, b.itemsize = b.maps[X].size, b.maps[X].itemsize
    look_at_numbers(weight, False, &b.weight)
    look_at_numbers(bias, False, &b.bias)
    look_at_numbers(statistics, not (b.backward or b.known), &numbers)
    b.statistics = <double*>numbers.data
    b.loops = loops_of(isa_row(), b.itemsize)
    cut(b)
    return 0


cdef int add_maps(Batch* b, int array, maps, bint writes) except -1:
    """Fill in maps that may be None."""
    if maps is not None:
        look_at_maps(maps, writes, &b.maps[array])
    return 0


cdef inline int begin_forward(Batch* b, x, statistics, weight, bias, bint relu, double upper,
                              residual, y) except -1:
    """Fill in what a forward pass has, with statistics that are known or not."""
    b.backward, b.upper = False, upper
    begin(b, x, statistics, weight, bias)
    add_maps(b, RESIDUAL, residual, False)
    add_maps(b, Y, y, True)
    b.apply = b.loops.apply
    if relu and upper == INFINITY:
        b.apply = b.loops.apply_relu if residual is None else b.loops.apply_add_relu
    elif relu:
        b.apply = b.loops.apply_below if residual is None else b.loops.apply_add_below
    return 0


def forward(x, statistics, running_mean, running_var, weight, bias, bint training, double momentum,
            double eps, bint relu, double upper, residual, y):
    """Normalise the channels of `x` (N, C, ...) into `y`; with `residual`, `relu` must be set.

    With `relu`, results are at most `upper`, which may be infinite. Writes means and inverse
    standard deviations into `statistics` (2, C), of doubles.
    """
    cdef Batch b
    b.known = False
    begin_forward(&b, x, statistics, weight, bias, relu, upper, residual, y)
    look_at_numbers(running_mean, training, &b.running_mean)
    look_at_numbers(running_var, training, &b.running_var)
    b.training, b.sums = training, training
    b.momentum, b.eps = momentum, eps
    run(&b)


def again(x, statistics, weight, bias, double upper, residual, y):
    """Write into `y` what `forward` with `relu` gave that wrote these statistics: the same bits."""
    cdef Batch b
    b.known = True
    begin_forward(&b, x, statistics, weight, bias, True, upper, residual, y)
    b.training, b.sums = False, False
    run(&b)


def backward(dy, x, statistics, weight, bias, bint training, bint relu, double upper, y, dx,
             dweight, dbias, dresidual):
    """Write the gradients that are not None; of `y`, the output, or None, the mask is made."""
    cdef Batch b
    b.backward, b.known, b.upper = True, True, upper
    begin(&b, x, statistics, weight, bias)
    add_maps(&b, DY, dy, False)
    add_maps(&b, Y, y, False)
    add_maps(&b, DX, dx, True)
    add_maps(&b, DRESIDUAL, dresidual, True)
    look_at_numbers(dweight, True, &b.dweight)
    look_at_numbers(dbias, True, &b.dbias)
    b.training, b.grades = training, dx is not None
    b.mask = ALL
    if relu and upper == INFINITY:
        b.mask = BY_X if y is None else BY_Y
    elif relu:
        b.mask = BELOW_BY_X if y is None else BELOW_BY_Y
    b.sums = ((training and b.grades) or dweight is not None or dbias is not None
              or dresidual is not None)
    run(&b)
