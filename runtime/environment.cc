#include "runtime/environment.h"

#include <signal.h>

#include <cstdlib>

#include "runtime/runtime.h"

namespace bobbin {

namespace {

bool Same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

// Reads a whole decimal number or, as 0, the word "auto". Returns: false when it is neither or out
// of [0, most].
bool ReadNumber(const char* text, int most, int* out) {
  if (Same(text, "auto")) {
    *out = 0;
    return true;
  }
  int value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (*text - '0');
    if (value > most) return false;
  }
  *out = value;
  return true;
}

constexpr int kMaxStackCapKib = 1 << 20;

// As ReadNumber, without "auto"; the word "off" is 0.
bool ReadNumberOrOff(const char* text, int most, int* out) {
  if (Same(text, "off")) {
    *out = 0;
    return true;
  }
  return !Same(text, "auto") && ReadNumber(text, most, out);
}

// Reads a signal's number, its name with or without SIG, or "off".
bool ReadSignal(const char* text, int* out) {
  static constexpr struct {
    const char* name;
    int signal;
  } kNames[] = {{"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT},   {"USR1", SIGUSR1},
                {"USR2", SIGUSR2}, {"ALRM", SIGALRM},     {"TERM", SIGTERM},   {"CHLD", SIGCHLD},
                {"CONT", SIGCONT}, {"URG", SIGURG},       {"WINCH", SIGWINCH}, {"IO", SIGIO},
                {"PWR", SIGPWR},   {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}};
  if (ReadNumberOrOff(text, 64, out)) {
    // Neither may be caught, or they are libc's and ours.
    return *out != SIGKILL && *out != SIGSTOP && *out != SIGSYS && *out != SIGSEGV &&
           *out != SIGBUS && *out != 32 && *out != 33;
  }
  if (text[0] == 'S' && text[1] == 'I' && text[2] == 'G') text += 3;
  for (const auto& one : kNames) {
    if (!Same(text, one.name)) continue;
    *out = one.signal;
    return true;
  }
  return false;
}

template <typename T, size_t n>
bool ReadWord(const char* text, const char* const (&words)[n], T* out) {
  for (size_t i = 0; i < n; ++i) {
    if (Same(text, words[i])) {
      *out = static_cast<T>(i);
      return true;
    }
  }
  return false;
}

}  // namespace

const char* OptionsFromEnvironment(Options* options, RunOptions* run) {
  static constexpr const char* kPollers[] = {"epoll", "poll"};
  static constexpr const char* kSendfile[] = {"inline", "poll", "nonblocking", "blocking"};
  static constexpr const char* kAccept[] = {"favor_connections", "favor_accepts"};
  const char* text;
  if ((text = getenv("BOBBIN_SCHEDULERS")) &&
      !ReadNumber(text, kMaxSchedulers, &options->schedulers)) {
    return "BOBBIN_SCHEDULERS";
  }
  if ((text = getenv("BOBBIN_WORKERS")) && !ReadNumber(text, kMaxWorkers, &options->workers))
    return "BOBBIN_WORKERS";
  if ((text = getenv("BOBBIN_POLLER")) && !ReadWord(text, kPollers, &options->poller))
    return "BOBBIN_POLLER";
  if ((text = getenv("BOBBIN_SENDFILE")) && !ReadWord(text, kSendfile, &options->sendfile))
    return "BOBBIN_SENDFILE";
  if ((text = getenv("BOBBIN_ACCEPT")) && !ReadWord(text, kAccept, &options->accept))
    return "BOBBIN_ACCEPT";
  if ((text = getenv("BOBBIN_QUANTUM")) &&
      !ReadNumberOrOff(text, kMaxQuantumMs, &options->quantum_ms))
    return "BOBBIN_QUANTUM";
  static constexpr const char* kSwitch[] = {"off", "on"};
  const struct {
    const char* name;
    bool* value;
  } switches[] = {{"BOBBIN_DISPATCH", &run->dispatch},
                  {"BOBBIN_STATS", &run->statistics},
                  {"BOBBIN_AUDIT", &run->audit},
                  {"BOBBIN_STRICT", &run->strict},
                  {"BOBBIN_CHILDREN", &run->children}};
  for (const auto& one : switches) {
    if ((text = getenv(one.name)) && !ReadWord(text, kSwitch, one.value)) return one.name;
  }
  static constexpr const char* kOtherwise[] = {"threads", "refuse"};
  if ((text = getenv("BOBBIN_OTHERWISE")) && !ReadWord(text, kOtherwise, &run->refuse))
    return "BOBBIN_OTHERWISE";
  int kib = 0;
  if ((text = getenv("BOBBIN_STACK_CAP")) && !ReadNumberOrOff(text, kMaxStackCapKib, &kib))
    return "BOBBIN_STACK_CAP";
  run->stack_cap = static_cast<size_t>(kib) * 1024;
  if ((text = getenv("BOBBIN_DUMP_SIGNAL")) && !ReadSignal(text, &run->dump_signal))
    return "BOBBIN_DUMP_SIGNAL";
  return nullptr;
}

}  // namespace bobbin
