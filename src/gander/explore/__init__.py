"""The knobs page: a generator that people turn in a browser, from one file or from a server beside a run.

``web/`` holds the page as it is written (no build step: the files are laid one after the other into one script), ``vendor/`` the
two libraries it carries, with checksums and licences.
"""
