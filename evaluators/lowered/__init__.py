"""A trained network as a list of plain steps, for everything that runs it another way than PyTorch.

Two parties on secret shares, fixed-point arithmetic in the clear, and encrypted inference all read
the same steps: convolutions, linear layers, pools, activations, additions, data movement.
"""
