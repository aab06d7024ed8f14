// Reads the tables of HTTP conformance: what a server is sent, and what it must answer.
//
// A table is a file TOPIC.cases. Lines that are empty or begin with '#' mean nothing; the others
// are
//
//   about: TEXT              of the table: what its cases are about, for the documents
//   flags: FLAG...           of the table: Knot's
//
//   == NAME                  begins a case; its name is none of the file's others
//   rfc: 9112, 3.2           what asks for it: RFC and section; several are separated by "; "
//   > GET / HTTP/1.1\r\n     bytes to send; a line of the file ends none, only the escapes below do
//   client: ends             then the client ends its side; without this, it asks for more
//   cut: everywhere          sent in two pieces, too, cut at each place in turn
//
//   reply: 200               a reply, in order. "200 x 5" are five, "200 HEAD" is one to HEAD
//   has: NAME                of that reply: there is this field
//   has: NAME: VALUE           and it has this value
//   match: NAME: REGEX       there is this field, and its whole value matches (ECMAScript)
//   no: NAME                 there is no such field
//   body: TEXT               the whole body
//   parts: FILE A-B...       multipart/byteranges of these parts of the document FILE
//   like: GET                status and fields are those of the same request with GET for HEAD
//
//   then: open | closed      open: the server answers another request on the connection
//   choice: TEXT             why, where the RFC leaves a choice, or Knot is stricter than it asks
//   nginx: VERDICT -- TEXT   what nginx does instead, and why; without this, it does the same
//
// Bytes and bodies are written with the escapes \r \n \t \0 \\ \xHH; \(20*TEXT) is TEXT twenty
// times; \{etag TARGET} the entity tag that the server gives to TARGET, and \{etag TARGET CODING}
// the one it gives to who accepts CODING.
//
// A verdict is the statuses of the replies and what becomes of the connection: "200 x 2 404 open",
// "none closed". nginx's ends in ", fields" where these do not hold what the case asks for.
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_CASES_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_CASES_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace knot::test {

struct FieldCheck {
  enum class Kind { kPresent, kAbsent, kEquals, kMatches };

  Kind kind;
  std::string name, value;
};

struct ReplyCheck {
  int status = 0;
  size_t count = 1;
  bool to_head = false;
  bool like_get = false;
  std::vector<FieldCheck> fields;
  std::optional<std::string> body;
  std::string parts;
};

struct Case {
  std::string name, rfc;
  int line = 0;
  std::string request;  // with its escapes
  bool client_ends = false;
  bool cut_everywhere = false;
  std::vector<ReplyCheck> replies;
  std::optional<bool> open;
  std::string choice;
  std::string nginx, nginx_reason;
};

struct Table {
  std::string topic, path, about;
  std::vector<std::string> flags;
  std::vector<Case> cases;
};

// Reads the text of a table. Returns: empty, or what is wrong with it and in which line.
std::string ParseTable(const std::string& text, Table* table);

// Reads all tables of a directory, in the order of their names. Returns: as ParseTable.
std::string ReadTables(const std::string& directory, std::vector<Table>* tables);

// Writes out the escapes of a text. `tag_of` is asked for entity tags: "/file.txt gzip". Returns:
// nothing where an escape is malformed.
std::optional<std::string> Unescape(const std::string& text,
                                    const std::function<std::string(const std::string&)>& tag_of);

// Returns: the name of a case's test: the case's, with '_' for what is neither letter nor digit.
std::string TestName(const std::string& case_name);

// Returns: the verdict of a list of statuses.
std::string VerdictOf(const std::vector<int>& statuses, bool open);

// Returns: the verdict that a case asks of Knot.
std::string ExpectedVerdict(const Case& c);

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_CASES_H_
