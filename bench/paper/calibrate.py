"""Finds what the machine can do, so that the rates of the figures mean the same on any machine.

The capacity is the reply rate of one reference server at overload. The off-times of the sessions are scaled so that the
mean number of open connections at that rate is as wanted: a processor of today serves several times what the paper's
did, and with the paper's off-times would need more connections than a process may have descriptors.
"""

import dataclasses
import math

import experiments
import groups

REFERENCES = ("userver-nb", "userver-epoll-nb", "knot-auto", "knot-nb", "nginx")  # the first that passed its check
FIRST_RATE = 2000.0
FIRST_SCALE = 0.02
SECONDS = 2.0
QUICK_SECONDS = 0.8
STEPS = 10
KEPT_UP = 0.9  # of the offered rate: less is overload, unless there were too few sessions to say
REQUESTS_A_SESSION = 10  # in the mean
FULL = 0.97  # of a processor
CALM = 0.85  # of the generator's processor: what it may need at the highest rate
LEAST_SHARE = 0.2


def reference(running):
  names = {family.name: family for family in running}
  for name in REFERENCES:
    if name in names:
      return names[name]
  return running[0] if running else None


def calibrate(plan, regime, run):
  """Returns the result of a calibration. `run` measures a point as a run of the load does.

  Where the load's processor would be full before the servers' own at the highest rate of the figures, the servers get a
  share of theirs; else overload would be out of reach, and every good server as good as the load.
  """
  family = reference(plan.running(regime))
  seconds = QUICK_SECONDS if plan.settings.quick else SECONDS
  point = experiments.Point("calibration", plan.default(family), regime, FIRST_RATE, 0, FIRST_SCALE,
                            warmup=seconds / 2, duration=seconds)
  other = other_regime(plan, regime)
  if other:
    # The same share, for what differs between the regimes is to be the memory.
    point = dataclasses.replace(point, rate=0.4 * other.capacity, off_scale=other.off_scale, share=other.share)
  steps = climb(point, plan.settings, run)
  share = point.share if other else plan.settings.server_share or server_share(steps, max(plan.settings.fractions))
  if share < 1 and not other:
    # From half of what is to be expected, with sessions as they were then.
    point = dataclasses.replace(point, share=share, off_scale=off_scale(steps, plan.settings.target_connections),
                                rate=0.5 * share * max(step["reply_rate"] for step in steps))
    steps = climb(point, plan.settings, run)
  top = max(step["reply_rate"] for step in steps)
  return {"reference": point.configuration.name, "capacity": top, "share": share, "steps": steps,
          "off_scale": off_scale(steps, plan.settings.target_connections),
          "generator_bound": max(step["generator_busy"] for step in steps) > FULL,
          "saturated": not kept_up(steps[-1])}


def other_regime(plan, regime):
  """The calibration of a regime that was calibrated before, or None."""
  for other in plan.settings.regimes:
    if other != regime and plan.store.is_done(experiments.calibration_key(other)):
      return plan.calibration(other)
  return None


def climb(point, settings, run):
  """Runs at higher and higher rates until two in a row are more than the server, or the generator, can do."""
  steps = []
  for _ in range(STEPS):
    steps.append(step(point, run(point)))
    if len(steps) > 1 and not any(kept_up(s) and s["generator_busy"] <= FULL for s in steps[-2:]):
      break
    if kept_up(steps[-1]):
      point = dataclasses.replace(point, rate=next_rate(steps[-1], point.share),
                                  off_scale=off_scale(steps, settings.target_connections))
  return steps


def kept_up(last):
  """Sessions arrive as a Poisson process: of the few in a short window at a low rate there may well be a tenth less."""
  sessions = last["rate"] * last["seconds"] / REQUESTS_A_SESSION
  return last["reply_rate"] >= min(KEPT_UP, 1 - 3 / math.sqrt(sessions)) * last["rate"]


def server_share(steps, most):
  """The share of a processor at which a server that needs no more CPU time than the reference is overloaded at `most`
  times its capacity while the generator's processor is not full."""
  last = max(steps, key=lambda s: s["reply_rate"])
  if not last["generator_busy"] or not last["server_busy"]:
    return 1.0
  share = CALM / most * last["server_busy"] / last["generator_busy"]
  if share >= 1:
    return 1.0
  share = max(LEAST_SHARE, round(share, 2))
  try:
    groups.Limits(groups.processor_share(share))
  except groups.GroupError:
    return 1.0  # then the report says where the generator was the limit
  return share


def step(point, result):
  return {"rate": point.rate, "seconds": point.duration, "off_scale": point.off_scale,
          "reply_rate": result["reply_rate"], "connections": result["connections_mean"],
          "server_busy": result["server_busy"], "generator_busy": result["generator_busy"] or 0.0}


def next_rate(last, share):
  """What would need a third more than there is of the servers' share or of the generator's processor, by what the last
  step needed: but not more than four times its rate, for at low rates a request costs more."""
  busy = max((last["server_busy"] or 0) / share, last["generator_busy"], 0.05)
  return last["rate"] * min(4.0, max(1.5, 1.33 / busy))


def off_scale(steps, target):
  """The scale at which the mean number of open connections at the highest reply rate is the target.

  Without overload that number is in proportion to the rate and to the scale, as long as sessions last much longer than
  replies take.
  """
  calm = [s for s in steps if kept_up(s) and s["connections"]] or steps[:1]
  last = calm[-1]
  each = last["connections"] / (last["rate"] * last["off_scale"])
  top = max(s["reply_rate"] for s in steps)
  if not each or not top:
    return FIRST_SCALE
  return min(1.0, float(f"{target / (top * each):.2g}"))
