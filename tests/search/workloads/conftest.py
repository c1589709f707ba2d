import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """More threads than free cores make tiny tensors slower, not faster."""
    torch.set_num_threads(1)
