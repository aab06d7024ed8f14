"""What a run is to measure and how much of it: the options of the command, and what follows from them."""

import dataclasses

import servers

TUNING_FIGURES = ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6")
# `tuning` is the matrices of all families, also of those that the paper has no figure of.
FIGURES = TUNING_FIGURES + ("tuning", "fig7", "fig8", "table1", "scaling", "memory")


@dataclasses.dataclass(frozen=True)
class Settings:
  """Whatever changes what a point means is in `recorded`, so that points of different runs are not mixed."""
  quick: bool = False
  directories: int = 680
  warmup: float = 3.0
  duration: float = 10.0
  timeout: float = 15.0  # of a client, for each request
  rounds: int = 3
  fractions: tuple = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # of the capacity
  tuning_warmup: float = 0.0  # 0: as in the comparison
  tuning_duration: float = 0.0  # 0: likewise
  whole_matrices: bool = True  # else one parameter at a time, from the default
  fine: tuple = (servers.CONNECTIONS, servers.WORKERS, servers.CACHE)  # tuned again half-way to the neighbours
  lines: int = 5  # in a tuning figure
  line_fractions: tuple = ()  # of the lines that are not in the comparison; (): as there
  connections: tuple = (5000, 15000)  # tuned over these; of servers that may hold more, also twice the last
  target_connections: int = 8000  # open at the capacity, on the mean
  scaling: tuple = (100, 1000, 5000, 15000, 30000)
  held: int = 10000  # for the idle memory of a connection
  settle: float = 1.0
  regimes: tuple = servers.REGIMES
  off_scale: float = 0.0  # 0: by calibration
  server_share: float = 0.0  # of a processor; 0: by calibration
  table_rate: float = 0.0  # 0: below the capacity of the slowest that passes
  pressure_mb: int = 0  # 0: a share of the file set
  samples_hz: int = 1999
  server_cpu: int = 0
  generator_cpu: int = 1
  port: int = 0  # 0: a free one for each point
  pause: float = 0.5  # between points, for what is left of the last one

  def recorded(self):
    values = dataclasses.asdict(self)
    # These change nothing that is measured.
    for name in ("port", "pause", "regimes"):
      del values[name]
    return values

  def run_flags(self, point):
    """The flags of `workload run` for a point."""
    return {"rate": float(point.rate), "warmup": float(point.warmup), "duration": float(point.duration),
            "off_scale": float(point.off_scale), "timeout": float(self.timeout), "directories": self.directories,
            "seed": 1 + point.round}


QUICK = Settings(quick=True, directories=40, warmup=0.4, duration=0.8, timeout=3.0, rounds=1, fractions=(0.5, 1.5),
                 connections=(500, 2000), target_connections=600, scaling=(100, 1000),
                 held=500, settle=0.1, pause=0.0)



def overhead(settings, fraction, regime):
  """Seconds of a point beside its warm-up and measured window: start and stop, replies still to come after the window,
  and the files that are brought into memory."""
  drain = 0.3 if fraction < 1 else 0.8 if fraction < 1.2 else min(2.5, settings.timeout / 4)
  files = settings.directories / 680
  return settings.pause + 0.3 + drain + ((0.5 * drain + 1.2 * files) if regime == servers.PRESSURE else 0.2 * files)
