"""A battery-free microcontroller: time, energy, memory, power cycles, and harvested power."""
