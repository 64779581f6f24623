"""What a call needs beside its arrays, found again by the arguments as the caller wrote them."""


cdef bint compares_exactly(tuple arguments):
    """Tell whether equal tuples mean the same: 1 == 1.0 == True, but only 1 is a stride."""
    for value in arguments:
        if type(value) is tuple:
            if not compares_exactly(value):
                return False
        elif type(value) is not int and type(value) is not str and value is not None:
            return False
    return True


cdef class Cache:
    """A function that is called once for the same arguments, as long as they stay among the last.

    Arguments that are not plain integers, words, None and tuples of these are not looked up: the
    function sees them each time. What it raises is not kept.
    """

    cdef object function
    cdef dict results
    cdef readonly Py_ssize_t limit

    def __init__(self, function, Py_ssize_t limit):
        self.function = function
        self.results = {}
        self.limit = limit

    def __len__(self):
        return len(self.results)

    def __call__(self, *arguments):
        if not compares_exactly(arguments):
            return self.function(*arguments)
        result = self.results.get(arguments)
        if result is None:
            result = self.function(*arguments)
            if len(self.results) >= self.limit:
                # A dict keeps its order: the first is the oldest.
                del self.results[next(iter(self.results))]
            self.results[arguments] = result
        return result
