"""Build the compiled kernels; everything else is said in pyproject.toml."""

import os
import sys
import tempfile
from glob import glob

if sys.version_info < (3, 11):
    sys.exit("fastconv needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, LinkError

# -fno-math-errno and -fno-trapping-math change no result; they let the compiler use vector
# instructions in loops with comparisons and square roots. No -march: a wheel runs everywhere.
COMPILE_ARGS = ["-fno-math-errno", "-fno-trapping-math", "-pthread"]
# The environment may ask for another level, and for debug information, as sanitizers do. Otherwise
# it is left out, and so are the symbols: with both, the modules are five times as large.
CFLAGS = os.environ.get("CFLAGS", "").split()
LINK_ARGS = ["-pthread"]
if "-g" not in CFLAGS:
    COMPILE_ARGS.append("-g0")
    # Without debug information there is nothing that a build ID would be looked up for.
    LINK_ARGS += ["-s", "-Wl,--build-id=none"] if sys.platform.startswith("linux") else []

# What Cython adds to every module is compiled once, in a module without a source of ours.
SHARED = "fastconv._cython"
# Loops of plain C and Cython become vectors by -O3 alone. Here they are vectors already, or there
# are none: -O2 makes code as fast of them in two thirds of the time (docs/performance.md). In
# Winograd's transforms, which product of a sum is fused with it depends on the level, and so do the
# bits.
BY_O2 = (SHARED, "fastconv.engine.base.", "fastconv.adapters.")
# Filters give the bits of plain loops: no product is fused with a sum.
UNFUSED = "fastconv.engine.filters."

PROBE = "int main(void) { return 0; }\n"


class BuildKernels(build_ext):
    """build_ext that asks the compiler what it can do before it compiles the kernels."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if not self.builds(PROBE, []):
            command = " ".join(getattr(self.compiler, "compiler", ["cc"])[:1])
            sys.exit(
                f"fastconv: no working C compiler was found (tried '{command}'); install gcc or "
                "clang (on Debian and Ubuntu: apt install gcc; on macOS: xcode-select --install)."
            )
        for extension in self.extensions:
            if not any(flag.startswith("-O") for flag in CFLAGS):
                level = "-O2" if extension.name.startswith(BY_O2) else "-O3"
                extension.extra_compile_args.append(level)
            if extension.name.startswith(UNFUSED):
                extension.extra_compile_args.append("-ffp-contract=off")
            extension.extra_compile_args += COMPILE_ARGS
            extension.extra_link_args += LINK_ARGS
        super().build_extensions()

    def builds(self, source, flags):
        """Tell whether `source` compiles and links with `flags`."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "probe.c")
            with open(path, "w") as file:
                file.write(source)
            try:
                objects = self.compiler.compile([path], output_dir=folder, extra_postargs=flags)
                # A shared object, as the kernels are: it takes the environment's LDFLAGS too.
                self.compiler.link_shared_object(
                    objects, os.path.join(folder, "probe.so"), extra_postargs=flags
                )
            except (CCompilerError, CompileError, LinkError):
                return False
        return True


# What takes the longest to compile goes first: the others are compiled beside it.
SOURCES = sorted(glob("fastconv/**/*.pyx", recursive=True), key=lambda path: "tile" not in path)
HEADERS = sorted(glob("fastconv/**/*.h", recursive=True))

setup(
    ext_modules=cythonize(
        [Extension(SHARED, [])]
        + [
            Extension(
                path.removesuffix(".pyx").replace(os.sep, "."),
                [path],
                # Headers include each other by their rooms: "base/isa.h".
                include_dirs=["fastconv/engine"],
                depends=HEADERS,
            )
            for path in SOURCES
        ],
        build_dir="build/cython",
        compiler_directives={"language_level": 3},
        shared_utility_qualified_name=SHARED,
    ),
    cmdclass={"build_ext": BuildKernels},
)
