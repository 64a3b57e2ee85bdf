"""The public benchmarks, each as a reader of its annotations, what is asked of a system, and two ways to score it.

`BENCHMARKS` is the list. To add one, write `vigil/eval/benchmarks/<name>.py` with a `Benchmark`, and name it here.
"""

from __future__ import annotations

from importlib import import_module

from vigil.errors import ConfigError
from vigil.eval.benchmarks.base import Benchmark

BENCHMARKS = {
    "streamingbench": "vigil.eval.benchmarks.streamingbench",
    "ovo": "vigil.eval.benchmarks.ovo",
    "rtv": "vigil.eval.benchmarks.rtv",
    "river": "vigil.eval.benchmarks.river",
    "omnimmi": "vigil.eval.benchmarks.omnimmi",
    "proactive": "vigil.eval.benchmarks.proactive",
}
"""Name -> the module that holds its `BENCHMARK`."""


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}. Choose among {', '.join(BENCHMARKS)}, or run with --list.")
    found = import_module(BENCHMARKS[name]).BENCHMARK
    assert isinstance(found, Benchmark)
    return found
