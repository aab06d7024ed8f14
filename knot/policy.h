// The rules that decide whether a request is served: limits of clients, passwords, origins.
//
// A server without such rules has no Policy, and asks it nothing.
#ifndef KNOT_POLICY_H_
#define KNOT_POLICY_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "knot/access_log.h"
#include "knot/basic_auth.h"
#include "knot/client_limits.h"
#include "knot/cors.h"
#include "knot/options_policy.h"
#include "knot/request.h"
#include "knot/site.h"

namespace knot {

// One for all threads of a process, so that what a client may do is counted in one place. Callers:
// any thread.
class Policy {
 public:
  // Makes the rules that take the place of those of `before`, or null: where the limits of clients
  // are the same, they are counted on.
  //
  // Returns: null where the options ask for no rules.
  // Errors: one line. InvalidArgument a file of passwords is wrong, or lies below the directory of
  // one of `sites`, where it would be served.
  static absl::StatusOr<std::unique_ptr<Policy>> Make(const PolicyOptions& options,
                                                      const Sites& sites, const Policy* before);

  // Starts the thread that checks passwords, where some are asked for. Requires: called once,
  // before Judge. Errors: ResourceExhausted no thread could be made.
  absl::Status Start();

  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // What becomes of a request.
  struct Ruling {
    int status = 0;      // 0: it goes on; else the status of the reply
    std::string fields;  // of that reply, lines with their CRLF
    bool asked = false;  // a name and a password were asked for
  };

  // Rules on a request by whom it comes from: 429 where that is one too many. Never blocks for
  // long.
  Ruling Admit(const PeerAddress& peer);

  // Rules on a request for `path`, decoded and relative to the root: 204 with what a preflight
  // asks; 401 and 503 by --auth. Where there is --auth a path that is not plain is 404, so that
  // none is reached by another name. Blocks: while a password is checked.
  Ruling Judge(const Request& request, absl::string_view path);

  // Returns: the line, with its CRLF, that replies to this request carry for its origin's sake, or
  // none. Valid as long as this object.
  absl::string_view OriginField(const Request& request) const;

  // Returns: the name the request gives, right or not, for the log; or none.
  std::string UserOf(const Request& request) const;

  // Tells whether Admit or a Place needs to know whom a connection comes from.
  bool NeedsPeers() const { return limits_ != nullptr; }

  // A connection's place among those of its client, for a scope. It may outlive the Policy.
  class Place {
   public:
    // `policy` may be null.
    Place(Policy* policy, const PeerAddress& peer) {
      if (policy != nullptr && policy->limits_ != nullptr) Take(policy->limits_, peer);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      if (limits_ != nullptr) limits_->Leave(key_);
    }

    // Tells whether it is given, or the client has as many as it may.
    bool given() const { return given_; }

   private:
    void Take(const std::shared_ptr<ClientLimits>& limits, const PeerAddress& peer);

    std::shared_ptr<ClientLimits> limits_;  // null: not counted
    ClientKey key_;
    bool given_ = true;
  };

 private:
  Policy() = default;

  std::shared_ptr<ClientLimits> limits_;  // null: off, as the next two
  std::unique_ptr<Cors> cors_;
  std::unique_ptr<BasicAuth> auth_;
};

}  // namespace knot

#endif  // KNOT_POLICY_H_
