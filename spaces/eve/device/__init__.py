"""The device model: a microcontroller that computes tile by tile on harvested energy."""
