// Writes docs/knot/conformance.md from the tables.
#ifndef TESTS_KNOT_HTTP_CONFORMANCE_SUMMARY_H_
#define TESTS_KNOT_HTTP_CONFORMANCE_SUMMARY_H_

#include <string>
#include <vector>

#include "tests/knot/http_conformance/cases.h"

namespace knot::test {

std::string Summary(const std::vector<Table>& tables);

}  // namespace knot::test

#endif  // TESTS_KNOT_HTTP_CONFORMANCE_SUMMARY_H_
