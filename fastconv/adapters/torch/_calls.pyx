# cython: boundscheck=False, wraparound=False, initializedcheck=False
# No bounds checks: what is indexed here are structs, at axes that were counted.
"""What torch's dispatcher calls in place of its own functions, and how tensors are seen here.

A call is looked up by all that could matter for it: shapes, strides, dtype and arguments, as one
row of numbers. What is found is a `Route`: why torch computes it, or what computes it here. Nothing
of torch is linked: tensors come as Python objects, and are read by torch's DLPack functions, which
is as fast as C can be, or by their methods where torch is older than these.
"""

from time import perf_counter

from cpython.buffer cimport PyBUF_FORMAT
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

import torch

from fastconv.engine.base.threads import get_num_threads, num_threads
from fastconv.engine.choice import only_exact

# ---- DLPack 1.3, as far as it is used: the table behind Tensor.__dlpack_c_exchange_api__ ---------

cdef struct DLDataType:
    uint8_t code
    uint8_t bits
    uint16_t lanes

cdef struct DLTensor:
    void* data
    int32_t device_type, device_id
    int32_t ndim
    DLDataType dtype
    int64_t* shape
    int64_t* strides
    uint64_t byte_offset

cdef struct ExchangeTable:
    uint32_t major, minor
    void* previous
    void* allocate
    void* from_object
    void* to_object
    # Fills in what the tensor keeps; 0, or -1 with an exception.
    int (*look)(void* tensor, DLTensor* seen) except -1
    void* stream

cdef enum:
    CPU = 1
    FLOAT = 2

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <sys/mman.h>
    #include "base/pages.h"

    /* Ask the system for huge pages where memory has several, as fastconv and NumPy do for their
     * arrays. Large memory is new with each tensor, and small pages cost five times as much. */
    static void fastconv_advise(void *data, size_t bytes)
    {
    #ifdef MADV_HUGEPAGE
        const uintptr_t mask = FASTCONV_HUGE_PAGE - 1;
        const uintptr_t first = ((uintptr_t)data + mask) & ~mask;
        const uintptr_t past = ((uintptr_t)data + bytes) & ~mask;

        if (past > first)
            madvise((void *)first, past - first, MADV_HUGEPAGE);
    #else
        (void)data, (void)bytes;
    #endif
    }
    """
    void advise "fastconv_advise"(void* data, size_t bytes) noexcept
    size_t HUGE_PAGE "FASTCONV_HUGE_PAGE"

# ---- tensors -------------------------------------------------------------------------------------

# Maps of three axes have two more; the gradient of batch normalisation takes seven tensors.
cdef enum:
    MOST_AXES = 5
    MOST_TENSORS = 8

cdef struct Seen:
    void* data
    int64_t kind                        # bytes of a float, or 0: of anything else
    int64_t axes
    int64_t shape[MOST_AXES]
    int64_t strides[MOST_AXES]          # in numbers

cdef object _Tensor = torch.Tensor
cdef object _Parameter = torch.nn.Parameter
cdef object _float32 = torch.float32
cdef object _float64 = torch.float64
cdef object _strided = torch.strided
cdef object _contiguous = torch.contiguous_format
cdef object _empty = torch.empty
cdef object _torch_threads = torch.get_num_threads
cdef const ExchangeTable* _table = NULL


def use_table(bint wanted=True):
    """Read tensors by torch's table of DLPack functions, if it has one; return whether it is so."""
    global _table
    _table = NULL
    capsule = getattr(_Tensor, "__dlpack_c_exchange_api__", None)
    if wanted and type(capsule).__name__ == "PyCapsule":
        _table = <const ExchangeTable*>PyCapsule_GetPointer(capsule, "dlpack_exchange_api")
        if _table.major != 1 or _table.look is NULL:
            _table = NULL
    return _table is not NULL


use_table()


cdef bint look(object tensor, Seen* seen) except -1:
    """Fill in how a tensor lies in memory; return whether it is one that can be served.

    That is a plain one on the CPU, of float32 or float64, with numbers, of at most five axes.
    """
    cdef DLTensor found
    cdef int axis
    if (type(tensor) is not _Tensor and type(tensor) is not _Parameter) or tensor.is_neg():
        return False
    # What has no memory, as tensors under vmap, raises an error.
    try:
        if _table is NULL:
            return look_by_methods(tensor, seen)
        _table.look(<void*>tensor, &found)
    except Exception:
        return False
    if (found.dtype.code != FLOAT or found.dtype.lanes != 1 or found.device_type != CPU
            or not 0 < found.ndim <= MOST_AXES or found.data is NULL):
        return False
    seen.kind = found.dtype.bits // 8
    seen.data = <char*>found.data + found.byte_offset
    seen.axes = found.ndim
    for axis in range(found.ndim):
        seen.shape[axis], seen.strides[axis] = found.shape[axis], found.strides[axis]
        if not seen.shape[axis]:
            return False
    return seen.kind == 4 or seen.kind == 8


cdef bint look_by_methods(object tensor, Seen* seen) except -1:
    """As `look`, by what a tensor has had in every version of torch."""
    cdef Py_ssize_t axis
    dtype = tensor.dtype
    if dtype is _float32:
        seen.kind = 4
    elif dtype is _float64:
        seen.kind = 8
    else:
        return False
    if tensor.layout is not _strided or not tensor.is_cpu:
        return False
    seen.axes = tensor.ndim
    seen.data = <void*><size_t>tensor.data_ptr()
    if not 0 < seen.axes <= MOST_AXES or seen.data is NULL:
        return False
    shape, strides = <tuple>tensor.shape, <tuple>tensor.stride()
    for axis in range(seen.axes):
        seen.shape[axis], seen.strides[axis] = shape[axis], strides[axis]
        if not seen.shape[axis]:
            return False
    return True


def look_at(tensor):
    """Return address, shape and strides of a tensor; None: of one that cannot be served."""
    cdef Seen seen
    cdef int axis
    if not look(tensor, &seen):
        return None
    return (<size_t>seen.data, tuple([seen.shape[axis] for axis in range(seen.axes)]),
            tuple([seen.strides[axis] for axis in range(seen.axes)]))


cdef class Borrowed:
    """The memory of a tensor, as a buffer; whoever has it keeps the tensor."""

    cdef void* data
    cdef int axes
    cdef Py_ssize_t itemsize
    cdef Py_ssize_t[MOST_AXES] shape
    cdef Py_ssize_t[MOST_AXES] strides

    def __getbuffer__(self, Py_buffer* view, int flags):
        cdef int axis
        view.buf, view.obj = self.data, self
        view.itemsize, view.ndim, view.readonly = self.itemsize, self.axes, False
        view.shape, view.strides = self.shape, self.strides
        view.suboffsets, view.internal = NULL, NULL
        view.len = self.itemsize
        for axis in range(self.axes):
            view.len *= self.shape[axis]
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = "f" if self.itemsize == 4 else "d"


cdef Borrowed borrow(const Seen* seen):
    cdef Borrowed memory = Borrowed.__new__(Borrowed)
    cdef int axis
    memory.data, memory.axes, memory.itemsize = seen.data, seen.axes, seen.kind
    for axis in range(memory.axes):
        memory.shape[axis] = seen.shape[axis]
        memory.strides[axis] = seen.strides[axis] * seen.kind
    return memory


# ---- calls by number -----------------------------------------------------------------------------

cdef enum:
    MOST_NUMBERS = 96

cdef struct Row:
    int64_t numbers[MOST_NUMBERS]
    int count


# What an argument is: with it before each, two calls have the same row only if they are alike.
cdef enum:
    NOTHING, TENSOR, LIST, NUMBER


cdef inline void add_number(Row* row, int64_t number) noexcept:
    row.numbers[row.count] = number
    row.count += 1


cdef inline void add_seen(Row* row, const Seen* seen) noexcept:
    cdef int axis
    add_number(row, seen.kind)
    add_number(row, seen.axes)
    for axis in range(seen.axes):
        add_number(row, seen.shape[axis])
        add_number(row, seen.strides[axis])


cdef inline int add_value(Row* row, object value) except -1:
    cdef double real
    cdef int64_t bits
    if type(value) is float:
        real = value
        memcpy(&bits, &real, sizeof(bits))
        add_number(row, bits)
    else:
        add_number(row, value)
    return 0


cdef bint read_call(Row* row, Seen* seen, tuple call) except -1:
    """Write a call as a row of numbers, and how its tensors lie; return whether that can be.

    It cannot if a tensor is none that can be served, or a list is absurdly long.
    """
    cdef int tensors = 0
    row.count = 0
    for value in call:
        # Room for a tensor, the longest but for lists; and for one number more, see `find`.
        if row.count + 3 + 2 * MOST_AXES >= MOST_NUMBERS:
            return False
        if value is None:
            add_number(row, NOTHING)
        elif isinstance(value, (list, tuple)):
            if row.count + 2 + <int>len(value) >= MOST_NUMBERS:
                return False
            add_number(row, LIST)
            add_number(row, len(value))
            for one in value:
                add_value(row, one)
        elif isinstance(value, _Tensor):
            if tensors == MOST_TENSORS or not look(value, seen + tensors):
                return False
            add_number(row, TENSOR)
            add_seen(row, seen + tensors)
            tensors += 1
        else:
            add_number(row, NUMBER)
            add_value(row, value)
    return True


cdef class Part:
    """A result: what computes it, called with the arrays that it reads and the one it writes.

    `reads` are the places of these among the tensors of the call, or None for none. `arrays` tells
    whether they must be arrays of NumPy. The result is computed contiguous, and copied if its
    format is another.
    """

    cdef object compute
    cdef tuple reads, shape
    cdef object memory_format
    cdef bint arrays

    def __init__(self, compute, tuple reads, tuple shape, memory_format, bint arrays):
        self.compute, self.reads, self.shape = compute, reads, shape
        self.memory_format, self.arrays = memory_format, arrays


cdef class Route:
    """Where the calls go that are alike: to torch, which `passed` counts; or here.

    Here, either `whole` computes all: it is called as torch's own function is, but with arrays in
    the place of tensors, and gives what that gives; a TypeError or ValueError of it sends the call
    to torch, which says what is wrong in its own words. Or `parts` are the results, or None in the
    place of each that torch computes; `rest` is the mask with which torch is asked for those, or
    None. `copies` tells which of the tensors are made contiguous before.
    """

    cdef readonly object whole
    cdef readonly tuple parts, copies
    cdef readonly object served, passed, rest, dtype
    # While profiled: calls of which torch's time is known, too, and the least of these.
    cdef int compared
    cdef double least

    def __init__(self, *, passed=None, served=None, whole=None, tuple parts=(), tuple copies=(),
                 rest=None, dtype=None):
        self.passed, self.served, self.whole, self.parts = passed, served, whole, parts
        self.copies, self.rest, self.dtype = copies, rest, dtype
        self.compared, self.least = 0, 1e300


# So many calls of a route are computed by both sides while profiled.
cdef int COMPARED = 2
# Routes that are kept.
cdef Py_ssize_t MOST_ROUTES = 4096


cdef class Override:
    """What the dispatcher calls for an operation; `kernel` is torch's own.

    `plan` makes the route of a call; of one that cannot be looked up, too, which torch computes.
    """

    cdef object kernel
    cdef readonly object plan
    cdef dict routes
    cdef public bint on, profile

    def __init__(self, kernel, plan):
        self.kernel, self.plan = kernel.call_boxed, plan
        self.routes = {}

    def clear(self):
        """Forget all routes."""
        self.routes = {}

    def __call__(self, keyset, *call, **options):
        cdef Row row
        cdef Seen[MOST_TENSORS] seen
        cdef Route route
        if not self.on:
            return self.kernel(keyset, *call, **options)
        if options or not read_call(&row, seen, call):
            route = self.plan(*call, **options)
            return self.pass_on(route.passed, keyset, call, options)
        route = self.find(&row, call)
        if route.served is None:
            return self.pass_on(route.passed, keyset, call, options)
        try:
            results = self.timed(route, seen, keyset, call) if self.profile else self.serve(
                route, seen, call)
        except (TypeError, ValueError):
            if route.whole is None:
                raise
            return self.pass_on(route.passed, keyset, call, options)
        route.served.calls += 1
        if route.rest is not None:
            asked = (*call[:len(call) - 1], route.rest)
            others = self.pass_on(route.passed, keyset, asked, options)
            results = tuple([ours if rest is False else theirs
                             for ours, theirs, rest in zip(results, others, route.rest)])
        return results

    cdef Route find(self, Row* row, tuple call):
        add_number(row, only_exact())
        key = PyBytes_FromStringAndSize(<char*>row.numbers, row.count * sizeof(int64_t))
        route = self.routes.get(key)
        if route is None:
            route = self.plan(*call)
            if len(self.routes) >= MOST_ROUTES:
                # A dict keeps its order: the first is the oldest.
                self.routes.pop(next(iter(self.routes)), None)
            self.routes[key] = route
        return route

    cdef object pass_on(self, object count, object keyset, tuple call, dict options):
        count.calls += 1
        if not self.profile:
            return self.kernel(keyset, *call, **options)
        begin = perf_counter()
        result = self.kernel(keyset, *call, **options)
        count.seconds += perf_counter() - begin
        return result

    cdef object serve(self, Route route, Seen* seen, tuple call):
        """Return the results that are computed here, as many threads as torch would have."""
        threads = _torch_threads()
        if threads == get_num_threads():
            return compute(route, seen, call)
        with num_threads(threads):
            return compute(route, seen, call)

    cdef object timed(self, Route route, Seen* seen, object keyset, tuple call):
        """Serve with a look at the clock, and estimate what torch would have taken."""
        cdef double begin = perf_counter()
        results = self.serve(route, seen, call)
        cdef double middle = perf_counter(), begun
        if route.compared < COMPARED:
            if route.rest is not None:
                call = (*call[:len(call) - 1], [part is not None for part in route.parts])
            # Of running statistics a second call would make others.
            copies = [value.clone() if isinstance(value, _Tensor) else value for value in call]
            begun = perf_counter()
            self.kernel(keyset, *copies)
            route.least = min(route.least, perf_counter() - begun)
            route.compared += 1
        route.served.seconds += middle - begin
        route.served.saved += route.least - (middle - begin)
        return results


cpdef object make(tuple shape, object dtype, object memory_format):
    """Return a new tensor in a format."""
    cdef size_t bytes = dtype.itemsize
    # Maps of one axis are maps of one row to torch.
    cdef bint flat = len(shape) == 3 and memory_format is not _contiguous
    if flat:
        shape = (shape[0], shape[1], 1, shape[2])
    tensor = _empty(shape, dtype=dtype, device="cpu", memory_format=memory_format)
    for length in shape:
        bytes *= <size_t>length
    if bytes >= 2 * HUGE_PAGE:
        advise(<void*><size_t>tensor.data_ptr(), bytes)
    return tensor.squeeze(2) if flat else tensor


cdef object copy_of(object tensor, object memory_format):
    """Return a copy of a tensor in a format."""
    return make(tuple(tensor.shape), tensor.dtype, memory_format).copy_(tensor)


cdef object compute(Route route, Seen* seen, tuple call):
    if route.whole is None:
        results = compute_parts(route, seen, [v for v in call if isinstance(v, _Tensor)])
        return tuple(results) if len(results) > 1 else results[0]
    cdef int i = 0
    cdef list arrays = []
    for value in call:
        if isinstance(value, _Tensor):
            value = np.asarray(borrow(seen + i))
            i += 1
        arrays.append(value)
    return route.whole(*arrays)


cdef list compute_parts(Route route, Seen* seen, list tensors):
    cdef Py_ssize_t i
    cdef Part part
    cdef Seen written
    cdef list results = [], read, arrays
    for i in range(len(tensors)):
        if route.copies[i]:
            tensors[i] = copy_of(tensors[i], _contiguous)
            look(tensors[i], seen + i)
    read = [borrow(seen + i) for i in range(len(tensors))]
    for part in route.parts:
        if part is None:
            results.append(None)
            continue
        result = make(part.shape, route.dtype, _contiguous)
        look(result, &written)
        arrays = [None if place is None else read[place] for place in part.reads]
        arrays.append(borrow(&written))
        if part.arrays:
            arrays = [None if array is None else np.asarray(array) for array in arrays]
        part.compute(*arrays)
        if part.memory_format is not _contiguous:
            result = copy_of(result, part.memory_format)
        results.append(result)
    return results
