"""What the sources read with: paths of every sort, pixels, downloads and the cache."""
