"""Language models: how they are reached, asked within limits, scripted and checked."""
