"""Numbers of any width side by side come back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.store.embedded.bits import MOST_BITS, read_bits, widths_of, write_bits


@given(st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**53), st.integers(0, 2**MOST_BITS - 2**9))))
def test_what_is_written_is_read(values: list[int]) -> None:
    numbers = np.array(values, np.int64)
    widths = widths_of(numbers)
    data = write_bits(numbers, widths)
    assert len(data) == -(-int(widths.sum()) // 8)
    assert read_bits(data, np.cumsum(widths) - widths, widths).tolist() == values


def test_a_number_behind_the_end_is_said() -> None:
    with pytest.raises(ValueError, match="behind the last bit"):
        read_bits(np.zeros(2, np.uint8), np.array([10]), np.array([7]))
