"""The results as they are measured: one line of JSON a point, appended at once, so that a run can be resumed."""

import contextlib
import fcntl
import json
import os
import time

VERSION = 1
DONE, FAILED = "done", "failed"


class StoreError(Exception):
  """The file of points cannot be used; the message says why."""


class Different(StoreError):
  """The points there were measured with other parameters."""


class Store:
  """The points of one directory.

  The last line for a key counts. A line that was cut short, by a full disk or a power failure, is dropped when the file
  is opened. Only one process at a time has the directory. `parameters` None takes those that are there.
  """

  def __init__(self, directory, parameters, restart=False):
    self.path = os.path.join(directory, "points.jsonl")
    self.points = {}
    self.changes = 0  # counts points that were added
    self.spent = 0.0  # seconds that points took in earlier runs
    self.parameters = parameters
    try:
      os.makedirs(directory, exist_ok=True)
      self._file = open(self.path, "a+b", buffering=0)
    except OSError as error:
      raise StoreError(f"cannot write to {directory}: {error.strerror}") from error
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      self._file.close()
      raise StoreError(f"another run is writing to {directory}") from error
    try:
      if restart:
        self._set_aside()
      self._load()
    except BaseException:
      self._file.close()
      raise

  def close(self):
    self._file.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def is_done(self, key):
    return self.points.get(key, {}).get("status") == DONE

  def failed(self, key):
    return self.points.get(key, {}).get("status") == FAILED

  def result(self, key):
    """What a finished point measured, or None."""
    return self.points[key]["result"] if self.is_done(key) else None

  def add(self, key, point, result=None, reason=None, seconds=0.0):
    """Appends a point that was measured, or with `reason` one that failed, and sees it on the disk. `seconds`: what it
    took."""
    line = {"key": key, "status": FAILED if reason else DONE, "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "point": point}
    line.update({"reason": reason} if reason else {"result": result})
    line.update({"seconds": round(seconds, 2)} if seconds else {})
    self._append(line)
    self.points[key] = line
    self.changes += 1

  def _append(self, line):
    start = self._file.seek(0, os.SEEK_END)
    text = memoryview(json.dumps(line).encode() + b"\n")
    try:
      while text:
        text = text[self._file.write(text):]
      os.fsync(self._file.fileno())
    except OSError as error:
      with contextlib.suppress(OSError):  # else the torn line is dropped when the file is next opened
        self._file.truncate(start)
      raise StoreError(f"cannot write {self.path}: {error.strerror}; what was measured before is kept") from error

  def _set_aside(self):
    """Keeps the points there were under another name and starts empty."""
    if os.path.getsize(self.path):
      with open(self.path, "rb") as old, open(self.path + ".previous", "wb") as kept:
        kept.write(old.read())
      self._file.truncate(0)

  def _load(self):
    self._file.seek(0)
    data = self._file.read()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
      self._file.truncate(whole)
    lines = [self._parse(number, text) for number, text in enumerate(data[:whole].splitlines(), 1)]
    if not lines:
      if self.parameters is None:
        raise StoreError(f"there are no results in {os.path.dirname(self.path)}")
      self._append({"version": VERSION, "parameters": self.parameters})
      return
    self._compare(lines[0])
    for line in lines[1:]:
      self.points[line["key"]] = line
      self.spent += line.get("seconds", 0.0)

  def _parse(self, number, text):
    try:
      line = json.loads(text)
      if number == 1:
        line["parameters"], line["version"]  # pylint: disable=pointless-statement
      else:
        line["key"], line["status"], line["point"]  # pylint: disable=pointless-statement
      return line
    except (ValueError, KeyError, TypeError) as error:
      raise StoreError(f"{self.path}, line {number}: not a point; --restart begins anew") from error

  def _compare(self, header):
    if header["version"] != VERSION:
      raise Different(f"{self.path} was written by another version; --restart begins anew")
    if self.parameters is None:
      self.parameters = header["parameters"]
    there, here = header["parameters"], json.loads(json.dumps(self.parameters))
    differ = [f"{name} was {there.get(name)}, now {here.get(name)}" for name in sorted(there.keys() | here.keys())
              if there.get(name) != here.get(name)]
    if differ:
      raise Different(f"{self.path} was measured with other parameters ({'; '.join(differ)}); "
                      "give the same, another --out, or --restart")
