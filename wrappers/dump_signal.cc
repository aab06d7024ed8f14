#include "wrappers/dump_signal.h"

#include "runtime/report_descriptor.h"
#include "wrappers/signal_delivery.h"

namespace bobbin {

namespace {

std::atomic<bool> delayed{false};

}  // namespace

void StartDumpSignal() {
  int signal = runtime().run.dump_signal;
  if (signal == 0) return;
  OpenReportDescriptor();
  CatchAlways(signal);
}

bool DumpOnSignal(Scheduler* scheduler, int signal, const siginfo_t& info) {
  if (signal == 0 || signal != runtime().run.dump_signal) return false;
  // Handed on to the user thread it is for, it has been here; but not if a user thread sent it.
  bool again =
      scheduler != nullptr && (scheduler->current()->redelivered_signals & SignalBit(signal)) != 0;
  bool inside = info.si_code == SI_TKILL && info.si_pid == runtime().pid;
  if (again && !inside) return true;
  if (scheduler != nullptr && scheduler->in_runtime()) {
    // What was interrupted may hold the lock of the thread table.
    delayed.store(true, std::memory_order_relaxed);
    scheduler->RequestAttention();
  } else {
    DumpThreads(ReportDescriptor());
  }
  return true;
}

void WriteDelayedDump() {
  if (__builtin_expect(delayed.load(std::memory_order_relaxed), 0) && delayed.exchange(false))
    DumpThreads(ReportDescriptor());
}

}  // namespace bobbin
