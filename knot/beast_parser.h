// Boost.Beast's parser without its buffer for folded fields. Include this instead of the parser.
//
// Such fields are refused here (RFC 9112, 5.2), but the parser keeps 4 KiB for them in the frame of
// the function that parses fields. What that function does use then lies on a page of its own, in
// the stack of each of thousands of threads: 4 KiB a connection, and a miss in the TLB a request.
// Without the buffer a folded field is an error of the parser, as it is an error of Knot.
#ifndef KNOT_BEAST_PARSER_H_
#define KNOT_BEAST_PARSER_H_

#include <boost/beast/core/detail/char_buffer.hpp>
#include <cstddef>

namespace boost::beast::detail {

template <>
class char_buffer<4096> {
 public:
  bool try_push_back(char) { return false; }
  bool try_append(const char*, const char*) { return false; }
  void clear() {}
  const char* data() const { return ""; }
  std::size_t size() const { return 0; }
  bool empty() const { return true; }
};

}  // namespace boost::beast::detail

#include <boost/beast/http/basic_parser.hpp>

static_assert(boost::beast::http::detail::basic_parser_base::max_obs_fold == 4096,
              "the buffer above is no longer the parser's");

#endif  // KNOT_BEAST_PARSER_H_
