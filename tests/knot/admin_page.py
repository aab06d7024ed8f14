#!/usr/bin/env python3
"""Opens Knot's live page in Chromium and looks at what a person would see there.

usage: admin_page.py KNOT [--pictures DIRECTORY]

Starts KNOT with an admin address and a client that asks it for files, and Chromium without a window, which is driven
over the DevTools protocol (a pipe of JSON texts, each ended by a zero byte). Exits 0 when plots show what happens,
values have names and units, keys work, nothing is complained of, and the page says when the server has gone, goes on
when it is back, and rests while nobody sees it. --pictures keeps what it looked like.
"""

import argparse
import base64
import contextlib
import fcntl
import http.client
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

GUARD_SECONDS = 90  # a hang, not a speed

PLOTS = ["Requests", "Latency", "Connections", "Sent", "Processor time"]
USER_THREAD_PLOTS = ["Threads by state", "Shares of the CPU", "Workers", "Poll set"]


class Failure(Exception):
  """The page, or the server behind it, did something wrong."""


def check(condition, message):
  if not condition:
    raise Failure(message)


class Knot:
  """A running server with an admin address."""

  def __init__(self, binary, root, admin_port=0):
    self.process = subprocess.Popen(
        [binary, root, "--listen=127.0.0.1:0", f"--admin=127.0.0.1:{admin_port}", "--threads=32"],
        stdout=subprocess.PIPE, text=True)
    line = self.process.stdout.readline()
    match = re.search(r"http://127\.0\.0\.1:(\d+)/ serves .* admin=http://127\.0\.0\.1:(\d+)/", line)
    check(match, f"it did not start: {line}")
    self.port, self.admin_port = int(match[1]), int(match[2])

  def end(self):
    if self.process.poll() is None:
      self.process.kill()
    self.process.wait()
    self.process.stdout.close()


class Visitor(threading.Thread):
  """Asks the server for a file that is there and one that is not, again and again, until it is stopped."""

  def __init__(self, port):
    super().__init__(daemon=True)
    self.port = port
    self.stopped = threading.Event()
    self.start()

  def run(self):
    with contextlib.suppress(OSError, http.client.HTTPException):  # the server is ended by this test
      connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GUARD_SECONDS)
      while not self.stopped.wait(0.005):
        for path in ("/file", "/file", "/none"):
          connection.request("GET", path)
          connection.getresponse().read()


class Chromium:
  """A browser without a window."""

  def __init__(self, profile):
    program = shutil.which("chromium")
    check(program, "there is no chromium; apt-get install chromium")
    to_browser, self.write_end = os.pipe()
    self.read_end, from_browser = os.pipe()
    # Not 3 and 4 themselves, which are overwritten one after the other.
    inherited = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]

    def place_ends():
      os.dup2(inherited[0], 3)
      os.dup2(inherited[1], 4)

    self.process = subprocess.Popen(
        [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
         f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
        preexec_fn=place_ends, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for end in (to_browser, from_browser, *inherited):
      os.close(end)
    self.pending = b""
    self.last_id = 0
    self.events = []

  def _receive(self):
    """Returns: the next message, or None where none comes for a moment."""
    while b"\0" not in self.pending:
      ready, _, _ = select.select([self.read_end], [], [], 0.05)
      if not ready:
        return None
      part = os.read(self.read_end, 1 << 20)
      check(part, "the browser has ended")
      self.pending += part
    text, self.pending = self.pending.split(b"\0", 1)
    return json.loads(text)

  def call(self, method, session=None, **params):
    self.last_id += 1
    message = {"id": self.last_id, "method": method, "params": params}
    if session:
      message["sessionId"] = session
    os.write(self.write_end, json.dumps(message).encode() + b"\0")
    deadline = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < deadline:
      reply = self._receive()
      if reply is None:
        continue
      if reply.get("id") == self.last_id:
        check("error" not in reply, f"{method}: {reply.get('error')}")
        return reply["result"]
      if "method" in reply:
        self.events.append(reply)
    raise Failure(f"the browser does not answer {method}")

  def end(self):
    self.process.kill()
    self.process.wait()
    os.close(self.write_end)
    os.close(self.read_end)


class Page:
  """A tab, and what it complains of."""

  def __init__(self, browser, url):
    self.browser = browser
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Runtime", "Log", "Page", "Network"):
      self.call(f"{domain}.enable")
    self.call("Page.navigate", url=url)

  def call(self, method, **params):
    return self.browser.call(method, session=self.session, **params)

  def value(self, expression):
    result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
    check("exceptionDetails" not in result, f"{expression}: {result.get('exceptionDetails')}")
    return result["result"].get("value")

  def wait(self, expression, what):
    deadline = time.monotonic() + GUARD_SECONDS
    while True:
      value = self.value(expression)
      if value:
        return value
      check(time.monotonic() < deadline, f"waited in vain: {what}; the page says: {self.text()}")
      time.sleep(0.1)

  def text(self):
    return self.value("document.body.innerText")

  def key(self, key):
    for kind in ("rawKeyDown", "keyUp"):
      self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

  def complaints(self):
    """What was said on the console, or thrown, or refused."""
    found = []
    for event in self.browser.events:
      params = event["params"]
      if event["method"] == "Runtime.exceptionThrown":
        found.append(params["exceptionDetails"])
      elif event["method"] == "Runtime.consoleAPICalled":
        found.append(params["args"])
      elif event["method"] == "Log.entryAdded":
        found.append(params["entry"])
    return found

  def requests(self):
    return [event["params"]["request"]["url"] for event in self.browser.events
            if event["method"] == "Network.requestWillBeSent"]

  def picture(self, directory, name):
    if directory:
      data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
      with open(os.path.join(directory, name + ".png"), "wb") as file:
        file.write(base64.b64decode(data))


# What the page shows, by plot: how many points its paths have, its texts.
LOOK = """
[...document.querySelectorAll("figure")].filter((figure) => !figure.hidden).map((figure) => ({
  title: figure.querySelector("h2").textContent,
  unit: figure.querySelector(".unit").textContent,
  now: figure.querySelector(".now").textContent,
  points: [...figure.querySelectorAll("path")].reduce(
      (sum, path) => sum + ((path.getAttribute("d") || "").match(/[ML]/g) || []).length, 0),
  ticks: [...figure.querySelectorAll("svg text")].map((text) => text.textContent),
  legend: [...figure.querySelectorAll("li")].map((item) => item.textContent),
  name: figure.querySelector("svg").getAttribute("aria-label"),
  spoken: figure.querySelector("svg").getAttribute("aria-valuetext"),
  labelled: document.getElementById(figure.getAttribute("aria-labelledby")) !== null,
}))
"""
STATE = "document.body?.dataset.state"
LIVE = f'{STATE} === "live"'
POINTS = """
Math.min(...[...document.querySelectorAll("figure")].filter((figure) => !figure.hidden).map((figure) =>
    [...figure.querySelectorAll("path")].reduce(
        (sum, path) => sum + ((path.getAttribute("d") || "").match(/[ML]/g) || []).length, 0)))
"""


def check_plots(page, user_threads):
  page.wait(LIVE, "the page is live")
  page.wait(f"{POINTS} >= 4", "every plot has points")
  plots = page.value(LOOK)
  wanted = PLOTS + (USER_THREAD_PLOTS if user_threads else [])
  check(sorted(plot["title"] for plot in plots) == sorted(wanted), f"other plots: {plots}")
  for plot in plots:
    check(plot["unit"] and plot["labelled"] and plot["name"] == f"{plot['title']}, {plot['unit']}", f"no name: {plot}")
    check(re.search(r"\d", plot["now"]), f"no value: {plot}")
    check("now" in plot["ticks"] and "−45 s" in plot["ticks"], f"no axis of time: {plot}")
    check(sum(bool(re.match(r"\d", tick)) for tick in plot["ticks"]) >= 2, f"no axis of values: {plot}")
    check(all(re.search(r"[\d–]", entry) for entry in plot["legend"]), f"a legend without values: {plot}")
    check(re.match(r"now: \S", plot["spoken"]), f"nothing for who does not see it: {plot}")
  requests = next(plot for plot in plots if plot["title"] == "Requests")
  check(not requests["now"].startswith("0") or "." in requests["now"], f"no requests: {requests}")
  check(any(re.match(r"4xx [1-9]|4xx 0\.", entry) for entry in requests["legend"]), f"no 404s: {requests}")
  latency = next(plot for plot in plots if plot["title"] == "Latency")
  check(re.search(r"\d [µm]?s median$", latency["now"]), f"no latency: {latency}")
  hidden = page.value('document.getElementById("note").hidden')
  check(hidden == user_threads, "the note on kernel threads is out of place")
  rows = page.value('document.querySelectorAll("#numbers tr").length')
  check(rows > (40 if user_threads else 15), f"the table has {rows} rows")


def check_quiet(page, address):
  check(not page.complaints(), f"complaints: {page.complaints()}")
  others = [url for url in page.requests() if not url.startswith((address, "data:", "about:"))]
  check(not others, f"it asks others: {others}")


def check_policy(page):
  """The page's own policy keeps out what is not its own, should it ever get in."""
  before = len(page.complaints())
  page.value("""
      window.ran = false;
      for (const [name, set] of [["script", (e) => e.textContent = "window.ran = true"],
                                 ["style", (e) => e.textContent = "body { display: none }"]]) {
        const added = document.createElement(name);
        set(added);
        document.head.append(added);
      }
      fetch("http://127.0.0.1:1/").catch(() => {});
      true""")
  check(page.value("window.ran") is False, "a script that is not the page's ran")
  check(page.value('getComputedStyle(document.body).display !== "none"'), "a style that is not the page's counts")
  deadline = time.monotonic() + GUARD_SECONDS
  while len(page.complaints()) < before + 3:
    check(time.monotonic() < deadline, f"not all was refused: {page.complaints()[before:]}")
    page.value("0")
  refused = json.dumps(page.complaints()[before:])
  check(all(name in refused for name in ("script-src", "style-src", "connect-src")), refused)


def check_keys(page):
  page.value('document.querySelector("svg").focus()')
  check(page.value('document.querySelector("svg").matches(":focus")'), "a plot cannot be focused")
  cursors = '[...document.querySelectorAll(".cursor")].filter((line) => line.getAttribute("visibility") === "visible").length'
  check(page.value(cursors) == 0, "there is a cursor already")
  page.key("Home")
  page.wait(f"{cursors} > 0", "Home shows the cursor")
  first = page.value('document.querySelector("svg").getAttribute("aria-valuenow")')
  check(first == "0", f"Home goes to {first}")
  page.key("ArrowRight")
  page.wait('document.querySelector("svg").getAttribute("aria-valuenow") === "1"', "the arrow goes to the next")
  spoken = page.value('document.querySelector("svg").getAttribute("aria-valuetext")')
  check(re.match(r"\d.*: 2xx ", spoken), f"it says: {spoken}")
  page.key("Escape")
  page.wait(f"{cursors} === 0", "Escape takes the cursor away")
  page.value("document.activeElement.blur()")


def check_sizes(page, pictures):
  """Neither a phone nor a wide screen has anything beyond its edge."""
  for width, height, name in ((360, 740, "phone"), (1600, 1000, "wide"), (1000, 800, "middle")):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    page.wait(f"window.innerWidth === {width}", f"{width} pixels")
    page.wait("document.documentElement.scrollWidth <= document.documentElement.clientWidth",
              f"nothing beyond the edge of {width} pixels")
    time.sleep(0.2 if pictures else 0)
    page.picture(pictures, name)
  page.call("Emulation.clearDeviceMetricsOverride")


def check_schemes(page, pictures):
  grounds = set()
  for scheme in ("light", "dark"):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    grounds.add(page.value("getComputedStyle(document.body).backgroundColor"))
    page.picture(pictures, scheme)
  check(len(grounds) == 2, f"light and dark are alike: {grounds}")


ASKED = 'performance.getEntriesByType("resource").length'


def check_rest(page):
  """Hidden, and paused, it asks nothing; then it goes on."""
  hide = """
      Object.defineProperty(document, "hidden", {configurable: true, get: () => HIDDEN});
      document.dispatchEvent(new Event("visibilitychange"));
      true"""
  press = 'document.getElementById("pause").click(); true'
  for stop, state, resume in ((hide.replace("HIDDEN", "true"), "hidden", hide.replace("HIDDEN", "false")),
                              (press, "paused", press)):
    page.value("performance.clearResourceTimings()")
    page.wait(f"{ASKED} >= 1", "it asks")
    page.value(stop)
    page.wait(f'{STATE} === "{state}"', f"it is {state}")
    time.sleep(0.5)  # an answer may be on its way
    asked = page.value(ASKED)
    time.sleep(2.5)
    check(page.value(ASKED) == asked, f"it asks while it is {state}")
    page.value(resume)
    page.wait(f"{LIVE} && {ASKED} > {asked}", f"it goes on after it was {state}")


def check_gone(page, server, restart, pictures):
  server.end()
  page.wait(f'{STATE} === "gone"', "it says that the server has gone")
  check("server gone since" in page.text(), page.text())
  check(page.value("document.title").startswith("Server gone"), "the title does not say it")
  page.picture(pictures, "gone")
  server = restart()
  page.wait(LIVE, "it sees that the server is back")
  check("gone" not in page.value("document.title"), "the title still says it")
  points = page.value(POINTS)
  visitor = Visitor(server.port)
  page.wait(f"{POINTS} > {points} + 1", "plots go on")
  visitor.stopped.set()
  return server


def run(arguments, directory):
  root = os.path.join(directory, "root")
  os.mkdir(root)
  with open(os.path.join(root, "file"), "w", encoding="utf-8") as file:
    file.write("x" * 3000)
  user_threads = not arguments.knot.endswith("-kernel-threads")
  with contextlib.ExitStack() as stack:
    servers = [Knot(arguments.knot, root)]
    stack.callback(lambda: servers[-1].end())
    visitor = Visitor(servers[0].port)
    browser = Chromium(os.path.join(directory, "profile"))
    stack.callback(browser.end)
    address = f"http://127.0.0.1:{servers[0].admin_port}/"
    page = Page(browser, address)

    def restart():
      servers.append(Knot(arguments.knot, root, servers[0].admin_port))
      return servers[-1]

    check_plots(page, user_threads)
    check_keys(page)
    check_sizes(page, arguments.pictures)
    check_schemes(page, arguments.pictures)
    check_rest(page)
    check_quiet(page, address)
    check_gone(page, servers[0], restart, arguments.pictures)
    visitor.stopped.set()
    exceptions = [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]
    check(not exceptions, f"thrown: {exceptions}")
    check_policy(page)


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
  parser.add_argument("knot")
  parser.add_argument("--pictures")
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
    try:
      run(arguments, directory)
    except Failure as failure:
      print(f"FAILED: {failure}", file=sys.stderr)
      return 1
  print("the page shows what happens")
  return 0


if __name__ == "__main__":
  sys.exit(main())
