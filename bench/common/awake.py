"""Keeps the processors from halting while something is measured.

On loopback a reply wakes the load's processor, and the sender pays for it. On a virtual machine waking a processor that
has halted is a call of the hypervisor, which costs several times what a server itself does for a request, and more or
less of them are needed as the load happens to sleep: a cost, and a noise, of the test bed. Over a wire there is neither.
"""

import struct

DEVICE = "/dev/cpu_dma_latency"


class Awake:
  """While it is open, idle processors poll, where the kernel offers that state (Documentation/power/pm_qos_interface).

  The kernel takes the request back when the descriptor is closed, however this process ends. `granted` tells whether
  it could be made: it needs root.
  """

  def __init__(self, device=DEVICE):
    self._file = None
    try:
      self._file = open(device, "wb", buffering=0)
      self._file.write(struct.pack("i", 0))
    except OSError:
      self.close()

  @property
  def granted(self):
    return self._file is not None

  def close(self):
    if self._file is not None:
      self._file.close()
      self._file = None

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
