"""The fuzzer of everything that reads a stranger's file: ``python -m fuzz`` with ``tests`` on the path, or ``make fuzz``.

targets    what is fuzzed: the files it begins with, and how one input is read
mutation   an input changed: bytes, and where it pays what the bytes mean
worker     one child process with bounded memory that reads one input after another
driver     the children one after another, what they found, and the summary
"""
