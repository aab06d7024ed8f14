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

const char* OptionsFromEnvironment(Options* options) {
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
  return nullptr;
}

}  // namespace bobbin
