"""pyarrow, which says nothing of its types: what is `Any` about it is so here."""

from typing import Any, TypeAlias

import pyarrow
import pyarrow.compute
import pyarrow.parquet

pa: Any = pyarrow
pc: Any = pyarrow.compute
pq: Any = pyarrow.parquet

Table: TypeAlias = Any
Array: TypeAlias = Any
