// Lets pages of other origins read what is served.
//
// A browser shows a page what another origin answered only if the reply names the page's origin.
// Before a request that a form could not make it asks first, by a preflight: OPTIONS with Origin
// and Access-Control-Request-Method, which is answered without a look at the files.
//
// Source: the Fetch standard, 3.2 (CORS protocol); RFC 6454, 6.2 (how an origin is written).
// Differs: no credentials: cookies and the browser's own passwords do not go with such requests.
#ifndef KNOT_CORS_H_
#define KNOT_CORS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

// Immutable.
class Cors {
 public:
  // `origins` is "*" or a list, separated by commas, of scheme://host[:port] as browsers write it.
  // `headers`, empty or a list of names or "*", are the fields a request may have that need asking.
  // A browser keeps the answer for `max_age` seconds.
  // Errors: InvalidArgument, with a message for people.
  static absl::StatusOr<Cors> Parse(absl::string_view origins, absl::string_view headers,
                                    int max_age);

  // Returns: the lines, with their CRLF, of every reply: that all may read it, or that the reply is
  // another for each origin.
  absl::string_view Every() const;

  // Returns: the line, with its CRLF, that lets `origin` in particular read the reply; empty where
  // every reply has it, or none may. Valid as long as this object.
  absl::string_view FieldOf(absl::string_view origin) const;

  // Returns: the lines that answer a preflight, those of Every() and FieldOf() apart; empty where
  // the origin is not allowed.
  absl::string_view PreflightFields(absl::string_view origin) const;

 private:
  struct Origin {
    std::string text;
    std::string line;
  };

  bool any_ = false;
  std::vector<Origin> origins_;
  std::string preflight_;
};

}  // namespace knot

#endif  // KNOT_CORS_H_
