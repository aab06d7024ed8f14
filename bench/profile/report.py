"""Prints a result of profile.py as tables."""

import symbol_table

SHOWN = 10  # functions a row


def write(result, out, symbols=False):
  if result["error"]:
    print(f"profile: {result['error']}", file=out)
  for note in result["notes"]:
    print(f"profile: {note}", file=out)
  if result["categories"]:
    write_rows(result, out, symbols)
    write_parts(result, out)
  write_rates(result, out)
  write_accounting(result, out)


def write_rows(result, out, symbols):
  rows = result["categories"]
  lost = f", {result['lost']:,} lost" if result["lost"] else ""
  print(f"\n{'share of CPU, %':36} ({result['samples']:,} samples{lost}, {result['seconds']:.1f} s)", file=out)
  for group in symbol_table.GROUPS:
    members = [(key, title) for key, owner, title in symbol_table.ROWS if owner == group]
    print(f"{group:26} {sum(rows[key] for key, _ in members):9.2f}", file=out)
    for key, title in members:
      if title:
        print(f"  {title:24} {rows[key]:9.2f}", file=out)
      if key == "user.thread_overhead":
        for half, share in result["thread_overhead"].items():
          print(f"      {share:6.2f}  {half}", file=out)
      if symbols:
        for symbol, file, share in result["functions"][key][:SHOWN]:
          print(f"      {share:6.2f}  {symbol}" + ("" if file == "kernel" else f"  ({file})"), file=out)


def write_parts(result, out):
  parts = result["subcategories"]
  if not any(parts.values()):
    return
  print("\nthread overhead is", file=out)
  for half, members in symbol_table.HALVES.items():
    print(f"  {half:40} {result['thread_overhead'][half]:9.2f}", file=out)
    for part in members:
      if parts[part]:
        print(f"    {part:38} {parts[part]:9.2f}", file=out)


def write_rates(result, out):
  print(f"\n{'file system cache, KiB':36} {result['file_cache_kib']:12,}", file=out)
  print(f"{'context switches/s (kernel)':36} {result['kernel_switches_per_s']:12,.0f}   "
        f"({result['kernel_switches_voluntary_per_s']:,.0f} to wait, "
        f"{result['kernel_switches_involuntary_per_s']:,.0f} taken away)", file=out)
  print(f"{'context switches/s (user)':36} {result['user_switches_per_s']:12,.0f}", file=out)


def write_accounting(result, out):
  own, sampled, difference = (result[key] for key in ("accounting", "accounting_samples", "accounting_difference"))
  if own is None:
    return
  beyond = result["accounting_beyond"]
  heads = f"{'accounting':>10} {'samples':>10} {'difference':>11}" + (f" {'beyond':>8}" if beyond else "")
  print(f"\n{'share of the CPU of schedulers, %':36} {heads}", file=out)
  for share in symbol_table.SHARES:
    line = f"  {share:34} {own[share]:10.2f}"
    if difference:
      line += f" {sampled[share]:10.2f} {difference[share]:+11.2f}"
    if beyond:
      line += f" {beyond[share]:+8.2f}"
    print(line, file=out)
  if beyond:
    print(f"  {'CPU time that no sample stands for':34} {'':10} {result['unsampled']:10.2f}", file=out)
