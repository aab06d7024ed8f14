#include "runtime/environment.h"

#include <signal.h>

#include <cstdlib>

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

constexpr const char* kSwitch[] = {"off", "on"};

template <bool RunOptions::*field>
bool ReadSwitch(const char* value, Options*, RunOptions* run) {
  return ReadWord(value, kSwitch, &(run->*field));
}

bool ReadOtherwise(const char* value, Options*, RunOptions* run) {
  static constexpr const char* kWords[] = {"threads", "refuse"};
  return ReadWord(value, kWords, &run->refuse);
}

bool ReadSchedulers(const char* value, Options* options, RunOptions*) {
  return ReadNumber(value, kMaxSchedulers, &options->schedulers);
}

bool ReadWorkers(const char* value, Options* options, RunOptions*) {
  return ReadNumber(value, kMaxWorkers, &options->workers);
}

bool ReadPoller(const char* value, Options* options, RunOptions*) {
  static constexpr const char* kWords[] = {"epoll", "poll"};
  return ReadWord(value, kWords, &options->poller);
}

bool ReadSendfile(const char* value, Options* options, RunOptions*) {
  static constexpr const char* kWords[] = {"inline", "poll", "nonblocking", "blocking"};
  return ReadWord(value, kWords, &options->sendfile);
}

bool ReadAccept(const char* value, Options* options, RunOptions*) {
  static constexpr const char* kWords[] = {"favor_connections", "favor_accepts"};
  return ReadWord(value, kWords, &options->accept);
}

bool ReadQuantum(const char* value, Options* options, RunOptions*) {
  return ReadNumberOrOff(value, kMaxQuantumMs, &options->quantum_ms);
}

bool ReadStackCap(const char* value, Options*, RunOptions* run) {
  int kib = 0;
  if (!ReadNumberOrOff(value, kMaxStackCapKib, &kib)) return false;
  run->stack_cap = static_cast<size_t>(kib) * 1024;
  return true;
}

bool ReadDumpSignal(const char* value, Options*, RunOptions* run) {
  return ReadSignal(value, &run->dump_signal);
}

constexpr const char kOnOrOff[] = "on or off";

constexpr OptionVariable kVariables[] = {
    // First: it says what is done where another is bad.
    {"BOBBIN_OTHERWISE", "threads or refuse", &ReadOtherwise},
    {"BOBBIN_SCHEDULERS", "a number from 1 to 64, or auto", &ReadSchedulers},
    {"BOBBIN_WORKERS", "a number from 1 to 256, or auto", &ReadWorkers},
    {"BOBBIN_POLLER", "epoll or poll", &ReadPoller},
    {"BOBBIN_SENDFILE", "inline, poll, nonblocking or blocking", &ReadSendfile},
    {"BOBBIN_ACCEPT", "favor_connections or favor_accepts", &ReadAccept},
    {"BOBBIN_QUANTUM", "milliseconds from 1 to 1000, or off", &ReadQuantum},
    {"BOBBIN_DISPATCH", kOnOrOff, &ReadSwitch<&RunOptions::dispatch>},
    {"BOBBIN_STATS", kOnOrOff, &ReadSwitch<&RunOptions::statistics>},
    {"BOBBIN_AUDIT", kOnOrOff, &ReadSwitch<&RunOptions::audit>},
    {"BOBBIN_STRICT", kOnOrOff, &ReadSwitch<&RunOptions::strict>},
    {"BOBBIN_CHILDREN", kOnOrOff, &ReadSwitch<&RunOptions::children>},
    {"BOBBIN_STACK_CAP", "KiB from 1 to 1048576, or off", &ReadStackCap},
    {"BOBBIN_DUMP_SIGNAL", "the name or number of a signal that can be spared, or off",
     &ReadDumpSignal},
};
static_assert(kMaxSchedulers == 64 && kMaxWorkers == 256 && kMaxQuantumMs == 1000 &&
                  kMaxStackCapKib == 1048576,
              "the words above say so");

}  // namespace

const OptionVariable* FindOptionVariable(const char* name) {
  for (const OptionVariable& one : kVariables) {
    if (Same(name, one.name)) return &one;
  }
  return nullptr;
}

const char* OptionsFromEnvironment(Options* options, RunOptions* run) {
  for (const OptionVariable& one : kVariables) {
    const char* value = getenv(one.name);
    if (value != nullptr && !one.read(value, options, run)) return one.name;
  }
  return nullptr;
}

}  // namespace bobbin
