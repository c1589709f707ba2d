"""An example of a distribution that extends cipher-search."""
