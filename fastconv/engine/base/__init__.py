"""What all rooms of the engine stand on.

isa         the instruction set, chosen when it is imported; isa.h and regions.h include a loop's
            header once for each
cache_sizes of a core, by which kernels size their blocks
threads     how many, and how they share the tasks of a kernel: parallel_for, parallel_phases
costs.pxd   what a task costs, for those who weigh how evenly tasks can be shared
workspace   blocks of memory that calls take and give back; memory: the same for results
cache       results of a function by its arguments, as long as they are recent
arrays.pxd  arrays as pointers and strides; axis.pxd, axes: an axis and its phases in numbers
kernel      the class of compiled kernels, and the dispatch: it takes the arrays as they are
jobs.pxd    the tasks of a kernel, phase by phase, each written once for float and double
operation   an operation of a geometry as kernels see it, and a case: on arrays of one layout
"""
