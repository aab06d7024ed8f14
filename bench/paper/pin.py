#!/usr/bin/env python3
"""Keeps every file below a directory in memory: pin.py ROOT. Prints `ready`, and ends with its standard input."""

import ctypes
import mmap
import os
import sys

MCL_CURRENT, MCL_FUTURE = 1, 2
FAILED = ctypes.c_void_p(-1).value


def library():
  libc = ctypes.CDLL(None, use_errno=True)
  libc.mmap.restype = ctypes.c_void_p
  libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
  return libc


def check(good):
  if not good:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def pin(libc, path):
  """Maps a file, which reads it and locks it in memory, since what is mapped from now on is locked. The module mmap
  would keep a descriptor for each file."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    size = os.fstat(descriptor).st_size
    check(not size or libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0) != FAILED)
  finally:
    os.close(descriptor)


def main():
  try:
    libc = library()
    check(libc.mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
    for folder, _, names in os.walk(sys.argv[1]):
      for name in names:
        pin(libc, os.path.join(folder, name))
  except OSError as error:
    print(f"failed: {error.strerror}", flush=True)
    return 1
  print("ready", flush=True)
  sys.stdin.read()
  return 0


if __name__ == "__main__":
  sys.exit(main())
