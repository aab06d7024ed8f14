// Tells systemd, or who speaks its protocol, how this service fares.
//
// Datagrams of lines NAME=VALUE go to the unix socket that NOTIFY_SOCKET names; without it nothing
// does. Nobody being there is no error: what is told changes nothing here.
// Source: sd_notify(3), sd_watchdog_enabled(3).
#ifndef KNOT_SERVICE_MANAGER_H_
#define KNOT_SERVICE_MANAGER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace knot {

// Callers: one thread. Never blocks.
class ServiceManager {
 public:
  // Finds it in the environment, which stays as it is, for a successor. Says nothing unless
  // `speaks`: of several processes one does.
  explicit ServiceManager(bool speaks);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Says that this process, the service's main one, serves; at the start, and after Reloading().
  void Ready();
  void Reloading();
  void Stopping();
  // Says that another process is the service's main one from now on.
  void Replaced(pid_t successor);

  // Returns: after how long WatchdogPassed() is to be called at the latest, in milliseconds, half
  // of what the manager waits for; -1: never.
  int WatchdogMs() const { return watchdog_ms_; }

  // Says that the service lives, where half of the time is over since it was last said.
  void WatchdogPassed();

 private:
  void Send(absl::string_view lines) const;

  int socket_ = -1;
  std::string address_;  // of the manager; one that begins with NUL has no file
  int watchdog_ms_ = -1;
  int64_t said_ms_ = 0;
};

// A file with the id of this process.
//
//   none --Prepare--> written under a name of its own --Publish--> written --Remove--> none
//
//   P1  Its file is removed only while it names this process: a successor writes its own.
class PidFile {
 public:
  PidFile() = default;
  ~PidFile() { Remove(); }
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  // Writes the file. Errors: those of open(2) and write(2), with the name; AlreadyExists it is that
  // of something else.
  absl::Status Prepare(const std::string& name);

  // Gives it its name, in the place of an earlier one. Errors: those of rename(2), with the name.
  absl::Status Publish();

  void Remove();

 private:
  std::string name_, fresh_;  // the second until it has the first; empty: none
  pid_t pid_ = 0;
};

}  // namespace knot

#endif  // KNOT_SERVICE_MANAGER_H_
