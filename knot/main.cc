// Knot, a web server: one thread a connection, written for plain POSIX threads.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "knot/announcement.h"
#include "knot/confinement.h"
#include "knot/manual.h"
#include "knot/options.h"
#include "knot/orders.h"
#include "knot/privileges.h"
#include "knot/processes.h"
#include "knot/server.h"
#include "knot/service.h"
#include "knot/takeover.h"

namespace {

int Fail(absl::string_view reason) {
  std::fprintf(stderr, "knot: %.*s\n", static_cast<int>(reason.size()), reason.data());
  return knot::kExitCannotServe;
}

void Warn(const knot::Options& options) {
  for (const std::string& warning : options.warnings) knot::Say("warning: " + warning);
}

int TestConfiguration(const knot::Options& options) {
  Warn(options);
  absl::StatusOr<std::string> warning = knot::Server::Check(options);
  if (!warning.ok()) return Fail(warning.status().message());
  if (!warning->empty()) knot::Say("warning: " + *warning);
  std::puts("knot: configuration is good");
  return 0;
}

int Run(knot::Options options, const knot::Invocation& invocation) {
  knot::ForbidNewPrivileges();
  knot::BlockOrderSignals();
  absl::StatusOr<std::shared_ptr<knot::Predecessor>> predecessor =
      knot::Predecessor::Find(options.operate.takeover);
  if (!predecessor.ok()) return Fail(predecessor.status().message());
  options.predecessor = *std::move(predecessor);
  absl::Status prepared =
      knot::PrepareTransport(options.transport, &options.listen, options.predecessor.get());
  if (!prepared.ok()) return knot::RefuseToServe(options, prepared);
  if (options.processes > 1 || knot::IsConfined(options))
    return knot::ServeByProcesses(options, knot::Serve, invocation);
  knot::Part part;
  part.shared = options.predecessor != nullptr;
  return knot::Serve(options, part, knot::Orders::BySignals(), knot::Print, invocation);
}

}  // namespace

int main(int argc, char** argv) {
  const knot::Invocation invocation{argc, argv, knot::ProgramPath()};
  absl::StatusOr<knot::Options> options = knot::ParseCommandLine(argc, argv);
  if (!options.ok()) return Fail(options.status().message());
  switch (options->action) {
    case knot::Options::Action::kHelp:
      std::fputs(knot::HelpText().c_str(), stdout);
      return 0;
    case knot::Options::Action::kVersion:
      std::printf("knot %s\n", KNOT_VERSION);
      return 0;
    case knot::Options::Action::kTestConfig:
      return TestConfiguration(*options);
    case knot::Options::Action::kPrintConfig:
      Warn(*options);
      std::fputs(knot::ConfigText().c_str(), stdout);
      return 0;
    case knot::Options::Action::kPrintManual:
      std::fputs(knot::ManualPage(knot::AllFlags(), KNOT_VERSION).c_str(), stdout);
      return 0;
    case knot::Options::Action::kPrintCompletion:
      std::fputs(knot::Completion(*options->operate.print_completion, knot::AllFlags()).c_str(),
                 stdout);
      return 0;
    case knot::Options::Action::kServe:
      break;
  }
  return Run(*std::move(options), invocation);
}
