"""From Sentinel-1 radar tiles to a scored upload archive of Sentinel-2 pictures."""

__version__ = "0.1.0"
