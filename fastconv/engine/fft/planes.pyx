# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the lengths come from `tables`, and all else is counted from them.
"""Transforms of one size: correlations of planes, and spectra. Their steps are in `steps`."""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.fft.steps cimport (
    CORRELATE, INVERSE, MOST_FACTORS, TRANSFORM, Images, Job, Line, Loops, Sizes, run_blocks,
    scratch_bytes)

cdef extern from "fft/lines.h" nogil:
    const Loops*** _loops "fastconv_lines"

cdef int isa = isa_row()


def lanes_of(Py_ssize_t itemsize):
    """Return the numbers in a vector."""
    return _loops[itemsize == 8][isa].lanes


cdef int look_images(object array, bint writes, Images* images) except -1:
    cdef Py_buffer buffer
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | PyBUF_WRITABLE if writes else PyBUF_STRIDES)
    images.data = <char*>buffer.buf
    for axis in range(min(buffer.ndim, 6)):
        images.shape[axis], images.strides[axis] = buffer.shape[axis], buffer.strides[axis]
    axis = buffer.ndim
    PyBuffer_Release(&buffer)
    if axis != 6:
        raise ValueError(f"expected an array of 6 axes, got {axis}")
    return 0


cdef int look_line(object line, Line* to) except -1:
    """Take over a `tables.Line`."""
    cdef Flat flat
    cdef Py_ssize_t i
    to.length, to.factors = line.length, len(line.factors)
    if to.factors > MOST_FACTORS:
        raise ValueError(f"a line of {to.length} has too many factors")
    for i in range(to.factors):
        to.factor[i], to.first[i] = line.factors[i], line.first[i]
    look_flat(line.twiddles, False, &flat)
    to.twiddles = flat.data
    return 0


# The products of the spectra of an input and a residual: task (group, output, channel, part).
cdef struct Products:
    const Sizes* sizes
    const char* x
    const char* residual
    double* total
    Py_ssize_t channels, outputs


cdef void add_products(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Products* p = <const Products*>context
    cdef const Sizes* s = p.sizes
    cdef Py_ssize_t each = s.planes * s.groups
    cdef Py_ssize_t part = task % each * s.group_bytes, map
    task //= each
    map = task // p.channels // p.outputs * p.channels + task % p.channels
    s.loops.add_products(p.x + map * s.spectrum_bytes + part,
                         p.residual + task // p.channels * s.spectrum_bytes + part, s.columns,
                         p.total + (task * s.spectrum_bytes + part) // s.itemsize)


cdef class Planes:
    """Transforms of one size; `tables` (`tables.Tables`) are what they multiply by."""

    cdef Sizes sizes
    cdef object tables

    def __init__(self, tables):
        cdef Sizes* s = &self.sizes
        cdef Flat flat
        self.tables = tables
        s.itemsize = tables.dtype.itemsize
        s.loops = _loops[s.itemsize == 8][isa]
        s.lanes = s.loops.lanes
        s.cell = 2 * s.lanes * s.itemsize
        look_line(tables.depth, &s.depth)
        look_line(tables.fold, &s.fold)
        look_line(tables.across, &s.across)
        s.planes, s.rows, s.columns = s.depth.length, s.fold.length, s.across.length
        s.groups = (s.rows + s.lanes - 1) // s.lanes
        s.padded = s.groups * s.lanes
        s.strips = (s.columns + s.lanes - 1) // s.lanes
        s.column_bytes = s.padded * s.cell
        s.strip_bytes = s.planes * s.column_bytes
        s.work_bytes = s.strips * s.strip_bytes
        s.group_bytes = s.columns * s.cell
        s.spectrum_bytes = s.planes * s.groups * s.group_bytes
        s.scale = 1.0 / (s.planes * s.rows * s.columns)
        look_flat(tables.weights, False, &flat)
        s.weights = <const char*>flat.data
        s.twist = NULL
        if tables.twist is not None:
            look_flat(tables.twist, False, &flat)
            s.twist = <const char*>flat.data

    @property
    def spectrum_size(self):
        """How many numbers the spectrum of a plane has."""
        return self.sizes.spectrum_bytes // self.sizes.itemsize

    def workspace(self, channels, outputs):
        """Return the bytes that a correlation takes, at most."""
        cdef Py_ssize_t bytes = max(channels, outputs) * self.sizes.work_bytes
        return threads_for(1e300) * (bytes + scratch_bytes(&self.sizes, channels))

    def transform(self, maps, spectra, place, size, denormals=False):
        """Write the spectra of a block of maps (N, G, C, D, H, W).

        Parameters
        ----------
        spectra : array
            Contiguous, with `spectrum_size` numbers for each (N, G, C).
        place, size : tuple of int
            Where the block begins, and what of it is seen. The rest, and what is outside of the
            maps, is zero.
        """
        cdef Job job
        cdef Flat flat
        cdef Py_ssize_t axis
        job.sizes = &self.sizes
        look_images(maps, False, &job.x)
        look_flat(spectra, True, &flat)
        job.made = <char*>flat.data
        job.y = job.x
        for axis in range(3):
            job.before[axis], job.size[axis] = -<Py_ssize_t>place[axis], size[axis]
            job.counts[axis], job.skip[axis] = 1, 0
            job.x.shape[axis + 3] = min(job.x.shape[axis + 3], place[axis] + size[axis])
        run_blocks(&job, TRANSFORM, denormals)

    def correlate(self, x, spectra, bias, y, before, size, skip, bint conjugate, denormals=False):
        """Write into y (N, G, K, *out) the products of the blocks of x (N, G, C, *in).

        Parameters
        ----------
        spectra : array
            Of weights (G, K, C).
        bias : array, optional
            Contiguous (G, K).
        before : tuple of int
            The zeros before the input.
        size : tuple of int
            Of the output in a block.
        skip : tuple of int
            Where the output begins in a block.
        conjugate : bool
            Whether to multiply by the conjugates of the spectra: a correlation.
        """
        cdef Job job
        cdef Flat flat
        cdef Py_ssize_t axis
        job.sizes, job.conjugate = &self.sizes, conjugate
        look_images(x, False, &job.x)
        look_images(y, True, &job.y)
        look_flat(spectra, False, &flat)
        job.spectra, job.bias = <const char*>flat.data, NULL
        if bias is not None:
            look_flat(bias, False, &flat)
            job.bias = <const char*>flat.data
        for axis in range(3):
            job.before[axis], job.size[axis], job.skip[axis] = before[axis], size[axis], skip[axis]
            job.counts[axis] = (job.y.shape[axis + 3] + job.size[axis] - 1) // job.size[axis]
        run_blocks(&job, CORRELATE, denormals)

    def add_products(self, x, residual, total):
        """Add to `total` (G, K, C), in double precision, products of spectra.

        They are those of an input (G, C) with the conjugates of a residual's (G, K).
        """
        cdef Products products
        cdef Phase phase
        cdef Flat flat
        cdef Py_ssize_t tasks = total.shape[0] * total.shape[1] * total.shape[2]
        cdef int threads
        products.sizes = &self.sizes
        products.outputs, products.channels = total.shape[1], total.shape[2]
        look_flat(x, False, &flat)
        products.x = <const char*>flat.data
        look_flat(residual, False, &flat)
        products.residual = <const char*>flat.data
        look_flat(total, True, &flat)
        products.total = <double*>flat.data
        threads = threads_for(<double>flat.size)
        with nogil:
            phase = make_phase(add_products, &products,
                               tasks * self.sizes.planes * self.sizes.groups)
            parallel_phases(threads, &phase, 1)

    def inverse(self, spectra, y):
        """Write into y (N, G, K, D, H, W) the beginnings of the blocks with these spectra."""
        cdef Job job
        cdef Flat flat
        cdef Py_ssize_t axis
        job.sizes = &self.sizes
        look_images(y, True, &job.y)
        look_flat(spectra, False, &flat)
        job.spectra, job.bias = <const char*>flat.data, NULL
        job.x = job.y
        for axis in range(3):
            job.before[axis], job.size[axis] = 0, job.y.shape[axis + 3]
            job.counts[axis], job.skip[axis] = 1, 0
        run_blocks(&job, INVERSE, False)
