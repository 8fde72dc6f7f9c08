"""Read-only SQL over what a hub stored, for doors that answer questions nobody foresaw. DuckDB is slow to load: import late."""

from nettrace.store.embedded.arrow import pa
from nettrace.store.embedded.query import Query

__all__ = ["Query", "pa"]
