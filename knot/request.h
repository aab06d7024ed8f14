// Understands one HTTP/1.x request: its head, the extent of its body, and the file path its target
// names.
//
// Source: RFC 9110, RFC 9112. Differs: stricter wherever two servers might disagree on where a
// request ends; folded fields, repeated Content-Length, a Transfer-Encoding other than "chunked"
// and bare line feeds are refused.
#ifndef KNOT_REQUEST_H_
#define KNOT_REQUEST_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "knot/beast_parser.h"
#include "knot/codings.h"
#include "knot/conditions.h"

namespace knot {

// Most bytes of a body that are read, and thrown away, to get at the request after it.
inline constexpr uint64_t kMaxBodyBytes = 1 << 20;

// The same with the framing of its chunks, extensions and trailers included: enough for chunks of a
// byte each.
inline constexpr uint64_t kMaxBodyReceived = 8 * kMaxBodyBytes;

enum class Method : uint8_t { kGet, kHead, kOptions, kOther, kUnknown };

// The parts of a head that Knot acts upon. The views point into the bytes that were parsed.
struct Request {
  Method method = Method::kUnknown;
  bool http11 = false;
  bool expects_continue = false;  // sends its body when it is told to
  bool closes = false;            // Connection has "close"
  bool keeps = false;             // it has "keep-alive"
  bool content_length_seen = false;
  bool transfer_encoding = false;
  bool preflight = false;  // there is an Access-Control-Request-Method
  uint8_t hosts = 0;
  absl::string_view line;  // the request line without its CRLF
  absl::string_view target;
  absl::string_view host;    // the Host field
  absl::string_view accept;  // of several lines the last
  absl::string_view referer;
  absl::string_view user_agent;
  absl::string_view authorization;
  absl::string_view origin;
  absl::string_view forwarded_for;  // see ClientBehind
  Conditions conditions;
  bool accepts_codings = false;  // there is an Accept-Encoding
  AcceptedCodings codings;
};

// Parses one request. Makes no allocation and no system call.
//
// State    new --ParseHead--> head known --(ParseBody)*--> Done()
class RequestParser final : private boost::beast::http::basic_parser<true> {
 public:
  RequestParser();

  // What ParseHead returns other than an HTTP status that refuses the request.
  static constexpr int kComplete = 0;
  static constexpr int kPartial =
      -1;  // more bytes are needed; parse again from the first byte with a new parser

  // Parses a head from the first byte of `bytes`; `*used` is set to its length.
  // Returns: kComplete, kPartial, or the status of the refusal: 400, 413, 414, 417, 501, 505.
  int ParseHead(absl::string_view bytes, size_t* used);

  // Goes over the next bytes of the body. `*used` is set to the bytes done with; the others must
  // come again. Returns: kComplete (ask Done()), or the status of the refusal: 400, 413.
  int ParseBody(absl::string_view bytes, size_t* used);

  // Tells whether the whole request, body included, was parsed.
  bool Done() const { return is_done(); }

  // Tells whether the client wants the connection kept (RFC 9112, 9.3). Not the parser's own
  // keep_alive(): that lets keep-alive win over close in HTTP/1.0, and takes Proxy-Connection,
  // which a proxy may have passed on without knowing it (appendix C.2.2), for Connection.
  bool KeepAlive() const { return !request_.closes && (request_.http11 || request_.keeps); }

  const Request& request() const { return request_; }

 private:
  using View = boost::beast::string_view;
  using Error = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb verb, View method, View target, int version,
                       Error& error) override;
  void on_field_impl(boost::beast::http::field field, View name, View value, Error& error) override;
  void on_header_impl(Error& error) override;
  void on_response_impl(int, View, int, Error&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, Error&) override {}
  size_t on_body_impl(View body, Error&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t size, View extensions, Error& error) override;
  size_t on_chunk_body_impl(uint64_t, View body, Error&) override { return body.size(); }
  void on_finish_impl(Error&) override {}

  void NoteConnection(absl::string_view value);
  int Refusal(const Error& error) const;
  void NoteForwarded(absl::string_view name, absl::string_view value);

  Request request_;
  absl::string_view bytes_;  // the head being parsed
  int refusal_ = 0;          // set by a callback that refuses the request
  uint64_t body_received_ = 0;
};

// Finds the end of a head, the empty line, at or after `from` in `bytes`. Returns: the length of
// the head, or npos.
size_t FindHeadEnd(absl::string_view bytes, size_t from);

// Tells whether bytes that are not yet a whole head can never become one that is accepted: a bare
// line feed.
bool IsHopelessHead(absl::string_view bytes);

// Tells whether the target is "*": no file, but the server (RFC 9112, 3.2.4).
inline bool IsServer(absl::string_view target) { return target == "*"; }

// What a target names.
struct Target {
  int status = 0;           // 0, or the status of the refusal: 400, 404
  absl::string_view path;   // canonical (knot/path.h); ends in '/' or is empty for a directory
  absl::string_view query;  // as received, with its '?', or empty
  absl::string_view host;   // of an absolute form, without the port; else empty
  bool server = false;      // an absolute form without a path, which for OPTIONS is "*"
  bool hidden = false;      // the path has a hidden segment (knot/path.h)
};

// Takes apart a target in origin or absolute form; writes the canonical path into `scratch` where
// it is not as received. Requires: scratch has room for target.size() bytes.
Target ParseTarget(absl::string_view target, char* scratch);

}  // namespace knot

#endif  // KNOT_REQUEST_H_
