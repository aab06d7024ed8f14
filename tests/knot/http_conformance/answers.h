// Takes apart what a server sent, and judges what every reply must be.
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_ANSWERS_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_ANSWERS_H_

#include <string>
#include <utility>
#include <vector>

namespace knot::test {

struct Answer {
  int status = 0;
  std::string head;  // with the empty line
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  bool bodiless = false;  // no body came, whatever Content-Length says

  // Returns: the value of a field, null where there is none. Case does not matter in `name`.
  const std::string* Find(const std::string& name) const;
};

// Takes a stream of replies apart. Which requests they answer is not known, so that a reply with a
// length is taken for one to HEAD where another reply, or the end, follows its head.
// Returns: empty, or why it cannot go on after `answers`.
std::string SplitAnswers(const std::string& stream, std::vector<Answer>* answers);

// Returns: what is wrong with a reply of Knot whatever it answers, one line a fault.
// Source: RFC 9110, 5.5, 6.4.1, 6.6.1, 8.6, 8.8.2.1, 10.2.1, 10.2.2, 15.3.7, 15.5.17; RFC 9112, 4,
// 6.3.
std::string FaultsOf(const Answer& answer);

// Reads a date in the form that servers send. Returns: seconds, or -1 where it is none.
long ReadDate(const std::string& text);

// Takes a multipart/byteranges body apart and compares it with what it must be.
//
// `parts` is as in a case, without the file's name: "0-1 500-501". Returns: empty, or what differs.
// Source: RFC 9110, 14.6; RFC 2046, 5.1.1.
std::string ComparePartsOf(const Answer& answer, const std::string& parts,
                           const std::string& contents);

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_ANSWERS_H_
