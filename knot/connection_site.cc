// The replies of a Connection to paths that are not simply files. None is on the path of a request
// for one, and none of their frames may be (C1).

#include <string>

#include "absl/strings/str_cat.h"
#include "knot/clock.h"
#include "knot/connection.h"
#include "knot/listing.h"
#include "knot/path.h"

namespace knot {

// Whoever watches the server asks often, and its requests are not what the server is for: they are
// neither logged nor counted with the others.
[[gnu::noinline]] Connection::Next Connection::AnswerHealth(const Request& request, bool keep) {
  if (request.method == Method::kOptions) return ReplyStatus(request, 204, keep, kAllow);
  bool stopping = group_.stopping.load(std::memory_order_relaxed) &&
                  !group_.left.load(std::memory_order_relaxed);
  Sent sent = SendMade(stream_, stopping ? 503 : 200,
                       absl::StrCat("Content-Type: text/plain; charset=utf-8\r\n"
                                    "Cache-Control: no-store\r\n",
                                    group_.fields),
                       stopping ? "stopping\n" : "ok\n", request.method == Method::kHead,
                       PersistenceOf(request, keep));
  group_.counters.health.Add();
  return sent.whole && keep ? Next::kWait : Next::kClose;
}

[[gnu::noinline]] Connection::Next Connection::AnswerNoFile(const Request& request,
                                                            const Target& target,
                                                            const Lookup& found, bool keep) {
  const SiteRules& rules = site_->rules;
  if (found.status == 301) return ReplyStatus(request, 301, keep, LocationField(target));
  if (found.directory && rules.listing) return AnswerListing(request, target, keep);
  if (found.status == 404 && !rules.spa.empty() && !HasExtension(target.path)) {
    Lookup page =
        group_.files.Get(rules.spa, SecondsNow(),
                         request.accepts_codings ? &request.codings : nullptr, site_->number);
    if (page.status == 200) return AnswerFile(request, *page.file, keep);
  }
  return ReplyStatus(request, found.status, keep && found.status < 500);
}

[[gnu::noinline]] Connection::Next Connection::AnswerListing(const Request& request,
                                                             const Target& target, bool keep) {
  if (request.method == Method::kOptions) return ReplyStatus(request, 204, keep, kAllow);
  bool json = PrefersJson(request.accept);
  std::string text;
  int status;
  {
    std::lock_guard<std::mutex> turn(group_.listings.turn);
    status = ListDirectory(site_->root, target.path, site_->rules.dotfiles,
                           json ? ListingForm::kJson : ListingForm::kHtml, &text);
  }
  if (status != 200) return ReplyStatus(request, status, keep && status < 500);
  const size_t held = text.capacity();
  if (!group_.listings.Hold(held)) return ReplyStatus(request, 503, false);
  absl::string_view type =
      json ? "Content-Type: application/json\r\n" : "Content-Type: text/html; charset=utf-8\r\n";
  Sent sent = SendMade(stream_, 200,
                       absl::StrCat(type, "Vary: Accept\r\n", group_.fields, OriginField(request)),
                       text, request.method == Method::kHead, PersistenceOf(request, keep));
  group_.listings.Release(held);
  return Finish(request, 200, sent, keep);
}

// Sends the page the site has for a status. Returns: false where it has none, or cannot open it.
bool Connection::SendOwnErrorPage(int status, bool head_only, Persistence persistence,
                                  absl::string_view field, Sent* sent) {
  const SiteRules& rules = site_->rules;
  if (rules.error_pages.empty()) return false;
  auto path = rules.error_pages.find(status);
  if (path == rules.error_pages.end()) return false;
  Lookup page = group_.files.Get(path->second, SecondsNow(), nullptr, site_->number);
  if (page.status != 200) return false;
  *sent = SendErrorPage(stream_, status, *page.file, head_only, persistence, field);
  return true;
}

}  // namespace knot
