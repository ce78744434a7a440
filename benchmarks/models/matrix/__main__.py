"""The matrix: python -m benchmarks.models.matrix [parts of titles]"""

import sys

from benchmarks.models.matrix.judge import matrix

for line in matrix(sys.argv[1:]):
    print(line, flush=True)
